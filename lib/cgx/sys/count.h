// SPDX-License-Identifier: Apache-2.0
// A number and what it counts, for people: `1 group`, `2 groups`. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cgx::sys {

// The word alone; allocates nothing.
[[nodiscard]] constexpr std::string_view noun(std::uint64_t n, std::string_view one, std::string_view many) {
  return n == 1 ? one : many;
}

// `many` is the plural where that is not `one` and an s: counted(n, "process", "processes").
[[nodiscard]] inline std::string counted(std::uint64_t n, std::string_view one, std::string_view many = {}) {
  std::string text = std::to_string(n) + ' ';
  text += noun(n, one, many.empty() ? one : many);
  if (n != 1 && many.empty()) text += 's';
  return text;
}

}  // namespace cgx::sys
