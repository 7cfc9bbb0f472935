// SPDX-License-Identifier: Apache-2.0
// Text of others on a terminal: names of groups and of commands may be any bytes, and a terminal obeys some of them.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace cgx::sys {

// The bytes of the character that `text` begins with. 0: it is none that may be shown: a control character (C1 too, of
// which U+009B is as ESC [), one that separates lines or turns the direction of text, or no UTF-8.
[[nodiscard]] inline std::size_t shown_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned c = at(0);
  if (c < 0x80) return c < ' ' || c == 0x7f ? 0 : 1;
  const std::size_t length = c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((at(i) & 0xc0U) != 0x80U) return 0;
  // Longer than need be, surrogates, and beyond U+10FFFF: no UTF-8, and a terminal may read a control character.
  if ((c == 0xe0 && at(1) < 0xa0) || (c == 0xed && at(1) >= 0xa0) || (c == 0xf0 && at(1) < 0x90) ||
      (c == 0xf4 && at(1) >= 0x90))
    return 0;
  if (c == 0xc2 && at(1) < 0xa0) return 0;  // C1
  if (c == 0xe2 && at(1) == 0x80 && ((at(2) >= 0x8e && at(2) <= 0x8f) || (at(2) >= 0xa8 && at(2) <= 0xae))) return 0;
  if (c == 0xe2 && at(1) == 0x81 && at(2) >= 0xa6 && at(2) <= 0xa9) return 0;
  return length;
}

// The text with a `?` for each byte that is in no such character, newlines among them.
[[nodiscard]] inline std::string harmless(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = shown_length(text);
    if (length == 0)
      out += '?';
    else
      out += text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

// The same of each line.
[[nodiscard]] inline std::string harmless_lines(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    out += harmless(text.substr(0, end));
    if (end < text.size()) out += '\n';
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

}  // namespace cgx::sys
