// SPDX-License-Identifier: Apache-2.0
// Field syntax: RFC 9110, 12.4.2 (quality values), 12.5.1 and 12.5.3.
#include "daemon/metrics/accept.h"

#include <algorithm>

#include "cgx/sys/text.h"

namespace cgx::daemon {
namespace {

// The next part of `text` up to `separator`, which it is taken from, without blanks around it. Nothing that is asked
// for here has quoted strings, so that a separator within one at worst makes words that match nothing.
std::string_view next(std::string_view& text, char separator) {
  const std::size_t end = text.find(separator);
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return sys::trim(part);
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

// "0.75" is 750. What is malformed is 0: not wanted.
unsigned quality(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return 0;
  unsigned q = text[0] == '1' ? 1000 : 0;
  if (text.size() == 1) return q;
  if (text[1] != '.') return 0;
  unsigned place = 100;
  for (const char c : text.substr(2)) {
    if (c < '0' || c > '9') return 0;
    q += static_cast<unsigned>(c - '0') * place;
    place /= 10;
  }
  return q > 1000 ? 0 : q;
}

struct Range {
  std::string_view name;
  std::string_view version;
  unsigned q = 1000;
};

Range parse_range(std::string_view part) {
  Range range;
  range.name = next(part, ';');
  while (!part.empty()) {
    std::string_view value = next(part, ';');
    const std::string_view name = next(value, '=');
    value = sys::trim(value);
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    if (same(name, "q")) range.q = quality(value);
    if (same(name, "version")) range.version = value;
  }
  return range;
}

}  // namespace

Format accepted_format(std::string_view accept) {
  unsigned openmetrics = 0;
  unsigned plain = 0;
  bool named = false;
  while (!accept.empty()) {
    const Range range = parse_range(next(accept, ','));
    if (same(range.name, "application/openmetrics-text")) {
      if (range.version.empty() || range.version == "1.0.0") openmetrics = std::max(openmetrics, range.q);
    } else if (same(range.name, "text/plain")) {
      plain = std::max(plain, range.q);
      named = true;
    } else if ((same(range.name, "text/*") || same(range.name, "*/*")) && !named) {
      plain = std::max(plain, range.q);
    }
  }
  return openmetrics > 0 && openmetrics >= plain ? Format::openmetrics : Format::text;
}

bool accepts_gzip(std::string_view accept_encoding) {
  unsigned any = 0;
  while (!accept_encoding.empty()) {
    const Range range = parse_range(next(accept_encoding, ','));
    if (same(range.name, "gzip") || same(range.name, "x-gzip")) return range.q > 0;
    if (range.name == "*") any = range.q;
  }
  return any > 0;
}

}  // namespace cgx::daemon
