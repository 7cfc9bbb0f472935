// SPDX-License-Identifier: Apache-2.0
// How usage is shown: by stat, by exec --report, by tree and top.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/cgroupfs/perf.h"
#include "cgx/cgroupfs/report.h"
#include "cgx/cgroupfs/usage.h"
#include "cgx/sys/json.h"

#include "processes.h"

namespace cgx::tool {

// One group as stat prints it. `before` is an earlier reading for rates, or nullptr.
struct Shot {
  std::string_view group;
  const Usage* usage = nullptr;
  const Usage* before = nullptr;
  std::span<const PerfCount> perf;
};

// The members of the object that stat --json has for a group; see stat.cc.
void write_usage(sys::JsonWriter& json, const Shot& shot);
// For pipes: lines of GROUP, NAME, VALUE and, with `before`, what a counter grew by in a second; tabs between them.
[[nodiscard]] std::string usage_lines(const Shot& shot);
// For people at a terminal.
[[nodiscard]] std::string usage_block(const Shot& shot, bool colour);

// exec --report: lines for stderr, and the members of a JSON object: the names of stat, `wall_usec`, and `io`.
[[nodiscard]] std::string report_text(const UsageReport& report);
[[nodiscard]] std::string report_json(const UsageReport& report);

// "sda" of 8:0; the numbers where the kernel has no name for them.
[[nodiscard]] std::string device_name(sys::DevNumber device);
// A time rounded for people: three digits after the point at most.
[[nodiscard]] std::string short_time(std::uint64_t usec);
// Seconds since 1970, for the member `time` of JSON.
[[nodiscard]] double wall_clock();

}  // namespace cgx::tool
