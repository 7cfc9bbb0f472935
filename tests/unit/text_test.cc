// SPDX-License-Identifier: Apache-2.0
// Parsers of numbers, sizes, times and quotas.
#include "cgx/sys/text.h"

#include <cerrno>

#include <doctest/doctest.h>

#include "cgx/sys/harmless.h"
#include "cgx/sys/json.h"
#include "cgx/sys/result.h"

#include "parsing.h"

namespace text_test {

using cgx::sys::Quota;
using cgx::sys::unlimited;
using cgx::test::check_refused;
using cgx::test::never;
using cgx::test::Numbers;
namespace sys = cgx::sys;

namespace {

constexpr std::uint64_t most64 = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t most63 = std::numeric_limits<std::int64_t>::max();

}  // namespace

TEST_CASE("text: parse_u64 takes digits and nothing else") {
  CHECK(sys::parse_u64("0").value() == 0);
  CHECK(sys::parse_u64("007").value() == 7);
  CHECK(sys::parse_u64("18446744073709551615").value() == most64);
  for (const std::string& text : never) check_refused(sys::parse_u64(text), text);
  for (const char* text : {"", "-1", "18446744073709551616", "99999999999999999999999999", "1.0", "1k"})
    check_refused(sys::parse_u64(text), text);
}

TEST_CASE("text: parse_u64 keeps its bounds and names them") {
  CHECK(sys::parse_u64("10", 10, 20).value() == 10);
  CHECK(sys::parse_u64("20", 10, 20).value() == 20);
  check_refused(sys::parse_u64("9", 10, 20), "9");
  check_refused(sys::parse_u64("21", 10, 20), "21");
  CHECK(sys::parse_u64("21", 10, 20).error().text() == "\"21\" is outside 10 to 20");
  CHECK(sys::parse_u64("99999999999999999999", 10, 20).error().text() ==
        "\"99999999999999999999\" is outside 10 to 20");
  CHECK(sys::parse_u64("99999999999999999999x", 10, 20).error().text() == "\"99999999999999999999x\" is not a number");
}

TEST_CASE("text: parse_i64 takes a sign") {
  constexpr std::int64_t low = std::numeric_limits<std::int64_t>::min();
  constexpr std::int64_t high = std::numeric_limits<std::int64_t>::max();
  CHECK(sys::parse_i64("-1", -20, 19).value() == -1);
  CHECK(sys::parse_i64("-0", -20, 19).value() == 0);
  CHECK(sys::parse_i64("-9223372036854775808", low, high).value() == low);
  CHECK(sys::parse_i64("9223372036854775807", low, high).value() == high);
  for (const char* text : {"-9223372036854775809", "9223372036854775808", "", "-", "+1", "--1", "- 1", "1-"})
    check_refused(sys::parse_i64(text, low, high), text);
  check_refused(sys::parse_i64("-21", -20, 19), "-21");
}

TEST_CASE("text: parse_any_base takes hexadecimal after 0x") {
  CHECK(sys::parse_any_base("0x10", most64).value() == 16);
  CHECK(sys::parse_any_base("0XfF", most64).value() == 255);
  CHECK(sys::parse_any_base("10", most64).value() == 10);
  CHECK(sys::parse_any_base("0xffffffffffffffff", most64).value() == most64);
  CHECK(sys::parse_any_base("0x00100001", 0xffffffff).value() == 0x100001);
  for (const char* text : {"", "0x", "x1", "0x-1", "0x0x1", "0xg", "0x1 ", "ff", "0x10000000000000000", "-0x1", "0x+1"})
    check_refused(sys::parse_any_base(text, most64), text);
  check_refused(sys::parse_any_base("0x100000000", 0xffffffff), "0x100000000");
  check_refused(sys::parse_any_base("4294967296", 0xffffffff), "4294967296");
  for (const std::string& text : never) check_refused(sys::parse_any_base(text, most64), text);
}

TEST_CASE("text: parse_size takes powers of 1024 in either case") {
  const std::vector<std::pair<std::string_view, std::uint64_t>> good = {{"0", 0},
                                                                        {"4096", 4096},
                                                                        {"1b", 1},
                                                                        {"512k", 512ULL << 10U},
                                                                        {"512K", 512ULL << 10U},
                                                                        {"512kb", 512ULL << 10U},
                                                                        {"512KiB", 512ULL << 10U},
                                                                        {"64MiB", 64ULL << 20U},
                                                                        {"64m", 64ULL << 20U},
                                                                        {"64MB", 64ULL << 20U},
                                                                        {"2G", 2ULL << 30U},
                                                                        {"2gib", 2ULL << 30U},
                                                                        {"1.5G", 1536ULL << 20U},
                                                                        {"0.5k", 512},
                                                                        {"1.0M", 1ULL << 20U},
                                                                        {"1T", 1ULL << 40U},
                                                                        {"1.25TiB", 1280ULL << 30U},
                                                                        {"0.000000001G", 1},
                                                                        {"max", unlimited},
                                                                        {"-1", unlimited},
                                                                        {"9223372036854775807", most63},
                                                                        {"8388607T", 8388607ULL << 40U},
                                                                        {"007k", 7168}};
  for (const auto& [text, bytes] : good) {
    CAPTURE(text);
    CHECK(sys::parse_size(text).value_or(12345) == bytes);
  }
}

TEST_CASE("text: parse_size refuses the rest") {
  for (const std::string& text : never) check_refused(sys::parse_size(text), text);
  for (const char* text : {"",
                           "9223372036854775808",
                           "8388608T",
                           "18446744073709551615",
                           "18446744073709551616",
                           "99999999999999999999T",
                           "1.5",
                           "0.1b",
                           "1.",
                           ".5G",
                           "1.0000000001G",
                           "1 G",
                           "1GG",
                           "1GiBB",
                           "1Ki",
                           "1P",
                           "-1k",
                           "1,5G",
                           "G",
                           "1.G",
                           "1.-5G",
                           "1.+5G",
                           "unlimited",
                           "-0"})
    check_refused(sys::parse_size(text), text);
}

TEST_CASE("text: sizes written in units are their number of bytes") {
  Numbers numbers;
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t n = numbers.next();
    const std::string text = std::to_string(n);
    CAPTURE(text);
    if (n <= most63) CHECK(sys::parse_size(text).value() == n);
    if (n > most63) CHECK_FALSE(sys::parse_size(text).has_value());
    unsigned shift = 10;
    for (const char unit : {'k', 'M', 'g', 'T'}) {
      const auto got = sys::parse_size(text + unit);
      if (n <= most63 >> shift) CHECK(got.value() == n << shift);
      if (n > most63 >> shift) CHECK_FALSE(got.has_value());
      shift += 10;
    }
  }
}

TEST_CASE("text: parse_time wants a unit") {
  const std::vector<std::pair<std::string_view, std::uint64_t>> good = {{"250us", 250},
                                                                        {"500ms", 500'000},
                                                                        {"10s", 10'000'000},
                                                                        {"2m", 120'000'000},
                                                                        {"2min", 120'000'000},
                                                                        {"1h", 3'600'000'000},
                                                                        {"1.5s", 1'500'000},
                                                                        {"0.25ms", 250},
                                                                        {"0s", 0},
                                                                        {"10S", 10'000'000},
                                                                        {"1.000001s", 1'000'001}};
  for (const auto& [text, usec] : good) {
    CAPTURE(text);
    CHECK(sys::parse_time(text).value_or(12345) == usec);
  }
  for (const std::string& text : never) check_refused(sys::parse_time(text), text);
  for (const char* text : {"",
                           "1",
                           "0",
                           "10",
                           "1.5us",
                           "-1s",
                           "1 s",
                           "1sec",
                           "1d",
                           "max",
                           "-1",
                           "ms",
                           "1.s",
                           ".5s",
                           "9223372036854775808us",
                           "2562047789h",
                           "99999999999999999999s"})
    check_refused(sys::parse_time(text), text);
}

TEST_CASE("text: parse_quota takes percent, CPUs and microseconds") {
  const auto quota = [](std::string_view text) {
    return sys::parse_quota(text).value_or(Quota{.quota = 1, .period = 1});
  };
  CHECK(quota("150%") == Quota{.quota = 150'000, .period = 0});
  CHECK(quota("1.5") == Quota{.quota = 150'000, .period = 0});
  CHECK(quota("1") == Quota{.quota = 100'000, .period = 0});
  CHECK(quota("0.01") == Quota{.quota = 1000, .period = 0});
  CHECK(quota("1%") == Quota{.quota = 1000, .period = 0});
  CHECK(quota("12.5%") == Quota{.quota = 12'500, .period = 0});
  CHECK(quota("150000/100000") == Quota{.quota = 150'000, .period = 100'000});
  CHECK(quota("1000/1000") == Quota{.quota = 1000, .period = 1000});
  CHECK(quota("1000/1000000") == Quota{.quota = 1000, .period = 1'000'000});
  CHECK(quota("max") == Quota{});
  CHECK(quota("-1") == Quota{});
  CHECK(quota("max/50000") == Quota{.quota = unlimited, .period = 50'000});
  CHECK(quota("-1/50000") == Quota{.quota = unlimited, .period = 50'000});
  CHECK(quota("17592186044416/100000").quota == std::uint64_t{1} << 44U);
}

TEST_CASE("text: parse_quota refuses what the kernel would") {
  for (const std::string& text : never) check_refused(sys::parse_quota(text), text);
  for (const char* text : {"",
                           "0",
                           "0%",
                           "0.5%",
                           "0.009",
                           "999/100000",
                           "0/100000",
                           "1000/999",
                           "1000/1000001",
                           "1000/0",
                           "1000/-1",
                           "1000/",
                           "/100000",
                           "1000/1000/1000",
                           "1.5/100000",
                           "150%/100000",
                           "150%%",
                           "%150",
                           "150 %",
                           "-2",
                           "-1%",
                           "max%",
                           "max/",
                           "max/999",
                           "17592186044417/100000",
                           "18446744073709551615/100000",
                           "18446744073709551616/100000",
                           "99999999999999999999%",
                           "1.0000000001",
                           "1e1",
                           "1.5CPU"})
    check_refused(sys::parse_quota(text), text);
}

TEST_CASE("text: parse_rt wants a run time within a period") {
  const auto rt = [](std::string_view text) { return sys::parse_rt(text).value_or(Quota{.quota = 1, .period = 1}); };
  CHECK(rt("10ms/1s") == Quota{.quota = 10'000, .period = 1'000'000});
  CHECK(rt("0/1s") == Quota{.quota = 0, .period = 1'000'000});
  CHECK(rt("0ms/1s") == Quota{.quota = 0, .period = 1'000'000});
  CHECK(rt("1s/1s") == Quota{.quota = 1'000'000, .period = 1'000'000});
  for (const std::string& text : never) check_refused(sys::parse_rt(text), text);
  for (const char* text : {"",
                           "10ms",
                           "/",
                           "10ms/",
                           "/1s",
                           "1s/0s",
                           "0/0",
                           "0s/0s",
                           "2s/1s",
                           "10/1s",
                           "10ms/1",
                           "-1/1s",
                           "-1ms/1s",
                           "1ms/1s/1s",
                           "max/1s",
                           "10ms /1s",
                           "10ms/max"})
    check_refused(sys::parse_rt(text), text);
}

TEST_CASE("text: what a terminal would obey becomes a question mark a byte") {
  struct Row {
    std::string_view text, shown;
  };
  for (const Row& row : {Row{"web/api", "web/api"},
                         Row{"e\x1b[2J", "e?[2J"},
                         Row{"a\nb\tc\rd\x7f", "a?b?c?d?"},
                         Row{"\x9bJ", "?J"},            // C1 as a byte
                         Row{"\xc2\x9bJ", "??J"},       // and as UTF-8
                         Row{"\xe0\x82\x9bJ", "???J"},  // and as UTF-8 that is longer than need be
                         Row{"\xf0\x80\x82\x9b", "????"},
                         Row{"\xed\xa0\x80", "???"},
                         Row{"\xe2\x80\xaex", "???x"},  // from right to left
                         Row{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa7"},
                         Row{"\xc3", "?"},
                         Row{std::string_view("a\0b", 3), "a?b"},
                         Row{"", ""}})
    CHECK(sys::harmless(row.text) == row.shown);
  cgx::Error e{.code = EINVAL, .what = "is wrong", .group = "\x9bJ", .knob = "k", .value = "\xc2\x9bx"};
  CHECK(e.text() == "?J: k: \"??x\" is wrong");
  sys::JsonWriter json;
  json.string("\xc2\x9bJ\x7f\xc3\xa9");
  CHECK(json.take() == "\"\\u009bJ\\u007f\xc3\xa9\"");
}

}  // namespace text_test
