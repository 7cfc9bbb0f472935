// SPDX-License-Identifier: Apache-2.0
#include "cgx/model/value.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/model/knob.h"
#include "cgx/model/value_parts.h"

namespace cgx {
namespace {

std::unexpected<Error> wrong(std::string_view text, Format format, std::string_view like) {
  return bad_value(text, fmt::format("is not {} (like {})", placeholder(format), like));
}

Result<std::string> device(std::string_view name, const DeviceNames& names) {
  if (name.find('/') == std::string_view::npos) {
    const sys::DevNumber n = CGX_TRY(sys::parse_dev_number(name));
    return fmt::format("{}:{}", n.major, n.minor);
  }
  if (names.disk == nullptr) return bad_value(name, "is not a device number (like 8:0)");
  return names.disk(name);
}

// A key that becomes a word of a kernel line: no blank, no control character.
Result<std::string> word(std::string_view text) {
  for (const char c : text)
    if (c <= ' ' || c == 0x7f) return bad_value(text, "has a blank or a control character");
  if (text.empty()) return bad_value(text, "is empty");
  return std::string(text);
}

Result<std::uint64_t> count_or_max(std::string_view text, std::uint64_t high = sys::unlimited) {
  if (text == "max" || text == "-1") return sys::unlimited;
  return sys::parse_u64(text, 0, std::min(high, static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())));
}

Result<Value> parse_io_max(std::string_view text, const DeviceNames& names) {
  const std::size_t eq = text.find('=');
  const std::size_t colon = text.substr(0, eq).rfind(':');
  if (eq == std::string_view::npos || colon == std::string_view::npos || colon == 0)
    return wrong(text, Format::io_max, "8:0:rbps=50M,wiops=1000");
  TableRow r{CGX_TRY(device(text.substr(0, colon), names)), {}};
  for (const std::string_view part : sys::split(text.substr(colon + 1), ',')) {
    const auto pair = sys::parse_pair(part);
    if (!pair) return wrong(text, Format::io_max, "8:0:rbps=50M,wiops=1000");
    const auto [key, n] = *pair;
    if (key != "rbps" && key != "wbps" && key != "riops" && key != "wiops")
      return bad_value(text, fmt::format("has the key {}, which is none of rbps, wbps, riops, wiops", key));
    const std::uint64_t number = CGX_TRY(key.ends_with("bps") ? sys::parse_size(n) : count_or_max(n));
    if (number == 0)
      return bad_value(text, fmt::format("has {}=0, which would stop all IO; max takes a limit away", key));
    std::erase_if(r.fields, [&](const auto& f) { return f.first == key; });
    r.fields.emplace_back(key, number);
  }
  return Value(Table{std::move(r)});
}

Result<Value> parse_dev_key_count(std::string_view text) {
  const std::size_t eq = text.find('=');
  const std::size_t colon = text.substr(0, eq).rfind(':');
  if (eq == std::string_view::npos || colon == std::string_view::npos || colon == 0)
    return wrong(text, Format::dev_key_count, "mlx4_0:hca_handle=2,hca_object=2000");
  TableRow r{CGX_TRY(word(text.substr(0, colon))), {}};
  for (const std::string_view part : sys::split(text.substr(colon + 1), ',')) {
    const auto [key, n] = CGX_TRY(sys::parse_pair(part));
    r.fields.emplace_back(CGX_TRY(word(key)), CGX_TRY(count_or_max(n)));
  }
  return Value(Table{std::move(r)});
}

// `2M` as the kernel names it: 2MB.
Result<std::string> huge_page_size(std::string_view text) {
  const std::uint64_t n = CGX_TRY(sys::parse_size(text));
  if (n == sys::unlimited || n < 1024 || (n & (n - 1)) != 0)
    return bad_value(text, "is not a size of huge pages (like 2M, 1G)");
  if (n >= 1ULL << 30U) return fmt::format("{}GB", n >> 30U);
  if (n >= 1ULL << 20U) return fmt::format("{}MB", n >> 20U);
  return fmt::format("{}KB", n >> 10U);
}

Result<Value> parse_classid(std::string_view text) {
  const std::size_t colon = text.find(':');
  const auto half = [](std::string_view t) {
    if (t.empty() || t.size() > 4 || t.starts_with("0x")) return Result<std::uint64_t>(bad_value(t, "no"));
    return sys::parse_any_base("0x" + std::string(t), 0xffff);
  };
  if (colon == std::string_view::npos) {
    if (text == "0") return Value(std::uint64_t{0});
    return wrong(text, Format::classid, "10:1");
  }
  const auto major = half(text.substr(0, colon));
  const auto minor = half(text.substr(colon + 1));
  if (!major || !minor) return wrong(text, Format::classid, "10:1, each at most ffff");
  return Value((*major << 16U) | *minor);
}

Result<Value> parse_percent(std::string_view text) {
  if (text == "max") return Value(std::string(text));
  std::string_view whole = text.substr(0, text.find('.'));
  const auto n = sys::parse_u64(whole, 0, 100);
  const std::string_view rest = text.substr(whole.size());
  if (!n || rest.size() > 3 || rest == "." || (!rest.empty() && !sys::parse_u64(rest.substr(1))) ||
      (*n == 100 && rest.find_first_not_of(".0") != std::string_view::npos))
    return wrong(text, Format::percent, "25.50");
  return Value(std::string(text));
}

std::string number(std::uint64_t n) { return n == sys::unlimited ? "max" : std::to_string(n); }

// Four digits are enough for people, as long as no more stand before the point: never a power of ten, which a flag does
// not take.
std::string percent_text(double percent) {
  return percent < 1000 ? fmt::format("{:.4g}%", percent) : fmt::format("{:.0f}%", percent);
}

// Exact, and without a power of ten, which a flag does not take.
std::string thousandths(std::uint64_t n) {
  std::string text = fmt::format("{}.{:03}", n / 1000, n % 1000);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string quota_text(const sys::Quota& q) {
  if (q.quota == sys::unlimited) return q.period == 0 || q.period == 100'000 ? "max" : fmt::format("max/{}", q.period);
  if (q.period == 0) return fmt::format("{}%", thousandths(q.quota));
  return fmt::format("{}/{}", q.quota, q.period);
}

std::string field_text(Format format, std::string_view key, std::uint64_t n, bool people) {
  switch (format) {
    case Format::io_latency:
      return sys::format_time(n);
    case Format::if_rate:
      return n == sys::unlimited ? "max" : sys::format_rate(n);
    case Format::hugetlb:
      return people ? sys::format_size(n) : number(n);
    case Format::io_max:
      return people && key.ends_with("bps") ? sys::format_size(n) : number(n);
    default:
      return number(n);
  }
}

std::string table_text(Format format, const Table& table, bool people) {
  const bool equals = format == Format::hugetlb || format == Format::key_count || format == Format::if_count ||
                      format == Format::if_rate;
  std::string out;
  for (const TableRow& r : table) {
    if (!out.empty()) out += '\n';
    // The default weight is written without a key, as the user gives it.
    if (!(format == Format::io_weight && r.key == "default")) out += r.key + (equals ? '=' : ':');
    for (std::size_t i = 0; i < r.fields.size(); ++i) {
      const auto& [name, n] = r.fields[i];
      if (i > 0) out += ',';
      if (!name.empty()) out += name + '=';
      out += field_text(format, name, n, people);
    }
  }
  return out;
}

std::string value_text(const Knob& knob, const Value& value, bool people) {
  if (const auto* n = std::get_if<std::uint64_t>(&value)) {
    if (knob.format == Format::size && people) return sys::format_size(*n);
    if (knob.format == Format::usec && *n != sys::unlimited) return sys::format_time(*n);
    if (knob.format == Format::number) return std::to_string(*n);  // its greatest number is no max
    if (knob.format == Format::classid) return *n == 0 ? "0" : fmt::format("{:x}:{:x}", *n >> 16U, *n & 0xffffU);
    return number(*n);
  }
  if (const auto* q = std::get_if<sys::Quota>(&value)) {
    if (knob.format == Format::rt) return fmt::format("{}/{}", sys::format_time(q->quota), sys::format_time(q->period));
    if (people && q->quota != sys::unlimited && q->period != 0)
      return percent_text(100.0 * static_cast<double>(q->quota) / static_cast<double>(q->period));
    return quota_text(*q);
  }
  if (const auto* t = std::get_if<Table>(&value)) return table_text(knob.format, *t, people);
  return std::get<std::string>(value);
}

}  // namespace

std::string_view placeholder(Format format) {
  switch (format) {
    case Format::size:
      return "SIZE";
    case Format::usec:
      return "TIME";
    case Format::flag:
      return "0|1";
    case Format::quota:
      return "QUOTA";
    case Format::rt:
      return "TIME/PERIOD";
    case Format::list:
      return "LIST";
    case Format::word:
      return "WORD";
    case Format::percent:
      return "PERCENT";
    case Format::classid:
      return "MAJ:MIN";
    case Format::io_max:
      return "DEV:KEY=N[,KEY=N]";
    case Format::io_latency:
      return "DEV:TIME";
    case Format::io_weight:
      return "[DEV:]N";
    case Format::hugetlb:
      return "SIZE=LIMIT";
    case Format::key_count:
      return "KEY=N";
    case Format::dev_key_count:
      return "DEV:KEY=N[,KEY=N]";
    case Format::if_count:
      return "IF=N";
    case Format::if_rate:
      return "IF=RATE";
    case Format::device_rules:
      return "RULE";
    case Format::keyed:
    case Format::text:
      return "TEXT";
    case Format::count:
    case Format::number:
    case Format::integer:
      break;
  }
  return "N";
}

bool is_table(Format format) {
  switch (format) {
    case Format::io_max:
    case Format::io_latency:
    case Format::io_weight:
    case Format::hugetlb:
    case Format::key_count:
    case Format::dev_key_count:
    case Format::if_count:
    case Format::if_rate:
      return true;
    default:
      return false;
  }
}

Error of_whole(const Knob& knob, Error part, std::string_view text) {
  if (!is_table(knob.format) || part.value == text) return part;
  part.what = fmt::format("has \"{}\", which {}", part.value, part.what);
  part.value = text;
  return part;
}

Result<Value> parse_value(const Knob& knob, std::string_view text, const DeviceNames& names) {
  auto value = parse_parts(knob, text, names);
  if (!value) return std::unexpected(of_whole(knob, std::move(value).error(), text));
  return value;
}

Result<Value> parse_parts(const Knob& knob, std::string_view text, const DeviceNames& names) {
  const auto one_row = [](std::string key, std::uint64_t n) { return Value(Table{{std::move(key), {{"", n}}}}); };
  switch (knob.format) {
    case Format::size:
      return Value(CGX_TRY(sys::parse_size(text)));
    case Format::count:
      return Value(CGX_TRY(count_or_max(text, knob.high)));
    case Format::number:
      return Value(CGX_TRY(sys::parse_u64(text, knob.low, knob.high)));
    case Format::usec: {
      return Value(CGX_TRY(text == "0" ? Result<std::uint64_t>(0U) : sys::parse_time(text)));
    }
    case Format::flag:
      if (text != "0" && text != "1") return bad_value(text, "is neither 0 nor 1");
      return Value(std::uint64_t{text == "1"});
    case Format::quota:
      return Value(CGX_TRY(sys::parse_quota(text)));
    case Format::rt:
      return Value(CGX_TRY(sys::parse_rt(text)));
    case Format::list: {
      const sys::IdSet set = CGX_TRY(sys::IdSet::parse(text));
      if (set.empty()) return wrong(text, knob.format, "0-3,8");
      return Value(set.text());
    }
    case Format::word: {
      for (const std::string_view w : sys::split(knob.words, '|'))
        if (w == text) return Value(std::string(text));
      return bad_value(text, fmt::format("is none of {}", knob.words));
    }
    case Format::integer:
      CGX_CHECK(sys::parse_i64(text, -1000000, 1000000));
      return Value(std::string(text));
    case Format::percent:
      return parse_percent(text);
    case Format::classid:
      return parse_classid(text);
    case Format::io_max:
      return parse_io_max(text, names);
    case Format::io_latency: {
      const std::size_t colon = text.rfind(':');
      if (colon == std::string_view::npos || colon == 0) return wrong(text, knob.format, "8:0:10ms");
      return one_row(CGX_TRY(device(text.substr(0, colon), names)), CGX_TRY(sys::parse_time(text.substr(colon + 1))));
    }
    case Format::io_weight: {
      const std::size_t colon = text.rfind(':');
      if (colon == std::string_view::npos)
        return one_row("default", CGX_TRY(sys::parse_u64(text, knob.low, knob.high)));
      return one_row(CGX_TRY(device(text.substr(0, colon), names)),
                     CGX_TRY(sys::parse_u64(text.substr(colon + 1), knob.low, knob.high)));
    }
    case Format::hugetlb: {
      const auto pair = sys::parse_pair(text);
      if (!pair) return wrong(text, knob.format, "2M=64M");
      return one_row(CGX_TRY(huge_page_size(pair->first)), CGX_TRY(sys::parse_size(pair->second)));
    }
    case Format::key_count: {
      const auto [key, n] = CGX_TRY(sys::parse_pair(text));
      return one_row(CGX_TRY(word(key)), CGX_TRY(count_or_max(n)));
    }
    case Format::dev_key_count:
      return parse_dev_key_count(text);
    case Format::if_count: {
      const auto pair = sys::parse_pair(text);
      if (!pair) return wrong(text, knob.format, "eth0=5");
      return one_row(CGX_TRY(word(pair->first)), CGX_TRY(sys::parse_u64(pair->second, 0, knob.high)));
    }
    case Format::if_rate: {
      const auto pair = sys::parse_pair(text);
      if (!pair) return wrong(text, knob.format, "eth0=10mbit");
      if (pair->second == "max") return one_row(CGX_TRY(word(pair->first)), sys::unlimited);
      return one_row(CGX_TRY(word(pair->first)), CGX_TRY(sys::parse_rate(pair->second)));
    }
    case Format::device_rules: {
      const NodeResolver node = [&](const std::string& path) {
        return names.node != nullptr ? names.node(path) : Result<NodeType>(bad_value(path, "is not a device number"));
      };
      return Value(CGX_TRY(parse_device_rule(text, node)).text());
    }
    case Format::keyed:
    case Format::text:
      break;
  }
  if (text.find('\0') != std::string_view::npos) return bad_value(text, "has a NUL byte");
  return Value(std::string(text));
}

Result<> merge_value(Value& value, const Value& more) {
  if (auto* lines = std::get_if<std::string>(&value); lines != nullptr) {
    *lines += '\n' + std::get<std::string>(more);  // device rules: the order counts
    return {};
  }
  auto* table = std::get_if<Table>(&value);
  if (table == nullptr) {
    value = more;
    return {};
  }
  for (const TableRow& r : std::get<Table>(more)) {
    const auto at = std::ranges::find(*table, r.key, &TableRow::key);
    if (at == table->end()) {
      table->push_back(r);
      continue;
    }
    for (const auto& field : r.fields) {
      const auto same = std::ranges::find(at->fields, field.first, &std::pair<std::string, std::uint64_t>::first);
      if (same == at->fields.end())
        at->fields.push_back(field);
      else if (same->second != field.second)
        return std::unexpected(Error{.code = EINVAL,
                                     .what = fmt::format("gives {}{}{} a second value ({} and {})",
                                                         r.key,
                                                         field.first.empty() ? "" : " ",
                                                         field.first,
                                                         same->second,
                                                         field.second),
                                     .fault = Fault::usage});
    }
  }
  return {};
}

std::string display(const Knob& knob, const Value& value) { return value_text(knob, value, true); }

std::string exact(const Knob& knob, const Value& value) { return value_text(knob, value, false); }

}  // namespace cgx
