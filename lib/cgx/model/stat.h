// SPDX-License-Identifier: Apache-2.0
// One row per statistic: its name, unit and meaning, and where each cgroup version counts it. The stat command, the
// live view, reports and metrics are made from these rows. Pure; files are read and parsed by cgroupfs/usage.h.
// Kernel documents: admin-guide/cgroup-v2.rst, admin-guide/cgroup-v1/{cpuacct,memory,blkio-controller,pids}.rst,
// scheduler/sched-bwc.rst, accounting/psi.rst.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "cgx/model/controller.h"

namespace cgx {

// A counter only grows (until the group goes); a gauge is the amount now.
enum class StatKind : std::uint8_t { counter, gauge };

// Base units, the ones of --json: bytes, microseconds, hundredths of a percent (of pressure averages), pieces.
enum class StatUnit : std::uint8_t { count, bytes, usec, centipercent };

// How a file holds its numbers.
enum class StatFormat : std::uint8_t {
  number,    // the whole file is one
  keyed,     // `key value` lines
  pressure,  // `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`; the row's key is `some total`
  io_stat,   // `8:0 rbytes=1 wbytes=2` (v2)
  blkio,     // `8:0 Read 1` (v1); a device with nothing but zeros is one that is not counted
};

// What a number of the file is, before it is in the row's unit.
enum class StatScale : std::uint8_t {
  base,   // the row's unit
  nsec,   // nanoseconds, for a row of microseconds
  ticks,  // USER_HZ, for a row of microseconds
};

// v2 counts a group with all groups below it. v1 does so too, except where it says `group`.
enum class StatScope : std::uint8_t { subtree, group };

struct StatSource {
  Controller controller = Controller::core;  // core: any cgroup2 hierarchy has it, without a controller
  std::string_view file{};                   // empty: this version does not count it
  std::string_view key{};
  StatFormat format = StatFormat::number;
  StatScale scale = StatScale::base;
  StatScope scope = StatScope::subtree;
  std::string_view instead{};  // another file of the same format, for devices that `file` does not count
  [[nodiscard]] constexpr bool present() const { return !file.empty(); }
};

struct Stat {
  std::string_view name;    // "cpu.usage_usec", the same on v1 and v2
  std::string_view metric;  // "cpu_usage_seconds_total": the Prometheus name, without its prefix; empty: no metric
  StatKind kind = StatKind::counter;
  StatUnit unit = StatUnit::count;
  bool per_device = false;  // of each block device
  StatSource v2{};
  StatSource v1{};
  std::string_view doc{};
  std::string_view event{};  // its label in events_metric
};

// The metric that counts the events of memory, by the label `event`. A row may be one of them and have a metric of its
// own as well.
inline constexpr std::string_view events_metric = "memory_events_total";

// How many rows there can be per device.
inline constexpr std::size_t most_device_stats = 8;

[[nodiscard]] inline const StatSource& source(const Stat& stat, Version version) {
  return version == Version::v1 ? stat.v1 : stat.v2;
}

// A row's place among all rows, in the order in which they are shown. Stable within one program only.
using StatId = std::size_t;

// All rows, a table a subject.
[[nodiscard]] std::span<const std::span<const Stat>> stat_tables();
[[nodiscard]] std::size_t stat_count();
// The row; `id` is less than stat_count().
[[nodiscard]] const Stat& stat_row(StatId id);
// The rows that are per device stand together from here on.
[[nodiscard]] StatId first_device_stat();
[[nodiscard]] std::optional<StatId> find_stat(std::string_view name);
// The same for a name that is known to be there: a name that is not ends the program.
[[nodiscard]] StatId stat_id(std::string_view name);

}  // namespace cgx
