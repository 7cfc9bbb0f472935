// SPDX-License-Identifier: Apache-2.0
// Which options of one mount exclude each other, whatever flag they are given with.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cgx::launcher {

// Whether the same option may be given twice: Docker refuses that for -v, and takes it for --tmpfs.
enum class Twice : std::uint8_t { allowed, refused };

// As a predicate of the flag's value: has the options "ro" and "rw", which contradict each other. Nothing: no two do.
[[nodiscard]] std::optional<std::string> contradiction(std::span<const std::string_view> options, Twice twice);

}  // namespace cgx::launcher
