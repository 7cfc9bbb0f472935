// SPDX-License-Identifier: Apache-2.0
#include "cgx/model/value.h"

#include <string>
#include <tuple>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/model/knob.h"

#include "parsing.h"

namespace value_test {

namespace {
using namespace cgx;

Result<std::string> fake_disk(std::string_view path) {
  if (path == "/dev/sda" || path == "/data:1") return std::string("8:0");
  return bad_value(path, "is no disk");
}
Result<NodeType> fake_node(const std::string& path) {
  if (path == "/dev/null") return NodeType{.type = 'c', .major = 1, .minor = 3};
  return bad_value(path, "is no node");
}
const DeviceNames names{.disk = fake_disk, .node = fake_node};

const Knob& knob(std::string_view name) {
  const Knob* k = find_knob(name);
  REQUIRE(k != nullptr);
  return *k;
}

std::string exact_of(std::string_view name, std::string_view text) {
  const Knob& k = knob(name);
  const auto value = parse_value(k, text, names);
  return value ? exact(k, *value) : "<" + value.error().text() + ">";
}
std::string shown_of(std::string_view name, std::string_view text) {
  const Knob& k = knob(name);
  const auto value = parse_value(k, text, names);
  return value ? display(k, *value) : "<" + value.error().text() + ">";
}

// A value that a knob of this format may have, as its decoder could answer it.
Value random_value(const Knob& k, test::Numbers& random) {
  const auto number = [&](std::uint64_t high) {
    const std::uint64_t n = random.next();
    return high == sys::unlimited ? n >> 1U : n % (high + 1);
  };
  const auto or_max = [&](std::uint64_t n) { return random.below(8) == 0 ? sys::unlimited : n; };
  const auto dev = [&] { return fmt::format("{}:{}", random.below(4096), random.below(1 << 20U)); };
  switch (k.format) {
    case Format::size:
      return or_max(number(sys::unlimited));
    case Format::count:
      return or_max(number(k.high));
    case Format::number:
      if (random.below(4) == 0) return random.below(2) == 0 ? k.low : k.high;  // the ends, of which 2^64-1 is one
      return k.low + number(k.high - k.low == sys::unlimited ? sys::unlimited : k.high - k.low);
    case Format::usec:
      return number(1ULL << 40U);
    case Format::flag:
      return random.below(2);
    case Format::quota: {
      const std::uint64_t period = 1000 + random.below(999'001);
      if (random.below(6) == 0) return sys::Quota{sys::unlimited, period};
      return sys::Quota{1000 + number(1ULL << 40U), random.below(3) == 0 ? 100'000 : period};
    }
    case Format::rt: {
      const std::uint64_t period = 1 + random.below(1'000'000);
      return sys::Quota{random.below(period + 1), period};
    }
    case Format::list: {
      sys::IdSet set;
      for (std::uint64_t i = 0; i < 1 + random.below(20); ++i) set.add(static_cast<unsigned>(random.below(64)));
      return set.text();
    }
    case Format::word: {
      const auto words = sys::split(k.words, '|');
      return std::string(words[random.below(words.size())]);
    }
    case Format::integer:
      return std::to_string(static_cast<std::int64_t>(random.below(2'000'001)) - 1'000'000);
    case Format::percent:
      return fmt::format("{}.{:02}", random.below(100), random.below(100));
    case Format::classid:
      return random.below(1ULL << 32U);
    case Format::io_max: {
      TableRow r{dev(), {}};
      for (const char* const key : {"rbps", "wbps", "riops", "wiops"})
        if (random.below(2) == 0 || (r.fields.empty() && key[1] == 'i' && key[0] == 'w'))
          r.fields.emplace_back(key, or_max(1 + (random.next() >> 2U)));
      return Table{r};
    }
    case Format::io_latency:
      return Table{{dev(), {{"", number(1ULL << 40U)}}}};
    case Format::io_weight:
      return Table{{random.below(2) == 0 ? "default" : dev(), {{"", k.low + random.below(k.high - k.low + 1)}}}};
    case Format::hugetlb:
      return Table{{random.below(2) == 0 ? "2MB" : "1GB", {{"", or_max(number(sys::unlimited))}}}};
    case Format::key_count:
      return Table{{"res_a", {{"", or_max(number(sys::unlimited))}}}};
    case Format::dev_key_count:
      return Table{{"mlx5_0", {{"hca_handle", or_max(number(1U << 30U))}, {"hca_object", or_max(5)}}}};
    case Format::if_count:
      return Table{{"eth0", {{"", number(k.high)}}}};
    case Format::if_rate:
      return Table{{"eth0", {{"", 8 + random.below(1ULL << 40U)}}}};
    case Format::device_rules:
      return fmt::format("deny c {}:* rw", random.below(4096));
    case Format::keyed:
    case Format::text:
      break;
  }
  return std::string("any text");
}

}  // namespace

TEST_CASE("values: exact text parses to the same value, for every row") {
  test::Numbers random;
  for_each_knob([&](const Knob& k) {
    for (int round = 0; round < 300; ++round) {
      const Value value = random_value(k, random);
      const std::string text = exact(k, value);
      INFO("knob ", std::string(k.name), " text ", text);
      const auto back = parse_value(k, text, names);
      REQUIRE_MESSAGE(back.has_value(), (back ? std::string() : back.error().text()));
      if (k.format == Format::quota && std::get<sys::Quota>(value).quota == sys::unlimited &&
          std::get<sys::Quota>(*back).period == 0) {
        CHECK(std::get<sys::Quota>(*back).quota == sys::unlimited);  // `max` alone: the default period
        continue;
      }
      REQUIRE(*back == value);
      CHECK_FALSE(display(k, value).empty());
    }
  });
}

TEST_CASE("values: what nobody can mean is refused, for every row but texts") {
  for_each_knob([&](const Knob& k) {
    if (k.format == Format::text || k.format == Format::keyed) {
      CHECK_FALSE(parse_value(k, std::string("a\0b", 3), names).has_value());
      return;
    }
    for (const std::string& text : test::never) {
      if (k.format == Format::integer && text == "-2") continue;
      INFO("knob ", std::string(k.name), " text ", text);
      const auto value = parse_value(k, text, names);
      CHECK_FALSE(value.has_value());
      if (value) continue;
      CHECK(value.error().fault == Fault::usage);
      CHECK(value.error().value == text);
    }
  });
}

TEST_CASE("values: what users write") {
  const std::vector<std::tuple<std::string, std::string, std::string, std::string>> table{
      {"mem", "1.5G", "1610612736", "1.5G"},
      {"mem", "max", "max", "max"},
      {"mem", "-1", "max", "max"},
      {"pids", "100", "100", "100"},
      {"cpu-quota", "150%", "150%", "150%"},
      {"cpu-quota", "1.5", "150%", "150%"},
      {"cpu-quota", "30000/60000", "30000/60000", "50%"},
      {"cpu-quota", "150", "15000%", "15000%"},
      {"cpu-quota", "15000000/100000", "15000000/100000", "15000%"},
      {"cpu-quota", "1234.56789", "123456.789%", "123456.789%"},
      {"cpu-quota", "max", "max", "max"},
      {"cpu-rt", "10ms/1s", "10ms/1s", "10ms/1s"},
      {"cpus", "3,1,0-1", "0-1,3", "0-1,3"},
      {"cpu-burst", "10ms", "10ms", "10ms"},
      {"cpu-burst", "0", "0s", "0s"},
      {"io-max", "8:0:rbps=1M,wiops=5", "8:0:rbps=1048576,wiops=5", "8:0:rbps=1.0M,wiops=5"},
      {"io-max", "/dev/sda:rbps=max", "8:0:rbps=max", "8:0:rbps=max"},
      {"io-max", "/data:1:rbps=1", "8:0:rbps=1", "8:0:rbps=1"},
      {"io-max", "8:0:rbps=1,rbps=2", "8:0:rbps=2", "8:0:rbps=2"},
      {"io-latency", "8:0:10ms", "8:0:10ms", "8:0:10ms"},
      {"io-weight", "50", "50", "50"},
      {"io-weight", "/dev/sda:50", "8:0:50", "8:0:50"},
      {"hugetlb", "2M=64M", "2MB=67108864", "2MB=64.0M"},
      {"hugetlb", "2MB=max", "2MB=max", "2MB=max"},
      {"net-class", "10:1", "10:1", "10:1"},
      {"net-class", "ffff:ffff", "ffff:ffff", "ffff:ffff"},
      {"net-prio", "eth0=5", "eth0=5", "eth0=5"},
      {"net-rate", "eth0=10mbit", "eth0=10mbit", "eth0=10mbit"},
      {"rdma", "mlx:hca_handle=2,hca_object=max", "mlx:hca_handle=2,hca_object=max", "mlx:hca_handle=2,hca_object=max"},
      {"misc", "sev=3", "sev=3", "sev=3"},
      {"device", "/dev/null:rw", "allow c 1:3 rw", "allow c 1:3 rw"},
      {"oom", "pause", "pause", "pause"},
      {"cpu.uclamp.min", "25.50", "25.50", "25.50"},
  };
  for (const auto& [name, text, as_exact, for_people] : table) {
    INFO(name, " ", text);
    CHECK(exact_of(name, text) == as_exact);
    CHECK(shown_of(name, text) == for_people);
  }
}

TEST_CASE("values: wrong ones name what is wrong") {
  const std::vector<std::pair<std::string, std::string>> table{{"cpu-shares", "0"},
                                                               {"cpu-shares", "1"},
                                                               {"cpu-shares", "262145"},
                                                               {"cpu-weight", "0"},
                                                               {"cpu-weight", "10001"},
                                                               {"swappiness", "201"},
                                                               {"io-weight", "0"},
                                                               {"io-weight", "10001"},
                                                               {"io-weight", "8:0:"},
                                                               {"io-max", "8:0"},
                                                               {"io-max", "8:0:rbps"},
                                                               {"io-max", "8:0:rbps=0"},
                                                               {"io-max", ":rbps=1"},
                                                               {"io-max", "8:0:foo=1"},
                                                               {"io-max", "8:0:rbps=-2"},
                                                               {"io-max", "/nope:rbps=1"},
                                                               {"io-max", "8:0:rbps=1,"},
                                                               {"io-max", "8:0:,rbps=1"},
                                                               {"io-max", "8:0:wiops=1k"},
                                                               {"io-latency", "8:0"},
                                                               {"io-latency", "8:0:10"},
                                                               {"hugetlb", "3M=1G"},
                                                               {"hugetlb", "2M"},
                                                               {"hugetlb", "max=1G"},
                                                               {"hugetlb", "2M="},
                                                               {"net-class", "1"},
                                                               {"net-class", "10000:1"},
                                                               {"net-class", "0x1:1"},
                                                               {"net-class", "1:2:3"},
                                                               {"net-prio", "eth0=4294967296"},
                                                               {"net-prio", "eth 0=5"},
                                                               {"net-rate", "eth0=0"},
                                                               {"rdma", "x:a"},
                                                               {"rdma", "x:a=b"},
                                                               {"misc", "=1"},
                                                               {"misc", "a\nb=1"},
                                                               {"oom", "Kill"},
                                                               {"oom", ""},
                                                               {"oom", "kill|pause"},
                                                               {"cpus", ""},
                                                               {"cpus", "3-1"},
                                                               {"cpus", "0-99999999"},
                                                               {"cpu-quota", "0"},
                                                               {"cpu-quota", "0%"},
                                                               {"cpu-quota", "1/1"},
                                                               {"cpu-rt", "2s/1s"},
                                                               {"cpu-idle", "2"},
                                                               {"cpu.uclamp.min", "100.01"},
                                                               {"cpu.uclamp.min", "101"},
                                                               {"cpu.uclamp.min", "1.234"},
                                                               {"mem", "9223372036854775808"},
                                                               {"mem", "1.0000000000000001"},
                                                               {"device", "c 1:3"},
                                                               {"device", "/nope:rw"},
                                                               {"pids", "-2"},
                                                               {"pids", "9223372036854775808"}};
  for (const auto& [name, text] : table) {
    INFO(name, " ", text);
    const auto value = parse_value(knob(name), text, names);
    CHECK_FALSE(value.has_value());
    if (value) continue;
    CHECK(value.error().fault == Fault::usage);
    CHECK(value.error().value.find(text) != std::string::npos);
    CHECK_FALSE(value.error().what.empty());
  }
}

TEST_CASE("values: a repeated flag adds rows, and gives nothing two values") {
  const Knob& k = knob("io-max");
  Value value = *parse_value(k, "8:0:rbps=1,wiops=2", names);
  REQUIRE(merge_value(value, *parse_value(k, "8:16:rbps=3", names)).has_value());
  REQUIRE(merge_value(value, *parse_value(k, "8:0:rbps=1,wbps=4", names)).has_value());
  CHECK(exact(k, value) == "8:0:rbps=1,wiops=2,wbps=4\n8:16:rbps=3");
  const auto twice = merge_value(value, *parse_value(k, "8:0:rbps=9", names));
  REQUIRE_FALSE(twice.has_value());
  CHECK(twice.error().what == "gives 8:0 rbps a second value (1 and 9)");
  CHECK(twice.error().fault == Fault::usage);
  const Knob& d = knob("device");
  Value rules = *parse_value(d, "deny a", names);
  REQUIRE(merge_value(rules, *parse_value(d, "c 1:3 r", names)).has_value());
  CHECK(exact(d, rules) == "deny a\nallow c 1:3 r");
}

}  // namespace value_test
