// SPDX-License-Identifier: Apache-2.0
// Hardware and software events of the processes of a group, counted by perf_event_open(2) on every CPU. Needs the
// perf_event hierarchy: a v1 mount of it, else cgroup2, which has it without being asked.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/cgroupfs/cgroup.h"
#include "cgx/sys/fd.h"

namespace cgx {

struct PerfEvent {
  std::string_view name;  // as perf(1) calls it
  std::uint32_t type;     // PERF_TYPE_*
  std::uint64_t config;   // PERF_COUNT_*
  std::string_view doc;
};
[[nodiscard]] std::span<const PerfEvent> perf_events();

struct PerfCount {
  const PerfEvent* event = nullptr;
  std::optional<std::uint64_t> value;  // scaled to the whole time where counters were shared
  double share = 1;                    // of the group's running time in which it was really counted
  std::string missing;                 // where there is no value: why
};

class PerfCounters {
 public:
  // Begins to count, in the group and all below it. Owns a descriptor per event and CPU. Errors: ENOTSUP perf_event is
  // on no hierarchy; ENOENT the group is not in that hierarchy; EACCES, EPERM rights; EMFILE too many descriptors. An
  // event that this machine does not have is no error: read() says why.
  [[nodiscard]] static Result<PerfCounters> open(const Cgroup& group);

  // What was counted since open() or the last read(), a row an event in the order of perf_events().
  [[nodiscard]] Result<std::vector<PerfCount>> read();

 private:
  struct Counter {
    sys::Fd fd;
    std::uint64_t value = 0, enabled = 0, running = 0;
  };
  struct Line {
    const PerfEvent* event = nullptr;
    std::vector<Counter> cpus;
    std::string missing;
  };
  std::vector<Line> lines_;
};

}  // namespace cgx
