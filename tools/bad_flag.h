// SPDX-License-Identifier: Apache-2.0
// A flag's value, for code that reads values behind the parser: its errors, and what is true or false.
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "cgx/sys/result.h"

namespace cgx::tool {

// `what` as a predicate of the value; `flag` without its dashes.
inline std::unexpected<Error> bad_flag(std::string_view flag,
                                       std::string_view value,
                                       std::string what,
                                       std::string hint = {}) {
  return std::unexpected(Error{.code = EINVAL,
                               .what = std::move(what),
                               .knob = fmt::format("--{}", flag),
                               .value = std::string(value),
                               .hint = std::move(hint),
                               .fault = Fault::usage});
}

// The same for what other tools take and cgx does not.
inline std::unexpected<Error> unsupported_flag(std::string_view flag,
                                               std::string_view value,
                                               std::string what,
                                               std::string hint = {}) {
  Error e = bad_flag(flag, value, std::move(what), std::move(hint)).error();
  e.code = ENOTSUP;
  return std::unexpected(std::move(e));
}

// The words of Docker's flags (strconv.ParseBool of Go); nothing: none of them.
inline std::optional<bool> parse_switch(std::string_view text) {
  constexpr std::array<std::string_view, 6> on{"1", "t", "T", "true", "TRUE", "True"};
  constexpr std::array<std::string_view, 6> off{"0", "f", "F", "false", "FALSE", "False"};
  if (std::ranges::find(on, text) != on.end()) return true;
  if (std::ranges::find(off, text) != off.end()) return false;
  return std::nullopt;
}

}  // namespace cgx::tool
