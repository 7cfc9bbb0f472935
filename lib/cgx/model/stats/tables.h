// SPDX-License-Identifier: Apache-2.0
// The tables of statistics and the constructors of their rows, for the files of this folder only.
#pragma once

#include <span>
#include <string_view>

#include "cgx/model/stat.h"

namespace cgx::stats {

[[nodiscard]] std::span<const Stat> cpu();
[[nodiscard]] std::span<const Stat> memory();
[[nodiscard]] std::span<const Stat> io();
[[nodiscard]] std::span<const Stat> pids();
[[nodiscard]] std::span<const Stat> pressure();

inline constexpr StatSource not_counted{};

consteval StatSource number(Controller c,
                            std::string_view file,
                            StatScale scale = StatScale::base,
                            StatScope scope = StatScope::subtree) {
  return {.controller = c, .file = file, .format = StatFormat::number, .scale = scale, .scope = scope};
}
consteval StatSource keyed(Controller c,
                           std::string_view file,
                           std::string_view key,
                           StatScale scale = StatScale::base,
                           StatScope scope = StatScope::subtree) {
  return {.controller = c, .file = file, .key = key, .format = StatFormat::keyed, .scale = scale, .scope = scope};
}

// Metric names say their unit, and counters end in _total, as Prometheus wants it. Averages have none: whoever stores
// the totals can make averages over any time.
consteval bool well_formed(std::span<const Stat> rows) {
  for (const Stat& s : rows) {
    if (s.name.empty() || s.doc.empty() || s.doc.back() == '.') return false;
    if (!s.v2.present() && !s.v1.present()) return false;
    if (s.metric.empty() != (s.unit == StatUnit::centipercent)) return false;
    if ((s.kind == StatKind::counter) != s.metric.ends_with("_total")) return false;
    if (s.metric == events_metric && s.event.empty()) return false;
    if (!s.event.empty() && s.kind != StatKind::counter) return false;
    const auto has = [&](std::string_view word) { return s.metric.find(word) != std::string_view::npos; };
    if ((s.unit == StatUnit::usec) != s.name.ends_with("_usec")) return false;
    if (s.unit == StatUnit::usec && !has("_seconds")) return false;
    if (s.unit == StatUnit::bytes && !has("_bytes")) return false;
    for (const StatSource* source : {&s.v2, &s.v1})
      if (source->present() && (source->format == StatFormat::number) != source->key.empty()) return false;
  }
  return true;
}

}  // namespace cgx::stats
