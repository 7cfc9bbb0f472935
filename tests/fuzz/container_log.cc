// SPDX-License-Identifier: Apache-2.0
// A line of a container's log: what is read is written again as it was, and what any bytes are written as is read.
#include <algorithm>
#include <string>

#include "fuzz.h"
#include "tools/container/log_format.h"

using namespace cgx::launcher;

void cgx::fuzz::one(std::string_view input) {
  for (std::size_t at = 0; at <= input.size();) {
    const std::size_t end = std::min(input.find('\n', at), input.size());
    const std::string_view line = input.substr(at, end - at);
    if (const auto entry = parse_entry(line)) {
      FUZZ_CHECK(line.size() - entry->text.size() <= most_log_head);
      FUZZ_CHECK(line.ends_with(entry->text));
      FUZZ_CHECK(format_entry(entry->time, entry->stream, entry->part, entry->text) == std::string(line) + "\n");
      // The head alone says the same, but for the text.
      const auto head = parse_entry(line.substr(0, most_log_head));
      FUZZ_CHECK(head && head->time == entry->time && head->stream == entry->stream && head->part == entry->part);
    }
    const std::string_view time = "2026-01-31T12:00:00.123456789Z";
    const std::string written = format_entry(time, LogStream::err, LogPart::part, line);
    const LogEntry wanted{time, LogStream::err, LogPart::part, line};
    FUZZ_CHECK(parse_entry(std::string_view(written).substr(0, written.size() - 1)) == wanted);
    at = end + 1;
  }
}
