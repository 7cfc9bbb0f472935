// SPDX-License-Identifier: Apache-2.0
#include "cgx/model/stat.h"

#include <array>
#include <cstdlib>

#include "cgx/model/stats/tables.h"

namespace cgx {
namespace {

// Rows by id, without a static constructor: the tables are spans of constants.
const std::array<std::span<const Stat>, 5>& tables() {
  static const std::array<std::span<const Stat>, 5> all{
      stats::cpu(), stats::memory(), stats::io(), stats::pids(), stats::pressure()};
  return all;
}

}  // namespace

std::span<const std::span<const Stat>> stat_tables() { return tables(); }

std::size_t stat_count() {
  std::size_t n = 0;
  for (const auto& table : tables()) n += table.size();
  return n;
}

const Stat& stat_row(StatId id) {
  for (const auto& table : tables()) {
    if (id < table.size()) return table[id];
    id -= table.size();
  }
  std::abort();  // the caller's mistake
}

StatId first_device_stat() {
  StatId id = 0;
  for (const auto& table : tables()) {
    if (table.front().per_device) break;
    id += table.size();
  }
  return id;
}

std::optional<StatId> find_stat(std::string_view name) {
  StatId id = 0;
  for (const auto& table : tables())
    for (const Stat& s : table) {
      if (s.name == name) return id;
      ++id;
    }
  return std::nullopt;
}

StatId stat_id(std::string_view name) {
  const auto id = find_stat(name);
  if (!id) std::abort();
  return *id;
}

}  // namespace cgx
