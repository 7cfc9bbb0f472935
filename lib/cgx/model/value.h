// SPDX-License-Identifier: Apache-2.0
// The value of one knob, normalised so that v1 and v2 texts of the same setting compare equal, and the formats
// in which users write and read it. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "cgx/model/device_rules.h"
#include "cgx/sys/result.h"
#include "cgx/sys/text.h"

namespace cgx {

// Rows of a keyed knob: `8:0 rbps=1048576`, `eth0 5`, `2MB 64`. A row with one field of empty name is KEY N.
struct TableRow {
  std::string key;
  std::vector<std::pair<std::string, std::uint64_t>> fields;
  bool operator==(const TableRow&) const = default;
};
using Table = std::vector<TableRow>;

// A number uses sys::unlimited for "no limit". Text is a word, a list, device rules a line each, or raw.
using Value = std::variant<std::uint64_t, sys::Quota, std::string, Table>;

enum class Format : std::uint8_t {
  size,           // bytes or max
  count,          // a number or max
  number,         // a number, never max
  usec,           // TIME
  flag,           // 0 or 1
  quota,          // CFS bandwidth
  rt,             // real-time bandwidth
  list,           // cpulist
  word,           // one of a few words
  integer,        // a signed number, kept as text
  percent,        // 0.00 to 100.00 or max, kept as text
  classid,        // MAJ:MIN of a traffic class, hexadecimal as in tc
  io_max,         // DEV:rbps=N,wiops=N
  io_latency,     // DEV:TIME
  io_weight,      // N or DEV:N
  hugetlb,        // SIZE=LIMIT
  key_count,      // KEY=N
  dev_key_count,  // DEV:KEY=N
  if_count,       // IF=N
  if_rate,        // IF=RATE
  device_rules,   // allow c 1:3 rwm
  keyed,          // a statistics file of `key value` lines, as it is
  text,           // as it is
};

// The words a Format takes, for --help: "SIZE", "LIST", "DEV:KEY=N".
[[nodiscard]] std::string_view placeholder(Format format);
// Whether its value is a Table: rows by keys, of which a flag gives one.
[[nodiscard]] bool is_table(Format format);

struct Knob;

// How names of devices become numbers; what is missing is not resolved, and only numbers are taken then.
struct DeviceNames {
  Result<std::string> (*disk)(std::string_view path) = nullptr;  // MAJ:MIN of the whole disk behind a path
  Result<NodeType> (*node)(const std::string& path) = nullptr;   // what device node a path is
};

// What a user gave, as a Value. Errors: Fault::usage with the value in it.
[[nodiscard]] Result<Value> parse_value(const Knob& knob, std::string_view text, const DeviceNames& names);
// Adds what a repeated flag gives (`--io-max` twice) to `value`. Two paths may be of one disk, so rows of one key are
// joined. Errors: EINVAL where they give the same thing two values.
[[nodiscard]] Result<> merge_value(Value& value, const Value& more);

// For people: `1.0G`, `150%`, `0-3`. Keyed values: one line a row.
[[nodiscard]] std::string display(const Knob& knob, const Value& value);
// In the syntax that parse_value takes, exact (bytes, microseconds): for policies, --dry-run and errors.
[[nodiscard]] std::string exact(const Knob& knob, const Value& value);

}  // namespace cgx
