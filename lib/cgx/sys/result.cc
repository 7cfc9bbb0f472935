// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/result.h"

#include <cerrno>
#include <cstring>

#include "cgx/sys/harmless.h"

namespace cgx {

namespace {

// What the user gave may be anything: control characters must not reach a terminal or break the line, and no sentence
// gets better by the 64 KiB that somebody pasted.
std::string printable(std::string_view text, std::size_t most) {
  std::string out = sys::harmless(text.substr(0, most));
  return text.size() > most ? out + "..." : out;
}

}  // namespace

std::string Error::text() const {
  std::string line;
  if (!group.empty()) line += printable(group, 512) + ": ";
  if (!knob.empty()) line += printable(knob, 120) + ": ";
  if (!value.empty()) line += '"' + printable(value, 120) + "\" ";
  return line + what;
}

std::unexpected<Error> fail(int code, std::string what) {
  return std::unexpected(
      Error{.code = code, .what = std::move(what), .group = {}, .knob = {}, .value = {}, .hint = {}});
}

std::unexpected<Error> fail_errno(int code, std::string_view what) {
  return fail(code, std::string(what) + ": " + errno_text(code));
}

std::unexpected<Error> bad_value(std::string_view value, std::string what) {
  return std::unexpected(Error{.code = EINVAL,
                               .what = std::move(what),
                               .group = {},
                               .knob = {},
                               .value = std::string(value),
                               .hint = {},
                               .fault = Fault::usage});
}

std::string errno_text(int code) {
  const char* text = strerrordesc_np(code);  // static strings, no locale
  return text != nullptr ? text : "error " + std::to_string(code);
}

}  // namespace cgx
