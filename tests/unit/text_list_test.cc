// SPDX-License-Identifier: Apache-2.0
// Parsers of CPU lists, rates and device numbers.
#include <doctest/doctest.h>

#include "cgx/sys/text.h"

#include "parsing.h"

namespace text_list_test {

using cgx::sys::IdSet;
using cgx::test::check_refused;
using cgx::test::never;
using cgx::test::Numbers;
namespace sys = cgx::sys;

TEST_CASE("text: IdSet takes the kernel's list format") {
  const std::vector<std::pair<std::string_view, std::string_view>> good = {{"", ""},
                                                                           {"0", "0"},
                                                                           {"0-3", "0-3"},
                                                                           {"0-3,8,10-15:2", "0-3,8,10,12,14"},
                                                                           {"10-15:1/2", "10,12,14"},
                                                                           {"0-7:2/4", "0-1,4-5"},
                                                                           {"0-10:3", "0,3,6,9"},
                                                                           {"3,2,1", "1-3"},
                                                                           {"1,1,1", "1"},
                                                                           {"0-3,2-5", "0-5"},
                                                                           {"5-5", "5"},
                                                                           {"65535", "65535"},
                                                                           {"0-2:5", "0"},
                                                                           {"0-9:3/3", "0-9"},
                                                                           {"00-03", "0-3"},
                                                                           {"1,0", "0-1"}};
  for (const auto& [text, normal] : good) {
    CAPTURE(text);
    const auto set = IdSet::parse(text);
    REQUIRE(set);
    CHECK(set->text() == normal);
    CHECK(IdSet::parse(normal).value() == *set);
  }
  CHECK(IdSet::parse("0-65535").value().ids().size() == 65536);
}

TEST_CASE("text: IdSet refuses the rest") {
  for (const std::string& text : never) check_refused(IdSet::parse(text), text);
  for (const char* text : {",",
                           "0,",
                           ",0",
                           "0,,1",
                           "3-1",
                           "-1",
                           "1-",
                           "-",
                           "0--1",
                           "65536",
                           "0-65536",
                           "0-3:",
                           "0-3:0",
                           "0-3:3/2",
                           "0-3:0/2",
                           "0-3:1/0",
                           "0-3:1/",
                           "0-3:/2",
                           "5:2",
                           "5:1",
                           "0-3:1:1",
                           "0-3:1/1/1",
                           "0x1",
                           "a",
                           "0-a",
                           "all",
                           "0 1",
                           "0-3\n",
                           "18446744073709551616",
                           "0-18446744073709551615",
                           "4294967296"})
    check_refused(IdSet::parse(text), text);
}

TEST_CASE("text: IdSet bounds the work that a list can ask for") {
  std::string list = "0-65535";
  for (int i = 0; i < 1000; ++i) list += ",0-65535";
  check_refused(IdSet::parse(list), list);
}

TEST_CASE("text: a set of ids is what was put in") {
  Numbers numbers;
  for (int round = 0; round < 300; ++round) {
    IdSet set;
    std::vector<bool> there(200);
    std::string list;
    for (std::uint64_t i = numbers.below(40); i > 0; --i) {
      const auto id = static_cast<unsigned>(numbers.below(there.size()));
      set.add(id);
      there[id] = true;
      list += (list.empty() ? "" : ",") + std::to_string(id);
    }
    const std::string text = set.text();
    CAPTURE(text);
    for (unsigned id = 0; id < there.size(); ++id)
      if (set.contains(id) != there[id]) FAIL_CHECK("wrong about ", id);
    CHECK(IdSet::parse(list).value() == set);
    CHECK(IdSet::parse(text).value() == set);
    CHECK(set.empty() == list.empty());
    CHECK(set.within(set));
    IdSet more = set;
    more.add(200);
    CHECK(set.within(more));
    CHECK_FALSE(more.within(set));
    CHECK(IdSet{}.within(set));
  }
}

TEST_CASE("text: parse_rate takes tc's suffixes") {
  const std::vector<std::pair<std::string_view, std::uint64_t>> good = {{"8bit", 8},
                                                                        {"8000bit", 8000},
                                                                        {"500kbit", 500'000},
                                                                        {"10mbit", 10'000'000},
                                                                        {"10Mbit", 10'000'000},
                                                                        {"1gbit", 1'000'000'000},
                                                                        {"1.5gbit", 1'500'000'000},
                                                                        {"1tbit", 1'000'000'000'000},
                                                                        {"1bps", 8},
                                                                        {"1kbps", 8000},
                                                                        {"1mbps", 8'000'000},
                                                                        {"1gbps", 8'000'000'000},
                                                                        {"1kibit", 1024},
                                                                        {"1mibit", 1048576},
                                                                        {"2gibit", 2ULL << 30U}};
  for (const auto& [text, bits] : good) {
    CAPTURE(text);
    CHECK(sys::parse_rate(text).value_or(1) == bits);
  }
  for (const std::string& text : never) check_refused(sys::parse_rate(text), text);
  for (const char* text : {"",
                           "10",
                           "0bit",
                           "7bit",
                           "0.5bps",
                           "1.5bit",
                           "10m",
                           "10 mbit",
                           "10mbits",
                           "-1mbit",
                           "max",
                           "-1",
                           "mbit",
                           "9223373tbit",
                           "99999999999999999999bit",
                           "0.000001mbit"})
    check_refused(sys::parse_rate(text), text);
}

TEST_CASE("text: parse_dev_number takes the kernel's range") {
  CHECK(sys::parse_dev_number("8:0").value() == sys::DevNumber{8, 0});
  CHECK(sys::parse_dev_number("4095:1048575").value() == sys::DevNumber{4095, 1048575});
  CHECK(sys::parse_dev_number("0:0").value() == sys::DevNumber{0, 0});
  for (const std::string& text : never) check_refused(sys::parse_dev_number(text), text);
  for (const char* text : {"",
                           "8",
                           ":",
                           "8:",
                           ":0",
                           "8:0:0",
                           "4096:0",
                           "0:1048576",
                           "-1:0",
                           "8:-1",
                           "8: 0",
                           "a:b",
                           "8.0",
                           "*:*",
                           "8:*",
                           "18446744073709551616:0"})
    check_refused(sys::parse_dev_number(text), text);
}

}  // namespace text_list_test
