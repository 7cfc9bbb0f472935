// SPDX-License-Identifier: Apache-2.0
// Errors of a flag's value, for code that reads values behind the parser.
#pragma once

#include <cerrno>
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

}  // namespace cgx::tool
