// SPDX-License-Identifier: Apache-2.0
// One line of a container's log, as its monitor writes it and `logs` reads it; the form of Kubernetes' CRI, so that
// collectors of logs can read it too:
//
//   2026-01-31T12:00:00.123456789Z stdout F text
//
// F is a full line, P a part of one: what follows of the same stream continues it. The text may be any bytes but a
// newline, NUL and what is no UTF-8 among them. Pure: knows no files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cgx::launcher {

enum class LogStream : std::uint8_t { out, err };
enum class LogPart : std::uint8_t { full, part };

struct LogEntry {
  std::string_view time;  // RFC 3339, by its form alone
  LogStream stream = LogStream::out;
  LogPart part = LogPart::full;
  std::string_view text;
  bool operator==(const LogEntry&) const = default;
};

// No line of a monitor has more bytes before its text.
inline constexpr std::size_t most_log_head = 64;

[[nodiscard]] std::string_view stream_word(LogStream stream);  // stdout, stderr

// Of a line without its newline; nullopt: it is none, as where its writer was killed at its beginning. What points into
// the line is as long as that.
[[nodiscard]] std::optional<LogEntry> parse_entry(std::string_view line);

// With its newline. `time`: time_now(). `text` has no newline.
[[nodiscard]] std::string format_entry(std::string_view time, LogStream stream, LogPart part, std::string_view text);

}  // namespace cgx::launcher
