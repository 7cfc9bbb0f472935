// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace cgx::sys {
namespace {

__extension__ using Wide = unsigned __int128;  // not ISO C++, which -Wpedantic minds

struct Suffix {
  std::string_view name;
  std::uint64_t factor;
};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equal_fold(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

// `12`, `1.5`, with at most 9 decimals, times `factor`, without floating point, rounded down to the unit; refused past
// 2^63-1. A part of the smallest unit is a mistake.
std::optional<std::uint64_t> scaled(std::string_view digits, std::uint64_t factor) {
  const std::size_t dot = digits.find('.');
  const std::string_view whole = digits.substr(0, dot);
  std::uint64_t n = 0;
  auto [end, ec] = std::from_chars(whole.data(), whole.data() + whole.size(), n);
  if (whole.empty() || ec != std::errc{} || end != whole.data() + whole.size()) return {};
  Wide total = static_cast<Wide>(n) * factor;
  if (dot != std::string_view::npos) {
    const std::string_view part = digits.substr(dot + 1);
    if (part.empty() || part.size() > 9 || factor == 1) return {};
    std::uint64_t fraction = 0;
    auto [e, c] = std::from_chars(part.data(), part.data() + part.size(), fraction);
    if (c != std::errc{} || e != part.data() + part.size()) return {};
    std::uint64_t ten = 1;
    for (std::size_t i = 0; i < part.size(); ++i) ten *= 10;
    total += static_cast<Wide>(fraction) * factor / ten;
  }
  if (total > static_cast<Wide>(std::numeric_limits<std::int64_t>::max())) return {};
  return static_cast<std::uint64_t>(total);
}

// Splits `10.5ms` into digits and suffix.
std::pair<std::string_view, std::string_view> number_and_suffix(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size() && ((text[i] >= '0' && text[i] <= '9') || text[i] == '.')) ++i;
  return {text.substr(0, i), text.substr(i)};
}

template <std::size_t N>
std::optional<std::uint64_t> with_suffix(std::string_view text, const std::array<Suffix, N>& suffixes) {
  const auto [digits, suffix] = number_and_suffix(text);
  for (const Suffix& s : suffixes)
    if (equal_fold(suffix, s.name)) return scaled(digits, s.factor);
  return {};
}

// clang-format off
constexpr std::array size_suffixes{
    Suffix{"", 1}, Suffix{"b", 1},
    Suffix{"k", 1ULL << 10U}, Suffix{"kb", 1ULL << 10U}, Suffix{"kib", 1ULL << 10U},
    Suffix{"m", 1ULL << 20U}, Suffix{"mb", 1ULL << 20U}, Suffix{"mib", 1ULL << 20U},
    Suffix{"g", 1ULL << 30U}, Suffix{"gb", 1ULL << 30U}, Suffix{"gib", 1ULL << 30U},
    Suffix{"t", 1ULL << 40U}, Suffix{"tb", 1ULL << 40U}, Suffix{"tib", 1ULL << 40U}};
constexpr std::array time_suffixes{
    Suffix{"us", 1}, Suffix{"ms", 1'000}, Suffix{"s", 1'000'000}, Suffix{"m", 60'000'000},
    Suffix{"min", 60'000'000}, Suffix{"h", 3'600'000'000}};
constexpr std::array rate_suffixes{
    Suffix{"bit", 1}, Suffix{"kbit", 1'000}, Suffix{"mbit", 1'000'000}, Suffix{"gbit", 1'000'000'000},
    Suffix{"tbit", 1'000'000'000'000},
    Suffix{"kibit", 1ULL << 10U}, Suffix{"mibit", 1ULL << 20U}, Suffix{"gibit", 1ULL << 30U},
    Suffix{"bps", 8}, Suffix{"kbps", 8'000}, Suffix{"mbps", 8'000'000}, Suffix{"gbps", 8'000'000'000}};
// clang-format on

template <class T>
Result<T> parse_integer(std::string_view text, T low, T high) {
  T n{};
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (text.empty() || ec == std::errc::invalid_argument || end != text.data() + text.size())
    return bad_value(text, "is not a number");
  if (ec == std::errc::result_out_of_range || n < low || n > high)
    return bad_value(text, fmt::format("is outside {} to {}", low, high));
  return n;
}

}  // namespace

Result<std::uint64_t> parse_u64(std::string_view text, std::uint64_t low, std::uint64_t high) {
  return parse_integer<std::uint64_t>(text, low, high);
}

Result<std::int64_t> parse_i64(std::string_view text, std::int64_t low, std::int64_t high) {
  return parse_integer<std::int64_t>(text, low, high);
}

Result<std::uint64_t> parse_any_base(std::string_view text, std::uint64_t high) {
  if (!text.starts_with("0x") && !text.starts_with("0X")) return parse_u64(text, 0, high);
  std::uint64_t n = 0;
  const std::string_view digits = text.substr(2);
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), n, 16);
  if (digits.empty() || ec == std::errc::invalid_argument || end != digits.data() + digits.size())
    return bad_value(text, "is not a number");
  if (ec != std::errc{} || n > high) return bad_value(text, fmt::format("is over {:#x}", high));
  return n;
}

Result<std::uint64_t> parse_size(std::string_view text) {
  if (text == "max" || text == "-1") return unlimited;
  if (const auto n = with_suffix(text, size_suffixes)) return *n;
  return bad_value(text, "is not a size (like 512M, 2G, max)");
}

std::string format_size(std::uint64_t bytes) {
  if (bytes == unlimited) return "max";
  if (bytes < 1024) return std::to_string(bytes);
  static constexpr std::string_view units = "KMGTPE";
  double n = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (n /= 1024; n >= 1023.95 && unit + 1 < units.size(); n /= 1024) ++unit;
  return fmt::format("{:.1f}{}", n, units[unit]);
}

Result<std::uint64_t> parse_time(std::string_view text) {
  if (const auto n = with_suffix(text, time_suffixes)) return *n;
  return bad_value(text, "is not a time (like 500ms, 10s, 2m)");
}

std::string format_time(std::uint64_t usec) {
  const auto form = [](std::uint64_t n, std::uint64_t unit, std::string_view name) {
    std::string text = std::to_string(n / unit);
    if (std::uint64_t rest = n % unit; rest != 0) {
      std::string digits = std::to_string(unit + rest).substr(1);
      digits.erase(digits.find_last_not_of('0') + 1);
      text += "." + digits;
    }
    return text.append(name);
  };
  if (usec >= 1'000'000 || usec == 0) return form(usec, 1'000'000, "s");
  if (usec >= 1'000) return form(usec, 1'000, "ms");
  return form(usec, 1, "us");
}

Result<Quota> parse_quota(std::string_view text) {
  constexpr std::uint64_t default_period = 100'000;
  Quota q;
  const std::string_view given = text;
  if (text == "max" || text == "-1") return q;
  const auto wrong = [&] { return bad_value(given, "is not a CPU quota (like 150%, 1.5, 150000/100000, max)"); };
  if (const std::size_t slash = text.find('/'); slash != std::string_view::npos) {
    const auto period = parse_u64(text.substr(slash + 1));
    if (!period) return wrong();
    if (*period < 1000 || *period > 1'000'000)
      return bad_value(given, "has a period outside 1000 to 1000000 microseconds");
    q.period = *period;
    const std::string_view quota = text.substr(0, slash);
    if (quota == "max" || quota == "-1") return q;
    const auto n = parse_u64(quota);
    if (!n) return wrong();
    q.quota = *n;
  } else {
    const bool percent = text.ends_with('%');
    if (percent) text.remove_suffix(1);
    const auto n = scaled(text, percent ? default_period / 100 : default_period);
    if (!n) return wrong();
    q.quota = *n;
  }
  if (q.quota < 1000)
    return bad_value(given, "is under the kernel's smallest quota, 1000 microseconds (1% of one CPU)");
  if (q.quota > (std::uint64_t{1} << 44U)) return bad_value(given, "is over the kernel's largest quota");
  return q;
}

Result<Quota> parse_rt(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return bad_value(text, "is not TIME/PERIOD (like 10ms/1s)");
  const auto one = [](std::string_view part) { return part == "0" ? Result<std::uint64_t>(0U) : parse_time(part); };
  const auto runtime = one(text.substr(0, slash));
  const auto period = parse_time(text.substr(slash + 1));
  if (!runtime || !period) return bad_value(text, "is not TIME/PERIOD (like 10ms/1s)");
  if (*period == 0) return bad_value(text, "has a period of nothing");
  if (*runtime > *period) return bad_value(text, "has a run time over its period");
  return Quota{.quota = *runtime, .period = *period};
}

Result<IdSet> IdSet::parse(std::string_view text) {
  IdSet set;
  if (text.empty()) return set;
  constexpr std::uint64_t most = 65535;
  const auto wrong = [&] { return bad_value(text, "is not a list (like 0-3,8,10-15:2)"); };
  for (const std::string_view part : split(text, ',')) {
    std::string_view range = part;
    std::uint64_t used = 1;
    std::uint64_t group = 1;
    if (const std::size_t colon = part.find(':'); colon != std::string_view::npos) {
      // `:2` is every second one, `:1/2` the first of each two (the kernel's bitmap list form).
      std::string_view step = part.substr(colon + 1);
      range = part.substr(0, colon);
      if (const std::size_t slash = step.find('/'); slash != std::string_view::npos) {
        const auto n = parse_u64(step.substr(0, slash), 1, most);
        if (!n) return wrong();
        used = *n;
        step.remove_prefix(slash + 1);
      }
      const auto n = parse_u64(step, 1, most);
      if (!n || used > *n) return wrong();
      group = *n;
    }
    const std::size_t dash = range.find('-');
    const auto first = parse_u64(range.substr(0, dash), 0, most);
    const auto last = dash == std::string_view::npos ? first : parse_u64(range.substr(dash + 1), 0, most);
    if (!first || !last || *last < *first || (range.size() != part.size() && dash == std::string_view::npos))
      return wrong();
    for (std::uint64_t base = *first; base <= *last; base += group)
      for (std::uint64_t id = base; id < base + used && id <= *last; ++id)
        set.ids_.push_back(static_cast<unsigned>(id));
    if (set.ids_.size() > std::size_t{1} << 20U) return wrong();  // many overlapping ranges: nobody's CPU list
  }
  std::ranges::sort(set.ids_);
  const auto rest = std::ranges::unique(set.ids_);
  set.ids_.erase(rest.begin(), rest.end());
  return set;
}

void IdSet::add(unsigned id) {
  const auto at = std::ranges::lower_bound(ids_, id);
  if (at == ids_.end() || *at != id) ids_.insert(at, id);
}

bool IdSet::contains(unsigned id) const { return std::ranges::binary_search(ids_, id); }

bool IdSet::within(const IdSet& other) const { return std::ranges::includes(other.ids_, ids_); }

std::string IdSet::text() const {
  std::string out;
  for (std::size_t i = 0; i < ids_.size();) {
    std::size_t end = i;
    while (end + 1 < ids_.size() && ids_[end + 1] == ids_[end] + 1) ++end;
    if (!out.empty()) out += ',';
    out += std::to_string(ids_[i]);
    if (end > i) out += '-' + std::to_string(ids_[end]);
    i = end + 1;
  }
  return out;
}

Result<std::uint64_t> parse_rate(std::string_view text) {
  if (const auto n = with_suffix(text, rate_suffixes); n && *n >= 8) return *n;
  return bad_value(text, "is not a rate (like 10mbit, 1gbit, 500kbit)");
}

std::string format_rate(std::uint64_t bits) {
  for (const Suffix& s : {Suffix{"gbit", 1'000'000'000}, Suffix{"mbit", 1'000'000}, Suffix{"kbit", 1'000}})
    if (bits >= s.factor && bits % s.factor == 0) return fmt::format("{}{}", bits / s.factor, s.name);
  return fmt::format("{}bit", bits);
}

Result<DevNumber> parse_dev_number(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon != std::string_view::npos) {
    const auto major = parse_u64(text.substr(0, colon), 0, 4095);
    const auto minor = parse_u64(text.substr(colon + 1), 0, 1048575);
    if (major && minor) return DevNumber{static_cast<unsigned>(*major), static_cast<unsigned>(*minor)};
  }
  return bad_value(text, "is not a device number (like 8:0)");
}

Result<std::pair<std::string_view, std::string_view>> parse_pair(std::string_view text, char separator) {
  const std::size_t at = text.find(separator);
  if (at == std::string_view::npos || at == 0 || at + 1 == text.size())
    return bad_value(text, fmt::format("is not KEY{}VALUE", separator));
  return std::pair{text.substr(0, at), text.substr(at + 1)};
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::vector<std::string_view> lines(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.empty()) return {};
  return split(text, '\n');
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> found;
  while (true) {
    const std::size_t start = text.find_first_not_of(" \t\n");
    if (start == std::string_view::npos) return found;
    text.remove_prefix(start);
    const std::size_t end = std::min(text.find_first_of(" \t\n"), text.size());
    found.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

std::string_view trim(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos) return {};
  return text.substr(start, text.find_last_not_of(" \t\r\n") - start + 1);
}

std::optional<std::string_view> keyed(std::string_view file, std::string_view key) {
  while (!file.empty()) {
    const std::size_t end = std::min(file.find('\n'), file.size());
    const std::string_view line = file.substr(0, end);
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ' ')
      return line.substr(key.size() + 1);
    file.remove_prefix(std::min(end + 1, file.size()));
  }
  return {};
}

std::optional<std::uint64_t> keyed_u64(std::string_view file, std::string_view key) {
  const auto text = keyed(file, key);
  if (!text) return {};
  const auto n = parse_u64(*text);
  if (!n) return {};
  return *n;
}

std::string unescape_octal(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '7'; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && digit(text[i + 1]) && digit(text[i + 2]) && digit(text[i + 3])) {
      out += static_cast<char>(((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0')) & 0xff);
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string_view nearest(std::string_view word, const std::vector<std::string_view>& known) {
  if (word.size() > 64) return {};
  std::string_view best;
  std::size_t best_distance = std::min<std::size_t>(3, (word.size() + 1) / 2);
  for (const std::string_view candidate : known) {
    std::vector<std::size_t> row(candidate.size() + 1);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j < row.size(); ++j) {
        const std::size_t above = row[j];
        row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (word[i - 1] == candidate[j - 1] ? 0 : 1)});
        diagonal = above;
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

}  // namespace cgx::sys
