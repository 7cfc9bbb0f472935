// SPDX-License-Identifier: Apache-2.0
// How every fallible function of cgx answers: a value, or an Error. An Error is an errno a caller may
// match on, and one sentence a user can act on: operation, group, knob, value, reason. Knows nothing of
// cgroups; nothing here logs, throws or blocks.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace cgx {

// Whose fault it is: decides the exit status of the command line (1 or 2; 126 or 127 where it is the command's).
enum class Fault : std::uint8_t {
  system,   // the kernel or the state of the system refused
  usage,    // the command line, a value or a file given is wrong; nothing was touched
  program,  // the command that was to be executed is missing (ENOENT), or cannot be executed
};

struct Error {
  int code = 0;       // an errno; the only member that callers match on
  std::string what;   // the reason, without the group, knob and value that stand beside it
  std::string group;  // the cgroup concerned, empty where there is none
  std::string knob;   // the kernel's file name, or the flag
  std::string value;  // what was written or given
  std::string hint;   // what to do about it, empty where there is nothing
  Fault fault = Fault::system;

  // One line: `GROUP: KNOB: "VALUE" WHAT`, with the parts that are there.
  [[nodiscard]] std::string text() const;
};

template <class T = void>
using Result = std::expected<T, Error>;

// A system refusal with errno `code`.
[[nodiscard]] std::unexpected<Error> fail(int code, std::string what);
// As fail(), with the sentence `what: <text of code>`.
[[nodiscard]] std::unexpected<Error> fail_errno(int code, std::string_view what);
// A wrong input: `"VALUE" WHAT`; code is EINVAL.
[[nodiscard]] std::unexpected<Error> bad_value(std::string_view value, std::string what);
// The kernel's text of an errno ("No such file or directory"), never empty. Thread safe.
[[nodiscard]] std::string errno_text(int code);

// The same result, with its error told of `group`, `knob` and `value`.
template <class T>
[[nodiscard]] Result<T> located(Result<T> result,
                                std::string_view group,
                                std::string_view knob = {},
                                std::string_view value = {}) {
  if (!result) {
    result.error().group = group;
    if (!knob.empty()) result.error().knob = knob;
    if (!value.empty()) result.error().value = value;
  }
  return result;
}

}  // namespace cgx

#define CGX_CAT2(a, b) a##b
#define CGX_CAT(a, b) CGX_CAT2(a, b)
// NOLINTBEGIN(bugprone-macro-parentheses): a declared name takes none.
#define CGX_TRY_AS(name, expr)                                  \
  __extension__({                                               \
    auto name = (expr);                                         \
    if (!name) return std::unexpected(std::move(name).error()); \
    *std::move(name);                                           \
  })
// NOLINTEND(bugprone-macro-parentheses)
// The value of a Result, or return its error from the calling function.
#define CGX_TRY(expr) CGX_TRY_AS(CGX_CAT(cgx_try_, __COUNTER__), expr)
// The same for Result<void>.
#define CGX_CHECK(expr)                                                                               \
  do {                                                                                                \
    if (auto cgx_check_ = (expr); !cgx_check_) return std::unexpected(std::move(cgx_check_).error()); \
  } while (false)
