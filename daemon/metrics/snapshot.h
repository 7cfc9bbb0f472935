// SPDX-License-Identifier: Apache-2.0
// Inside daemon/metrics/: the numbers of all groups at one time. Immutable once it is handed out, so that a page can be
// made of it on another thread, for as long as a slow reader takes.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cgx/cgroupfs/usage.h"

#include "daemon/metrics/families.h"

namespace cgx::daemon {

inline constexpr std::uint64_t no_value = std::numeric_limits<std::uint64_t>::max();

// What a group is called on the pages: made once a group, not once a sample. Open at the end, for more labels.
struct Labels {
  std::string name;                // of the group, "web/api"
  std::string unit;                // systemd's
  std::string group;               // `{cgroup="web/api"`
  std::string info;                // `{cgroup="web/api",uid="0",version="v2"`
  std::string container;           // `{id="/web/api",image="cgx",name="web/api"`
  std::uint64_t start = no_value;  // seconds since 1970
};

struct Reading {
  std::shared_ptr<const Labels> labels;
  Usage usage;
  // In the order of metric_limits(), in units of its metric; no_value.
  std::array<std::uint64_t, most_limit_metrics> limits{};
  std::uint64_t oom_events = no_value;
  std::uint64_t processes = no_value;
};

struct GoneOom {
  std::string labels;  // as Labels::container
  std::uint64_t events = 0;
};

struct Snapshot {
  std::vector<Reading> groups;  // the first `count` of them: the others are there for their memory
  std::size_t count = 0;
  std::size_t dropped = 0;                                            // groups left out because of a bound
  std::vector<std::pair<sys::DevNumber, std::string>> device_labels;  // `,device="vda"`
  std::vector<GoneOom> gone;
  std::chrono::system_clock::time_point time;     // it was begun
  std::chrono::steady_clock::time_point began{};  // the same
  std::chrono::duration<double> took{};
};

}  // namespace cgx::daemon
