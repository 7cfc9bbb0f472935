// SPDX-License-Identifier: Apache-2.0
#include "log_format.h"

#include <algorithm>

namespace cgx::launcher {
namespace {

// 2026-01-31T12:00:00, perhaps a fraction, then Z or +01:00. Whether there is such a day is not asked.
bool has_form_of_time(std::string_view text) {
  constexpr std::string_view form = "0000-00-00T00:00:00";
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto like = [&](std::string_view part, std::string_view shape) {
    return part.size() == shape.size() &&
           std::ranges::equal(part, shape, [&](char c, char s) { return s == '0' ? digit(c) : c == s; });
  };
  if (!like(text.substr(0, form.size()), form)) return false;
  text.remove_prefix(form.size());
  if (text.starts_with('.')) {
    const std::size_t end = std::min(text.find_first_not_of("0123456789", 1), text.size());
    if (end < 2 || end > 10) return false;
    text.remove_prefix(end);
  }
  return text == "Z" || like(text, "+00:00") || like(text, "-00:00");
}

}  // namespace

std::string_view stream_word(LogStream stream) { return stream == LogStream::out ? "stdout" : "stderr"; }

std::optional<LogEntry> parse_entry(std::string_view line) {
  LogEntry entry;
  const std::size_t blank = line.find(' ');
  if (blank == std::string_view::npos || !has_form_of_time(line.substr(0, blank))) return std::nullopt;
  entry.time = line.substr(0, blank);
  line.remove_prefix(blank + 1);
  if (line.starts_with("stderr "))
    entry.stream = LogStream::err;
  else if (!line.starts_with("stdout "))
    return std::nullopt;
  line.remove_prefix(7);
  if (line.starts_with("P "))
    entry.part = LogPart::part;
  else if (!line.starts_with("F "))
    return std::nullopt;
  entry.text = line.substr(2);
  return entry;
}

std::string format_entry(std::string_view time, LogStream stream, LogPart part, std::string_view text) {
  std::string line;
  line.reserve(time.size() + text.size() + 11);
  line.append(time).append(" ").append(stream_word(stream)).append(part == LogPart::full ? " F " : " P ");
  return line.append(text).append("\n");
}

}  // namespace cgx::launcher
