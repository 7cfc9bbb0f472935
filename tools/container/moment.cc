// SPDX-License-Identifier: Apache-2.0
#include "moment.h"

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <optional>
#include <string>

#include "cgx/sys/text.h"

#include "record.h"

namespace cgx::launcher {
namespace {

constexpr std::int64_t second = 1'000'000;
constexpr std::string_view digits = "0123456789";

// `1h30m`, `10m`: numbers with units, one behind the other.
std::optional<std::int64_t> duration(std::string_view text) {
  std::uint64_t sum = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    const std::size_t unit = text.find_first_not_of("0123456789.");
    if (unit == 0 || unit == std::string_view::npos) return std::nullopt;
    const std::size_t next = std::min(text.find_first_of(digits, unit), text.size());
    const auto part = sys::parse_time(text.substr(0, next));
    if (!part || __builtin_add_overflow(sum, *part, &sum)) return std::nullopt;
    text.remove_prefix(next);
  }
  return sum > INT64_MAX ? INT64_MAX : static_cast<std::int64_t>(sum);
}

std::optional<std::int64_t> seconds_since_1970(std::string_view text) {
  const std::size_t point = std::min(text.find('.'), text.size());
  const auto whole = sys::parse_u64(text.substr(0, point), 0, static_cast<std::uint64_t>(INT64_MAX / second) - 1);
  if (!whole) return std::nullopt;
  std::int64_t usec = static_cast<std::int64_t>(*whole) * second;
  if (point == text.size()) return usec;
  const std::string_view fraction = text.substr(point + 1);
  if (fraction.empty() || fraction.size() > 9 || fraction.find_first_not_of(digits) != std::string_view::npos)
    return std::nullopt;
  std::int64_t unit = second / 10;
  for (const char c : fraction) {
    usec += (c - '0') * unit;
    unit /= 10;
  }
  return usec;
}

// The same parts of a day in the local time zone.
std::int64_t local(std::int64_t usec) {
  const time_t seconds = usec / second;
  tm parts{};
  (void)gmtime_r(&seconds, &parts);
  parts.tm_isdst = -1;
  return static_cast<std::int64_t>(mktime(&parts)) * second + usec % second;
}

std::optional<std::int64_t> day_and_time(std::string_view text) {
  constexpr std::size_t day = 10;
  if (text.size() < day) return std::nullopt;
  std::string_view time = text.substr(day);
  if (!time.empty() && time[0] != 'T' && time[0] != ' ') return std::nullopt;
  const std::size_t zone = std::min(time.find_first_of("Zz+-"), time.size());
  std::string whole(text.substr(0, day));
  whole.append(time.substr(0, zone));
  constexpr std::string_view midnight = "T00:00:00";
  const std::size_t given = whole.size() - day;
  if (given != 0 && given != 3 && given != 6 && given < midnight.size()) return std::nullopt;
  if (given < midnight.size()) whole += midnight.substr(given);
  const bool has_zone = zone < time.size();
  const auto usec = parse_rfc3339(whole + (has_zone ? std::string(time.substr(zone)) : "Z"));
  if (!usec) return std::nullopt;
  return has_zone ? *usec : local(*usec);
}

}  // namespace

Result<std::int64_t> parse_moment(std::string_view text, std::int64_t now) {
  if (const auto before = duration(text)) return *before < now ? now - *before : 0;
  if (const auto moment = seconds_since_1970(text)) return *moment;
  if (const auto moment = day_and_time(text)) return *moment;
  return bad_value(
      text, "is not a time like 2026-01-31T12:00:00Z, a day, seconds since 1970, or how long ago, like 10m or 1h30m");
}

}  // namespace cgx::launcher
