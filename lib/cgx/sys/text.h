// SPDX-License-Identifier: Apache-2.0
// Text and numbers: the only parsers and formatters of integers, sizes, times, lists, quotas, rates and keyed
// files. All of them take the whole string or refuse it (Fault::usage, with the value in the error), check
// ranges, and are pure. No locale.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgx/sys/result.h"

namespace cgx::sys {

// "No limit": the kernel's `max` (v2) or -1 (v1).
inline constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

// Decimal digits only; u64 takes no sign, i64 an optional '-'. `what` names the kind for the error text.
[[nodiscard]] Result<std::uint64_t> parse_u64(std::string_view text,
                                              std::uint64_t low = 0,
                                              std::uint64_t high = std::numeric_limits<std::uint64_t>::max());
[[nodiscard]] Result<std::int64_t> parse_i64(std::string_view text, std::int64_t low, std::int64_t high);
// Decimal, or hexadecimal after 0x.
[[nodiscard]] Result<std::uint64_t> parse_any_base(std::string_view text, std::uint64_t high);

// Bytes: `4096`, `512k`, `1.5G`, `64MiB`, powers of 1024, either case; `max` and `-1` are `unlimited`. At most 2^63-1.
[[nodiscard]] Result<std::uint64_t> parse_size(std::string_view text);
// `1.0G` for people; `max` for unlimited.
[[nodiscard]] std::string format_size(std::uint64_t bytes);

// Microseconds: `500ms`, `10s`, `2m`, `250us`, `1h`; fractions allowed; a bare number is refused.
[[nodiscard]] Result<std::uint64_t> parse_time(std::string_view text);
// The shortest exact form: `1.5s`, `20ms`, `250us`.
[[nodiscard]] std::string format_time(std::uint64_t usec);

// CFS bandwidth in microseconds: `150%`, `1.5`, `150000/100000`, `max`. `period` 0 means not given.
struct Quota {
  std::uint64_t quota = unlimited;
  std::uint64_t period = 0;
  bool operator==(const Quota&) const = default;
};
// Period 1000..1000000, quota at least 1000 at the period given (or at 100000), else the kernel says EINVAL.
[[nodiscard]] Result<Quota> parse_quota(std::string_view text);

// Real-time bandwidth `TIME/PERIOD` (`10ms/1s`): runtime 0 or more and at most the period.
[[nodiscard]] Result<Quota> parse_rt(std::string_view text);

// A set of CPU or node numbers in the kernel's list format: `0-3,8,10-15:2`, also `10-15:1/2`. Numbers up to 65535.
class IdSet {
 public:
  [[nodiscard]] static Result<IdSet> parse(std::string_view text);  // an empty text is the empty set
  void add(unsigned id);
  [[nodiscard]] bool empty() const { return ids_.empty(); }
  [[nodiscard]] bool contains(unsigned id) const;
  [[nodiscard]] bool within(const IdSet& other) const;
  [[nodiscard]] const std::vector<unsigned>& ids() const { return ids_; }
  [[nodiscard]] std::string text() const;  // normalised: `0-3,8`
  bool operator==(const IdSet&) const = default;

 private:
  std::vector<unsigned> ids_;  // sorted, unique
};

// Bits a second with tc's suffixes: `10mbit`, `1gbit`, `500kbit`, `8000bit`, also `1mbps` (bytes); powers of 1000,
// `kibit`/`mibit` of 1024. Answers bits a second, at least 8.
[[nodiscard]] Result<std::uint64_t> parse_rate(std::string_view text);
[[nodiscard]] std::string format_rate(std::uint64_t bits);

// `MAJ:MIN` with majors up to 4095 and minors up to 1048575 (the kernel's dev_t).
struct DevNumber {
  unsigned major = 0;
  unsigned minor = 0;
  bool operator==(const DevNumber&) const = default;
  auto operator<=>(const DevNumber&) const = default;
};
[[nodiscard]] Result<DevNumber> parse_dev_number(std::string_view text);

// `KEY=N`, split at the first '='; both sides non-empty.
[[nodiscard]] Result<std::pair<std::string_view, std::string_view>> parse_pair(std::string_view text,
                                                                               char separator = '=');

// Parts of `text` between separators; empty parts are kept. Lines without their newline, no empty last one.
[[nodiscard]] std::vector<std::string_view> split(std::string_view text, char separator);
[[nodiscard]] std::vector<std::string_view> lines(std::string_view text);
// Words between blanks and tabs, no empty ones.
[[nodiscard]] std::vector<std::string_view> words(std::string_view text);
// Without white space at both ends.
[[nodiscard]] std::string_view trim(std::string_view text);

// The value of `key` in a flat keyed file (`key value` lines: memory.stat, cgroup.events, cpu.stat).
[[nodiscard]] std::optional<std::string_view> keyed(std::string_view file, std::string_view key);
[[nodiscard]] std::optional<std::uint64_t> keyed_u64(std::string_view file, std::string_view key);

// mountinfo and /proc/self/mounts write blanks in names as \040 and so on.
[[nodiscard]] std::string unescape_octal(std::string_view text);

// What is close to `word` among `known` (edit distance at most 2 and under half its length), for hints; else empty.
[[nodiscard]] std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known);

}  // namespace cgx::sys
