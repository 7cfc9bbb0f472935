// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "tools/container/log_format.h"

namespace container_log_test {

using namespace cgx::launcher;
using namespace std::string_literals;

constexpr std::string_view when = "2026-01-31T12:00:00.123456789Z";

TEST_CASE("log: what is written is read again") {
  for (const std::string& text :
       {""s, " "s, "hello"s, " two  blanks "s, "nul\0nul"s, "\xff\xfe\r"s, std::string(65536, 'x')})
    for (const LogStream stream : {LogStream::out, LogStream::err})
      for (const LogPart part : {LogPart::full, LogPart::part}) {
        std::string line = format_entry(when, stream, part, text);
        CHECK(line.ends_with('\n'));
        line.pop_back();
        CHECK(line.size() - text.size() <= most_log_head);
        CHECK(parse_entry(line) == LogEntry{when, stream, part, text});
      }
  CHECK(format_entry(when, LogStream::err, LogPart::part, "a b") == "2026-01-31T12:00:00.123456789Z stderr P a b\n");
}

TEST_CASE("log: a line that was cut at any place is none, or has the beginning of its text") {
  const std::string line = format_entry(when, LogStream::out, LogPart::full, "hello");
  for (std::size_t n = 0; n < line.size(); ++n) {
    CAPTURE(n);
    const auto entry = parse_entry(std::string_view(line).substr(0, n));
    CHECK(entry.has_value() == (n >= line.size() - 6));
    if (entry) CHECK(std::string_view("hello").starts_with(entry->text));
  }
}

TEST_CASE("log: what other writers of the form write is read") {
  for (const std::string_view time : {"2026-01-31T12:00:00Z", "2026-01-31T12:00:00.1Z", "2026-01-31T12:00:00.5+01:00"})
    CHECK(parse_entry(std::string(time) + " stdout F x").value_or(LogEntry{}).time == time);
}

TEST_CASE("log: what is no entry") {
  for (const std::string_view line : {"",
                                      " ",
                                      "\n",
                                      "hello",
                                      "2026-01-31T12:00:00Z",
                                      "2026-01-31T12:00:00Z stdout",
                                      "2026-01-31T12:00:00Z stdout F",
                                      "2026-01-31T12:00:00Z stdin F x",
                                      "2026-01-31T12:00:00Z stdout X x",
                                      "2026-01-31T12:00:00Z  stdout F x",
                                      "2026-01-31T12:00:00 stdout F x",
                                      "2026-01-31T12:00:00.Z stdout F x",
                                      "2026-01-31 12:00:00Z stdout F x",
                                      "2026-01-31T12:00:00.0123456789Z stdout F x",
                                      "yyyy-01-31T12:00:00Z stdout F x",
                                      "2026-01-31T12:00:00+0100 stdout F x",
                                      "2026-01-31T12:00:00Z stdout FULL x"}) {
    CAPTURE(line);
    CHECK_FALSE(parse_entry(line).has_value());
  }
}

}  // namespace container_log_test
