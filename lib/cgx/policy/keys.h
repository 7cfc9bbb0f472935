// SPDX-License-Identifier: Apache-2.0
// All keys of policy files in tables: those of limits, made from the rows of knobs, and the few of policies themselves.
// Reading, the schema and the manual go by them. Pure; knows nothing of YAML.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "cgx/model/knob.h"

namespace cgx::policy {

// ---- limits ---------------------------------------------------------------------------------------------------------

// Before and after the dot of a knob's key: "memory", "max". A key without a dot is a section as a whole (hugetlb).
[[nodiscard]] std::string_view section_of(std::string_view key);
[[nodiscard]] std::string_view name_of(std::string_view key);
// The knob with this key; nullptr: none.
[[nodiscard]] const Knob* find_key(std::string_view key);
// The place of a knob among all that have a key, in the order of the rows.
[[nodiscard]] std::size_t key_index(const Knob& knob);

struct Section {
  std::string_view name;
  std::vector<const Knob*> knobs;  // in the order of the rows
  bool whole = false;              // its one knob has the section's name for a key
};
// In the order of the rows.
[[nodiscard]] std::span<const Section> sections();

// ---- all others -----------------------------------------------------------------------------------------------------

enum class Takes : std::uint8_t {
  text,      // any words
  boolean,   // true, false
  word,      // one of Field::words
  time,      // 500ms
  size,      // 2G, not max
  amount,    // a size, or 25%
  names,     // a list of names of commands
  program,   // a list: the absolute path of a program, and its arguments
  user,      // USER, or a number
  signal,    // TERM, or 15
  budget,    // 3/10m
  group,     // web/api
  target,    // web/%u
  glob,      // make*
  match,     // USER, @GROUP, *
  owner,     // USER[:GROUP]
  actions,   // a list of actions
  pressure,  // a list of {when, do}
  trigger,   // {memory: some, stall: 150ms, window: 1s}
  files,     // kernel file: text
  groups,    // name: group
  defaults,  // what a group has, without a name
  rules,     // a list of rules
  devices,   // a list of rules of devices
};

struct Field {
  std::string_view name;
  Takes takes;
  std::string_view doc;
  std::string_view words{};  // of Takes::word: "tell|allow|refuse"
  bool required = false;
  bool single = false;  // of one group, and not of defaults
};

struct ActionRow {
  std::string_view name;
  std::span<const Field> fields;
  std::string_view doc;
  bool bare = false;    // may stand without any parameter: `- thaw`
  bool limits = false;  // takes the sections of limits too
};

[[nodiscard]] std::span<const Field> file_fields();      // version, defaults, groups, rules
[[nodiscard]] std::span<const Field> group_fields();     // besides the sections of limits
[[nodiscard]] std::span<const Field> memory_fields();    // of the section memory besides its knobs
[[nodiscard]] std::span<const ActionRow> action_rows();  // in the order of Action::what
[[nodiscard]] std::span<const Field> action_fields();    // of every action
[[nodiscard]] std::span<const Field> pressure_fields();  // when, do
[[nodiscard]] std::span<const Field> trigger_fields();   // of `when`: resource, stall, window
[[nodiscard]] std::span<const Field> rule_fields();
[[nodiscard]] std::span<const Field> device_fields();  // default, allow, deny, rules

// Bounds of times, in microseconds.
inline constexpr std::uint64_t least_pause = 10'000;
inline constexpr std::uint64_t most_pause = 3'600'000'000;
inline constexpr std::uint64_t least_window = 500'000;  // the kernel's (kernel/sched/psi.c)
inline constexpr std::uint64_t most_window = 10'000'000;
inline constexpr std::uint64_t most_timeout = 600'000'000;
inline constexpr std::size_t most_actions = 32;  // of one list

}  // namespace cgx::policy
