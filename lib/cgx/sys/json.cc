// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/json.h"

#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

namespace cgx::sys {
namespace {

// The length of the UTF-8 sequence that starts `text`, 0 where it is not one (also overlong and surrogates).
std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const auto follows = [&](std::size_t i) { return (at(i) & 0xc0U) == 0x80U; };
  const unsigned c = at(0);
  if (c < 0x80) return 1;
  if (c >= 0xc2 && c <= 0xdf && follows(1)) return 2;
  if (c >= 0xe0 && c <= 0xef && follows(1) && follows(2)) {
    if ((c == 0xe0 && at(1) < 0xa0) || (c == 0xed && at(1) > 0x9f)) return 0;
    return 3;
  }
  if (c >= 0xf0 && c <= 0xf4 && follows(1) && follows(2) && follows(3)) {
    if ((c == 0xf0 && at(1) < 0x90) || (c == 0xf4 && at(1) > 0x8f)) return 0;
    return 4;
  }
  return 0;
}

}  // namespace

void JsonWriter::comma() {
  if (!first_) text_ += ',';
  first_ = false;
}

JsonWriter& JsonWriter::open(char c) {
  comma();
  text_ += c;
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::close(char c) {
  text_ += c;
  first_ = false;
  return *this;
}

JsonWriter& JsonWriter::raw(std::string_view text) {
  comma();
  text_ += text;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  string(name);
  text_ += ':';
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::string(std::string_view text) {
  comma();
  text_ += '"';
  const std::string_view whole = text;
  while (!text.empty()) {
    const char c = text[0];
    std::size_t n = 1;
    if (c == '"' || c == '\\') {
      text_ += '\\';
      text_ += c;
    } else if (c == '\n') {
      text_ += "\\n";
    } else if (c == '\t') {
      text_ += "\\t";
    } else if (static_cast<unsigned char>(c) < ' ') {
      text_ += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else if (c == 0x7f) {
      text_ += "\\u007f";
    } else if (c == '\xc2' && text.size() > 1 && static_cast<unsigned char>(text[1]) >= 0x80 &&
               static_cast<unsigned char>(text[1]) < 0xa0) {
      text_ += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(text[1])));  // C1
      n = 2;
    } else if (n = utf8_length(text); n == 0) {
      text_ += "\xef\xbf\xbd";
      if (replaced_.empty()) replaced_ = whole;
      n = 1;
    } else {
      text_ += text.substr(0, n);
    }
    text.remove_prefix(n);
  }
  text_ += '"';
  return *this;
}

JsonWriter& JsonWriter::real(double n) {
  if (!std::isfinite(n)) return null();
  std::string text = fmt::format("{:.6f}", n);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text += '0';
  return raw(text);
}

JsonWriter& JsonWriter::limit(std::uint64_t n) {
  return n == std::numeric_limits<std::uint64_t>::max() ? string("max") : number(n);
}

std::string JsonWriter::take() {
  first_ = true;
  return std::exchange(text_, {});
}

}  // namespace cgx::sys
