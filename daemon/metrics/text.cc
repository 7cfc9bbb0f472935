// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics/text.h"

#include <array>
#include <charconv>
#include <cmath>

namespace cgx::daemon {
namespace {

using Byte = unsigned char;

// The length of the character at the start of `text`; 0: it is none. By the table of the Unicode standard, 3.9: no
// overlong forms, no surrogates, nothing above U+10FFFF.
std::size_t character(std::string_view text) {
  const auto at = [&](std::size_t i) { return i < text.size() ? static_cast<Byte>(text[i]) : Byte{0}; };
  const auto within = [&](std::size_t i, Byte low, Byte high) { return at(i) >= low && at(i) <= high; };
  const Byte first = at(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return within(1, 0x80, 0xBF) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const Byte low = first == 0xE0 ? 0xA0 : 0x80;
    const Byte high = first == 0xED ? 0x9F : 0xBF;
    return within(1, low, high) && within(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const Byte low = first == 0xF0 ? 0x90 : 0x80;
    const Byte high = first == 0xF4 ? 0x8F : 0xBF;
    return within(1, low, high) && within(2, 0x80, 0xBF) && within(3, 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

// Appends `bytes` with each ASCII character passed to `escape`, and the bytes that are no characters as `backslash`xNN.
template <class Escape>
void append_escaped(std::string& out, std::string_view bytes, std::string_view backslash, Escape escape) {
  constexpr std::string_view digits = "0123456789abcdef";
  while (!bytes.empty()) {
    const std::size_t length = character(bytes);
    if (length == 0) {
      const auto byte = static_cast<Byte>(bytes[0]);
      out.append(backslash).push_back('x');
      out.push_back(digits[byte >> 4U]);
      out.push_back(digits[byte & 15U]);
    } else if (length > 1) {
      out.append(bytes.substr(0, length));
    } else if (const std::string_view other = escape(bytes[0]); !other.empty()) {
      out.append(other);
    } else {
      out.push_back(bytes[0]);
    }
    bytes.remove_prefix(length == 0 ? 1 : length);
  }
}

}  // namespace

std::string_view content_type(Format format) {
  return format == Format::openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                       : "text/plain; version=0.0.4; charset=utf-8";
}

namespace text {

void append(std::string& out, std::uint64_t n) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), n).ptr;
  out.append(digits.data(), end);
}

void append(std::string& out, std::uint64_t n, Scale scale) {
  if (scale == Scale::one) return append(out, n);
  append(out, n / 1'000'000);
  auto rest = static_cast<unsigned>(n % 1'000'000);
  if (rest == 0) return;
  std::array<char, 7> fraction{'.', '0', '0', '0', '0', '0', '0'};
  for (std::size_t i = 6; i > 0; --i, rest /= 10) fraction[i] = static_cast<char>('0' + rest % 10);
  std::size_t length = fraction.size();
  while (fraction[length - 1] == '0') --length;
  out.append(fraction.data(), length);
}

void append_real(std::string& out, double n) {
  if (std::isnan(n)) {
    out.append("NaN");
  } else if (std::isinf(n)) {
    out.append(n > 0 ? "+Inf" : "-Inf");
  } else {
    std::array<char, 32> digits;
    constexpr int precision = 16;
    const auto end =
        std::to_chars(digits.data(), digits.data() + digits.size(), n, std::chars_format::general, precision);
    out.append(digits.data(), end.ptr);
  }
}

std::string utf8(std::string_view bytes) {
  std::string out;
  append_escaped(out, bytes, "\\", [](char) { return std::string_view(); });
  return out;
}

void append_label(std::string& out, std::string_view value) {
  append_escaped(out, value, "\\\\", [](char c) -> std::string_view {
    switch (c) {
      case '\\':
        return "\\\\";
      case '"':
        return "\\\"";
      case '\n':
        return "\\n";
      default:
        return {};
    }
  });
}

void append_label(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append("=\"");
  append_label(out, value);
  out.push_back('"');
}

void append_help(std::string& out, std::string_view help, Format format) {
  append_escaped(out, help, "\\\\", [format](char c) -> std::string_view {
    if (c == '\\') return "\\\\";
    if (c == '\n') return "\\n";
    if (c == '"' && format == Format::openmetrics) return "\\\"";
    return {};
  });
}

void append_header(std::string& out,
                   std::string_view name,
                   MetricType type,
                   std::string_view unit,
                   std::string_view help,
                   Format format) {
  std::string_view word = type == MetricType::counter ? "counter" : "gauge";
  std::string_view family = name;
  if (format == Format::openmetrics) {
    if (type == MetricType::info) word = "info";
    const std::string_view suffix = type == MetricType::counter ? "_total" : type == MetricType::info ? "_info" : "";
    if (family.ends_with(suffix)) family.remove_suffix(suffix.size());
  }
  out.append("# HELP ").append(family).push_back(' ');
  append_help(out, help, format);
  out.append("\n# TYPE ").append(family).append(" ").append(word).push_back('\n');
  if (format == Format::openmetrics && !unit.empty())
    out.append("# UNIT ").append(family).append(" ").append(unit).push_back('\n');
}

void append_html(std::string& out, std::string_view text) {
  append_escaped(out, text, "\\", [](char c) -> std::string_view {
    switch (c) {
      case '&':
        return "&amp;";
      case '<':
        return "&lt;";
      case '>':
        return "&gt;";
      case '"':
        return "&quot;";
      case '\'':
        return "&#39;";
      default:
        return {};
    }
  });
}

}  // namespace text
}  // namespace cgx::daemon
