// SPDX-License-Identifier: Apache-2.0
// Inside model/: the arrays that knob.cc lists, and short forms for writing their rows.
#pragma once

#include <span>

#include "cgx/model/codec.h"

namespace cgx::knobs {

[[nodiscard]] std::span<const Knob> core();
[[nodiscard]] std::span<const Knob> cpu();
[[nodiscard]] std::span<const Knob> cpuset();
[[nodiscard]] std::span<const Knob> memory();
[[nodiscard]] std::span<const Knob> memory_stats();
[[nodiscard]] std::span<const Knob> io();
[[nodiscard]] std::span<const Knob> others();

// Backings. `read_only` and `control` are one file with the value as it is.
consteval Backing file_v1(Controller c, std::string_view file, std::string_view within = {}) {
  return {.controller = c, .files = {file}, .encode = codec::put_v1, .decode = codec::get_plain, .within = within};
}
consteval Backing file_v2(Controller c, std::string_view file, std::string_view within = {}) {
  return {.controller = c, .files = {file}, .encode = codec::put_v2, .decode = codec::get_plain, .within = within};
}
consteval Backing table_file(Controller c, std::string_view file) {
  return {.controller = c, .files = {file}, .encode = codec::put_table, .decode = codec::get_table};
}
consteval Backing read_only(Controller c, std::string_view file) {
  return {.controller = c, .files = {file}, .decode = codec::get_plain};
}
consteval Backing write_only(Controller c, std::string_view file) {
  return {.controller = c, .files = {file}, .encode = codec::put_v2};
}
consteval Backing none(std::string_view why) { return {.missing = why, .fidelity = Fidelity::none}; }
consteval Backing noted(Backing b, Fidelity fidelity, std::string_view note) {
  b.fidelity = fidelity;
  b.note = note;
  return b;
}
consteval Backing starts(std::string_view initial, Backing b) {
  b.initial = initial;
  return b;
}

inline constexpr Backing not_on_v1 = none("cgroup v1 has no such file");
inline constexpr Backing not_on_v2 = none("cgroup v2 has no such file");

// What every row must have; used in a static_assert beside each array.
consteval bool well_formed(std::span<const Knob> rows) {
  for (const Knob& k : rows) {
    if (k.name.empty() || k.doc.empty() || k.doc.back() == '.' || k.low > k.high) return false;
    if (!k.v1.present() && !k.v2.present()) return false;
    for (const Backing* b : {&k.v1, &k.v2}) {
      if (b->present() && b->encode == nullptr && b->decode == nullptr) return false;
      if (!b->present() && b->missing.empty()) return false;
      if (b->fidelity == Fidelity::lossy && b->note.empty()) return false;
    }
    if ((k.format == Format::word) != !k.words.empty()) return false;
    if (k.flag.empty() != k.key.empty()) return false;
  }
  return true;
}

}  // namespace cgx::knobs
