// SPDX-License-Identifier: Apache-2.0
// Formatters, and what takes text apart.
#include <cerrno>
#include <random>

#include <doctest/doctest.h>

#include "cgx/sys/count.h"
#include "cgx/sys/result.h"
#include "cgx/sys/text.h"

namespace text_format_test {

namespace sys = cgx::sys;

namespace {

constexpr std::uint64_t most63 = std::numeric_limits<std::int64_t>::max();
using Views = std::vector<std::string_view>;

}  // namespace

TEST_CASE("text: format_time is exact and parses back") {
  CHECK(sys::format_time(0) == "0s");
  CHECK(sys::format_time(1) == "1us");
  CHECK(sys::format_time(999) == "999us");
  CHECK(sys::format_time(1000) == "1ms");
  CHECK(sys::format_time(1500) == "1.5ms");
  CHECK(sys::format_time(20'000) == "20ms");
  CHECK(sys::format_time(999'999) == "999.999ms");
  CHECK(sys::format_time(1'500'000) == "1.5s");
  CHECK(sys::format_time(1'000'001) == "1.000001s");
  CHECK(sys::format_time(90'000'000) == "90s");
  std::mt19937_64 random(1);
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t usec = random() >> (1 + random() % 63);
    CAPTURE(usec);
    CHECK(sys::parse_time(sys::format_time(usec)).value_or(usec + 1) == usec);
  }
}

TEST_CASE("text: format_rate is exact and parses back") {
  CHECK(sys::format_rate(1'000'000'000) == "1gbit");
  CHECK(sys::format_rate(1'500'000'000) == "1500mbit");
  CHECK(sys::format_rate(10'000'000) == "10mbit");
  CHECK(sys::format_rate(1001) == "1001bit");
  std::mt19937_64 random(2);
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t bits = std::max<std::uint64_t>(8, random() >> (1 + random() % 60));
    CAPTURE(bits);
    CHECK(sys::parse_rate(sys::format_rate(bits)).value_or(1) == bits);
  }
}

TEST_CASE("text: format_size is short and near") {
  CHECK(sys::format_size(0) == "0");
  CHECK(sys::format_size(1023) == "1023");
  CHECK(sys::format_size(1024) == "1.0K");
  CHECK(sys::format_size(1536) == "1.5K");
  CHECK(sys::format_size(1ULL << 20U) == "1.0M");
  CHECK(sys::format_size((1ULL << 20U) - 1) == "1.0M");  // not 1024.0K
  CHECK(sys::format_size(1ULL << 30U) == "1.0G");
  CHECK(sys::format_size(1ULL << 40U) == "1.0T");
  CHECK(sys::format_size(1ULL << 50U) == "1.0P");
  CHECK(sys::format_size(most63) == "8.0E");
  CHECK(sys::format_size(sys::unlimited) == "max");
  CHECK(sys::parse_size(sys::format_size(sys::unlimited)).value() == sys::unlimited);
  std::mt19937_64 random(3);
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t bytes = random() >> (14 + random() % 50);  // below 1P, which is not an input
    const std::string text = sys::format_size(bytes);
    CAPTURE(bytes);
    CAPTURE(text);
    CHECK(text.size() <= 7);
    const auto back = sys::parse_size(text);
    REQUIRE(back);
    const auto off = static_cast<double>(*back > bytes ? *back - bytes : bytes - *back);
    CHECK(off <= 0.05 * static_cast<double>(bytes));
  }
}

TEST_CASE("text: split keeps empty parts, lines and words do not") {
  CHECK(sys::split("", ',') == Views{""});
  CHECK(sys::split(",", ',') == Views{"", ""});
  CHECK(sys::split("a,,b,", ',') == Views{"a", "", "b", ""});
  CHECK(sys::lines("").empty());
  CHECK(sys::lines("\n").empty());
  CHECK(sys::lines("a\nb") == Views{"a", "b"});
  CHECK(sys::lines("a\nb\n") == Views{"a", "b"});
  CHECK(sys::lines("a\n\nb\n") == Views{"a", "", "b"});
  CHECK(sys::words("").empty());
  CHECK(sys::words(" \t\n").empty());
  CHECK(sys::words("  a \tb\nc ") == Views{"a", "b", "c"});
}

TEST_CASE("text: what split took apart can be put together") {
  std::mt19937_64 random(4);
  for (int i = 0; i < 500; ++i) {
    std::string text;
    for (std::uint64_t n = random() % 20; n > 0; --n) text += "ab,\n "[random() % 5];
    CAPTURE(text);
    std::string joined;
    for (const std::string_view part : sys::split(text, ',')) joined.append(part) += ',';
    joined.pop_back();
    CHECK(joined == text);
    for (const std::string_view word : sys::words(text)) {
      CHECK_FALSE(word.empty());
      CHECK(word.find_first_of(" \t\n") == std::string_view::npos);
    }
    const std::string_view trimmed = sys::trim(text);
    CHECK(sys::trim(trimmed) == trimmed);
    CHECK(text.find(trimmed) != std::string::npos);
  }
}

TEST_CASE("text: trim takes white space at both ends") {
  CHECK(sys::trim("").empty());
  CHECK(sys::trim(" \r\n\t").empty());
  CHECK(sys::trim("\ta b\r\n") == "a b");
  CHECK(sys::trim("a") == "a");
}

TEST_CASE("text: parse_pair splits at the first separator") {
  using Pair = std::pair<std::string_view, std::string_view>;
  CHECK(sys::parse_pair("a=b").value() == Pair{"a", "b"});
  CHECK(sys::parse_pair("a=b=c").value() == Pair{"a", "b=c"});
  CHECK(sys::parse_pair("8:0:x", ':').value() == Pair{"8", "0:x"});
  for (const char* text : {"", "=", "a=", "=b", "a", "a:b"}) {
    CAPTURE(text);
    const auto pair = sys::parse_pair(text);
    REQUIRE_FALSE(pair);
    CHECK(pair.error().fault == cgx::Fault::usage);
    CHECK(pair.error().value == text);
  }
}

TEST_CASE("text: keyed finds whole keys only") {
  const std::string_view file = "anon 12\nanon_thp 34\nfile 56\nempty \nlast 78";
  CHECK(sys::keyed(file, "anon").value_or("?") == "12");
  CHECK(sys::keyed(file, "anon_thp").value_or("?") == "34");
  CHECK(sys::keyed(file, "last").value_or("?") == "78");
  CHECK(sys::keyed(file, "empty").value_or("?").empty());
  CHECK_FALSE(sys::keyed(file, "ano").has_value());
  CHECK_FALSE(sys::keyed(file, "non").has_value());
  CHECK_FALSE(sys::keyed(file, "12").has_value());
  CHECK_FALSE(sys::keyed("", "a").has_value());
  CHECK_FALSE(sys::keyed("\n\n", "a").has_value());
  CHECK_FALSE(sys::keyed("key", "key").has_value());
  CHECK(sys::keyed("a 1\na 2\n", "a").value_or("?") == "1");
  CHECK(sys::keyed("some avg10=0.00 total=5\n", "some").value_or("?") == "avg10=0.00 total=5");
  CHECK(sys::keyed_u64(file, "file").value_or(0) == 56);
  CHECK_FALSE(sys::keyed_u64(file, "empty").has_value());
  CHECK_FALSE(sys::keyed_u64("a max\n", "a").has_value());
  CHECK_FALSE(sys::keyed_u64("a 1 2\n", "a").has_value());
  CHECK_FALSE(sys::keyed_u64("a -1\n", "a").has_value());
}

TEST_CASE("text: unescape_octal undoes what mountinfo does") {
  CHECK(sys::unescape_octal("/a\\040b") == "/a b");
  CHECK(sys::unescape_octal("\\011\\012\\134\\043") == "\t\n\\#");
  CHECK(sys::unescape_octal("plain").compare("plain") == 0);
  CHECK(sys::unescape_octal("").empty());
  // What the kernel never writes stays as it is.
  for (const char* text : {"\\", "\\0", "\\04", "\\08x", "a\\", "\\x41", "\\999", "\\04z", "\\ 40"}) {
    CAPTURE(text);
    CHECK(sys::unescape_octal(text) == text);
  }
  CHECK(sys::unescape_octal("\\134040") == "\\040");  // not twice
  std::mt19937_64 random(5);
  for (int i = 0; i < 500; ++i) {
    std::string name;
    std::string escaped;
    for (std::uint64_t n = random() % 12; n > 0; --n) {
      const auto byte = static_cast<unsigned char>(1 + random() % 255);
      name += static_cast<char>(byte);
      if (byte == ' ' || byte == '\t' || byte == '\n' || byte == '\\' || byte == '#') {
        escaped += '\\';
        for (unsigned shift = 9; shift > 0;) escaped += static_cast<char>('0' + ((byte >> (shift -= 3)) & 7U));
      } else {
        escaped += static_cast<char>(byte);
      }
    }
    CAPTURE(escaped);
    CHECK(sys::unescape_octal(escaped) == name);
  }
}

TEST_CASE("text: nearest suggests what is close and nothing far off") {
  const Views known = {"create", "delete", "set", "get", "freeze", "memory.max", "memory.high"};
  CHECK(sys::nearest("crate", known) == "create");
  CHECK(sys::nearest("craete", known) == "create");
  CHECK(sys::nearest("memory.mx", known) == "memory.max");
  CHECK(sys::nearest("create", known) == "create");
  CHECK(sys::nearest("xyz", known).empty());
  CHECK(sys::nearest("x", known).empty());
  CHECK(sys::nearest("", known).empty());
  CHECK(sys::nearest("create", {}).empty());
  CHECK(sys::nearest(std::string(100'000, 'a'), known).empty());
  CHECK(sys::nearest("a", {""}).empty());
}

TEST_CASE("text: one of a thing is told as one") {
  CHECK(sys::counted(0, "group") == "0 groups");
  CHECK(sys::counted(1, "group") == "1 group");
  CHECK(sys::counted(2, "group") == "2 groups");
  CHECK(sys::counted(0, "process", "processes") == "0 processes");
  CHECK(sys::counted(1, "process", "processes") == "1 process");
  CHECK(sys::counted(21, "process is", "processes are") == "21 processes are");
  CHECK(sys::noun(1, " kill an hour", " kills an hour") == " kill an hour");
  CHECK(sys::noun(0, " kill an hour", " kills an hour") == " kills an hour");
}

TEST_CASE("result: an error is one line and cannot drive a terminal") {
  cgx::Error error;
  error.what = "is outside the online CPUs 0-1";
  error.group = "child";
  error.knob = "cpuset.cpus";
  error.value = "9";
  CHECK(error.text() == "child: cpuset.cpus: \"9\" is outside the online CPUs 0-1");
  error.value = "\x1b[31m\n\x7f\t";
  CHECK(error.text() == "child: cpuset.cpus: \"?[31m???\" is outside the online CPUs 0-1");
  error = {};
  error.what = "x";
  CHECK(error.text() == "x");
}

TEST_CASE("result: every errno has a text") {
  CHECK(cgx::errno_text(ENOENT) == "No such file or directory");
  CHECK(cgx::errno_text(EBUSY) == "Device or resource busy");
  for (const int code : {-1, 0, 133, 524, 100'000}) CHECK_FALSE(cgx::errno_text(code).empty());
  CHECK(cgx::errno_text(100'000) == "error 100000");
}

}  // namespace text_format_test
