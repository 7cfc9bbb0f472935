// SPDX-License-Identifier: Apache-2.0
#include "top_model.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/cgroupfs/walk.h"
#include "cgx/sys/text.h"

namespace cgx::tool {
namespace {

// clang-format off
constexpr std::array columns{
    TopColumnRow{TopColumn::cpu, "cpu", "CPU%", 'c', 7, "CPU time, 100% is one CPU"},
    TopColumnRow{TopColumn::memory, "memory", "MEMORY", 'm', 8, "memory in use"},
    TopColumnRow{TopColumn::io, "io", "IO/s", 'i', 8, "bytes read and written in a second"},
    TopColumnRow{TopColumn::pids, "pids", "TASKS", 'p', 6, "processes and threads"},
    TopColumnRow{TopColumn::pressure, "pressure", "PRESS%", 's', 7, "time in which tasks waited for CPU, memory or IO, the highest of them"},
    TopColumnRow{TopColumn::name, "name", "GROUP", 'n', 0, "the group"},
};
// clang-format on

constexpr std::array<std::string_view, 8> needed{"cpu.usage_usec",
                                                 "memory.current",
                                                 "io.rbytes",
                                                 "io.wbytes",
                                                 "pids.current",
                                                 "pressure.cpu.some_usec",
                                                 "pressure.memory.some_usec",
                                                 "pressure.io.some_usec"};

TopRow row_of(const std::string& group, const Usage& now, const Usage* before) {
  TopRow row{.group = group, .memory = now.get(stat_id("memory.current")), .pids = now.get(stat_id("pids.current"))};
  if (before == nullptr) return row;
  const auto per_second = [&](std::string_view name) { return rate(*before, now, stat_id(name)); };
  if (const auto usec = per_second("cpu.usage_usec")) row.cpu = *usec / 1e4;
  const auto read = per_second("io.rbytes");
  const auto written = per_second("io.wbytes");
  if (read || written) row.io = read.value_or(0) + written.value_or(0);
  for (const std::string_view name : {"pressure.cpu.some_usec", "pressure.memory.some_usec", "pressure.io.some_usec"})
    if (const auto usec = per_second(name))
      row.pressure = std::max(row.pressure.value_or(0), std::min(*usec / 1e4, 100.0));
  return row;
}

// Less is: comes first. What is not known comes last.
template <class T>
std::optional<bool> compare(const std::optional<T>& a, const std::optional<T>& b) {
  if (a == b) return std::nullopt;
  if (!a || !b) return a.has_value();
  return *a > *b;
}

std::optional<bool> before_by(const TopRow& a, const TopRow& b, TopColumn by) {
  switch (by) {
    case TopColumn::cpu:
      return compare(a.cpu, b.cpu);
    case TopColumn::memory:
      return compare(a.memory, b.memory);
    case TopColumn::io:
      return compare(a.io, b.io);
    case TopColumn::pids:
      return compare(a.pids, b.pids);
    case TopColumn::pressure:
      return compare(a.pressure, b.pressure);
    case TopColumn::name:
      break;
  }
  return std::nullopt;
}

}  // namespace

std::span<const TopColumnRow> top_columns() { return columns; }

void sort_rows(std::vector<TopRow>& rows, TopColumn by, TopOrder order) {
  // Names differ, so the order is total.
  std::ranges::sort(rows,
                    [by](const TopRow& a, const TopRow& b) { return before_by(a, b, by).value_or(a.group < b.group); });
  if (order == TopOrder::turned) std::ranges::reverse(rows);
}

std::string cell(const TopRow& row, TopColumn column) {
  switch (column) {
    case TopColumn::cpu:
      return row.cpu ? fmt::format("{:.1f}", *row.cpu) : "-";
    case TopColumn::memory:
      return row.memory ? sys::format_size(*row.memory) : "-";
    case TopColumn::io:
      return row.io ? sys::format_size(static_cast<std::uint64_t>(*row.io)) : "-";
    case TopColumn::pids:
      return row.pids ? std::to_string(*row.pids) : "-";
    case TopColumn::pressure:
      return row.pressure ? fmt::format("{:.1f}", *row.pressure) : "-";
    case TopColumn::name:
      return std::string(shown(row.group));
  }
  return {};
}

Result<TopReader> TopReader::create(const Hierarchies& hierarchies, std::string group, unsigned depth) {
  Sampler sampler = CGX_TRY(Sampler::create(hierarchies, needed));
  return TopReader(hierarchies, std::move(group), depth, std::move(sampler));
}

Result<std::vector<TopRow>> TopReader::read() {
  std::vector<std::string> names = CGX_TRY(walk_below(*hierarchies_, group_, depth_));
  names.insert(names.begin(), group_);
  std::vector<TopRow> rows;
  std::map<std::string, Usage> now;
  for (const std::string& name : names) {
    auto usage = sampler_.read(name);
    if (!usage) {
      if (usage.error().code == ENOENT && name != group_) continue;  // removed meanwhile
      return std::unexpected(usage.error());
    }
    const auto old = before_.find(name);
    rows.push_back(row_of(name, *usage, old == before_.end() ? nullptr : &old->second));
    now.emplace(name, std::move(*usage));
  }
  before_ = std::move(now);
  return rows;
}

}  // namespace cgx::tool
