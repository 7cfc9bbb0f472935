// SPDX-License-Identifier: Apache-2.0
// Writes JSON text. Not a document model: values go out in the order of the calls, commas are put between them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cgx::sys {

class JsonWriter {
 public:
  JsonWriter& open_object() { return open('{'); }
  JsonWriter& close_object() { return close('}'); }
  JsonWriter& open_array() { return open('['); }
  JsonWriter& close_array() { return close(']'); }
  JsonWriter& key(std::string_view name);
  JsonWriter& string(std::string_view text);  // bytes that are not UTF-8 become U+FFFD, so that the text is JSON
  JsonWriter& number(std::uint64_t n) { return raw(std::to_string(n)); }
  JsonWriter& integer(std::int64_t n) { return raw(std::to_string(n)); }
  JsonWriter& real(double n);  // six decimals at most; null for what JSON has no word for
  JsonWriter& boolean(bool b) { return raw(b ? "true" : "false"); }
  JsonWriter& null() { return raw("null"); }
  // A number, or the string "max" for sys::unlimited.
  JsonWriter& limit(std::uint64_t n);
  [[nodiscard]] const std::string& text() const { return text_; }
  // The first text with bytes that are not UTF-8; empty: there is none. For who must not write another text than it
  // got.
  [[nodiscard]] const std::string& replaced() const { return replaced_; }
  // The text, and an empty writer.
  std::string take();

 private:
  JsonWriter& open(char c);
  JsonWriter& close(char c);
  JsonWriter& raw(std::string_view text);
  void comma();
  std::string text_, replaced_;
  bool first_ = true;
};

}  // namespace cgx::sys
