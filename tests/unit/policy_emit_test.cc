// SPDX-License-Identifier: Apache-2.0
// Policies as text: what is written reads back as the same values.
#include <algorithm>
#include <string>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/policy/emit.h"
#include "cgx/policy/keys.h"

#include "parsing.h"
#include "policy_text.h"

namespace policy_emit_test {

namespace {
using namespace cgx;
using namespace cgx::policy;
using test::load_good;
using test::problems_of;

std::string emitted(const Policies& p) {
  const auto text = emit(p);
  return text ? *text : "<" + text.error().text() + ">";
}

// Written, read and written again: the same text, and nothing is said of it.
void check_round(const Policies& p) {
  const std::string once = emitted(p);
  INFO(once);
  const Loaded back = load_text(once, "t.yaml");
  CHECK(problems_of(back) == "");
  CHECK(emitted(back.policies) == once);
}

TEST_CASE("policy text: the canonical form") {
  const std::string text = R"(version: 1
groups:
  web:
    description: "front-end servers: 3 of them"
    best_effort: true
    lossy: allow
    owner: root:root
    cpu: {weight: 500, quota: 150%, burst: 20ms}
    cpuset: {cpus: 0-1, mems: 0}
    memory: {max: 2G, high: 1800M, swap: 0, oom: pause, pause_max: 3s}
    io: {weight: {default: 200, "8:0": 300}, max: {"8:0": {rbps: 50M, wiops: 1000}}}
    devices: {default: deny, allow: ["c 1:3 rwm"]}
    net: {class: "10:1", prio: {eth0: 5}, rate: {eth0: 10mbit}}
    hugetlb: {2MB: 64M}
    pids: {max: 512}
    raw: {cpu.uclamp.min: "10"}
    on_oom:
      - raise: {memory: 25%, up_to: 3G, decay_after: 600s, limit: 3/600s}
      - exec: {argv: [/usr/local/bin/dump-heap], timeout: 5s}
      - set: {group: batch, cpu: {weight: 10}}
      - kill: {protect: [nginx], signal: TERM, grace: 2s}
      - kill
    on_pressure:
      - {when: {memory: some, stall: 150ms, window: 1s}, do: [{freeze: {group: batch, for: 10s}}]}
  batch:
    devices: {rules: ["allow c 1:3 r", "deny b 8:0 rwm"]}
  slurm/job:
    adopt: true
  web/api:
    memory: {max: 512M, oom: kill}
rules:
  - {user: "@root", command: make*, group: batch/%u}
  - {user: "*", group: web}
)";
  CHECK(emitted(load_good(text)) == text);
}

TEST_CASE("policy text: names that YAML would take for something else") {
  Policies p;
  for (const char* name :
       {"null",         "~",   "true", "no",   "10:1",       "1e3", "0x10", "- a", "a: b",     "a #b",
        "#a",           "&a",  "*a",   "!a",   "%a",         "@a",  "`a",   "[a]", "{a}",      "a,b",
        "\"a\"",        "'a'", "\\",   "a\tb", " a",         "a ",  "\x01", "ä",   "\xc2\x85", "\xef\xbb\xbf",
        "\xe2\x80\xa8", "<<",  "=",    ".",    "2001-01-01", "x-y", "|",    ">",   "?"}) {
    if (std::string_view(name) == ".") continue;
    GroupPolicy g;
    g.name = name;
    g.description = name;
    p.groups.push_back(g);
  }
  check_round(p);
  const Loaded back = load_text(emitted(p), "t.yaml");
  REQUIRE(back.policies.groups.size() == p.groups.size());
  for (std::size_t i = 0; i < p.groups.size(); ++i) {
    CHECK(back.policies.groups[i].name == p.groups[i].name);
    CHECK(back.policies.groups[i].description == p.groups[i].description);
  }
}

TEST_CASE("policy text: what no YAML can hold is an error") {
  Policies p;
  p.groups.push_back({.name = "caf\xe9"});
  CHECK(emitted(p).find("not UTF-8") != std::string::npos);
}

// A value of any key, from words that its format takes.
std::string random_words(const Knob& k, test::Numbers& random) {
  const auto size = [&] { return random.below(6) == 0 ? "max" : std::to_string(1 + (random.next() >> 2U)); };
  const auto device = [&] { return fmt::format("{}:{}", random.below(4096), random.below(1 << 20U)); };
  const auto time = [&] { return fmt::format("{}us", 1 + random.below(1ULL << 40U)); };
  switch (k.format) {
    case Format::size:
      return size();
    case Format::number:
      return std::to_string(k.low + random.below(k.high - k.low));
    case Format::count:
      return random.below(4) == 0 ? "max" : std::to_string(random.below(std::min<std::uint64_t>(k.high, ~0ULL >> 1U)));
    case Format::usec:
      return time();
    case Format::flag:
      return std::to_string(random.below(2));
    case Format::quota:
      return random.below(4) == 0 ? "max" : fmt::format("{}/100000", 1000 + random.below(10'000'000));
    case Format::rt:
      return fmt::format("{}us/1s", random.below(1'000'000));
    case Format::list:
      return fmt::format("{},{}-{}", random.below(9), 10 + random.below(9), 20 + random.below(900));
    case Format::word:
      return random.below(2) == 0 ? "kill" : "group";
    case Format::classid:
      return fmt::format("{:x}:{:x}", random.below(0x10000), random.below(0x10000));
    case Format::io_max:
      return fmt::format("{}:rbps={},wiops={}", device(), size(), 1 + random.below(1'000'000));
    case Format::io_latency:
      return device() + ':' + time();
    case Format::io_weight:
      return random.below(2) == 0 ? std::to_string(1 + random.below(9999)) : device() + ":7";
    case Format::hugetlb:
      return fmt::format("{}M={}", 1U << random.below(12), size());
    case Format::key_count:
      return fmt::format("res{}={}", random.below(9), random.next() >> 1U);
    case Format::dev_key_count:
      return fmt::format("mlx{}:hca_handle={},hca_object=max", random.below(9), random.next() >> 1U);
    case Format::if_count:
      return fmt::format("eth{}={}", random.below(9), random.below(1000));
    case Format::if_rate:
      return fmt::format("eth{}={}bit", random.below(9), 8 + random.below(1ULL << 40U));
    case Format::device_rules:
      return random.below(2) == 0 ? "deny a" : fmt::format("allow c {} r", device());
    default:
      return "1";
  }
}

TEST_CASE("policy text: values of every key read back as they were") {
  test::Numbers random;
  unsigned keys = 0;
  for (int round = 0; round < 100; ++round) {
    Policies p;
    GroupPolicy g;
    g.name = "g";
    g.lossy = Lossy::allow;
    for (const Section& s : sections())
      for (const Knob* k : s.knobs) {
        std::optional<Value> value;
        const unsigned times = k->format == Format::device_rules || k->format == Format::io_max ? 3 : 1;
        for (unsigned i = 0; i < times; ++i) {
          const std::string words = random_words(*k, random);
          INFO(words);
          const auto one = parse_value(*k, words, {});
          REQUIRE(one.has_value());
          if (value)
            CHECK(merge_value(*value, *one).has_value());
          else
            value = *one;
        }
        g.limits.push_back({Limit{k, *value, "", ""}, std::string(k->key), {}});
        ++keys;
      }
    p.groups.push_back(g);
    check_round(p);
    const Loaded back = load_text(emitted(p), "t.yaml");
    REQUIRE(back.policies.groups.size() == 1);
    const auto& limits = back.policies.groups[0].limits;
    REQUIRE(limits.size() == g.limits.size());
    for (std::size_t i = 0; i < limits.size(); ++i) {
      CHECK(limits[i].limit.knob == g.limits[i].limit.knob);
      INFO(g.limits[i].key);
      CHECK(exact(*limits[i].limit.knob, limits[i].limit.value) ==
            exact(*g.limits[i].limit.knob, g.limits[i].limit.value));
      CHECK(limits[i].limit.value == g.limits[i].limit.value);
    }
  }
  CHECK(keys > 2500);
}

}  // namespace

}  // namespace policy_emit_test
