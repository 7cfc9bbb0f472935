// SPDX-License-Identifier: Apache-2.0
// Inside daemon/metrics/: which metrics there are of a group, made from the rows of statistics and knobs. To add a
// metric, give a row its name there; nothing else is to be done here. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/model/knob.h"
#include "cgx/model/stat.h"

#include "daemon/metrics/text.h"

namespace cgx::daemon {

inline constexpr std::string_view group_prefix = "cgx_cgroup_";

// Where the number of a sample comes from.
enum class From : std::uint8_t {
  stat,         // the statistic `id`
  device_stat,  // the same, of each device
  limit,        // the limit `id`, a place in metric_limits()
  working_set,  // memory without page cache that is not in use: what counts against an eviction
  info,         // 1, with labels that tell of the group
  // Of container_* only:
  limit_or_0,  // as `limit`, 0 for none
  oom_events,  // processes that were killed for memory, counted on after the group is gone
  processes,
  start_time,
  last_seen,
};

struct Entry {
  From from = From::stat;
  std::size_t id = 0;
  std::string label{};  // after those of the group: `,event="high"`
};

struct MetricFamily {
  std::string name;  // of the samples, in full
  MetricType type = MetricType::gauge;
  std::string_view unit{};  // of OpenMetrics; the name has it too
  Scale scale = Scale::one;
  std::string help;
  std::vector<Entry> entries;
  std::string headers[2]{};  // by Format
};

// The knobs that have a metric; a group's limits are in this order. A knob whose file belongs to another row is only in
// the column of the version that is its own.
[[nodiscard]] std::span<const Knob* const> metric_limits();
inline constexpr std::size_t most_limit_metrics = 16;
[[nodiscard]] bool is_alias(const Knob& knob, Version version);

// Both live as long as the program.
[[nodiscard]] const std::vector<MetricFamily>& group_families();
[[nodiscard]] const std::vector<MetricFamily>& container_families();

}  // namespace cgx::daemon
