// SPDX-License-Identifier: Apache-2.0
// What a command used that ran in a group: the difference of two readings, or of a fresh group all that it counted.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/cgroupfs/usage.h"

namespace cgx {

// What this kernel does not count is not there. Times in microseconds, sizes in bytes.
struct UsageReport {
  struct Device {
    sys::DevNumber device;
    std::uint64_t rbytes = 0, wbytes = 0, rios = 0, wios = 0;
  };
  std::string group;
  std::uint64_t wall_usec = 0;
  std::optional<std::uint64_t> cpu_usec, user_usec, system_usec;
  std::optional<std::uint64_t> throttled_usec, nr_throttled, nr_periods;
  // In a group that was there before, a peak is known only where this run raised it.
  std::optional<std::uint64_t> memory_peak, pids_peak;
  std::optional<std::uint64_t> limit_hits, oom_kills, major_faults;
  std::vector<Device> io;
};

enum class Counted : std::uint8_t {
  from_zero,  // the group was made for this run: nothing is read at the start
  from_now,   // the group was there before
};

struct ReportStart {
  std::string group;
  std::chrono::steady_clock::time_point began{};
  std::optional<Usage> before;
};

// Called right before the command starts. Errors: those of Sampler::read(); from_zero has none.
[[nodiscard]] Result<ReportStart> start_report(const Hierarchies& hierarchies, std::string_view group, Counted counted);
// Called when the command has ended, while the group is still there.
[[nodiscard]] Result<UsageReport> finish_report(const Hierarchies& hierarchies, const ReportStart& start);
// The pure part of it.
[[nodiscard]] UsageReport make_report(const Usage* before, const Usage& after, std::uint64_t wall_usec);

}  // namespace cgx
