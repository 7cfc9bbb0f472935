// SPDX-License-Identifier: Apache-2.0
// Moments as --since, --until and the filter `until` take them.
#pragma once

#include <cstdint>
#include <string_view>

#include "cgx/sys/result.h"

namespace cgx::launcher {

// Microseconds since 1970. How long ago (`10m`, `1h30m`); seconds since 1970 (`1767225600.5`); a day, or a day and a
// time
// (`2026-01-31`, `2026-01-31T12:00`, with a fraction or not), in the local time zone where it names none.
[[nodiscard]] Result<std::int64_t> parse_moment(std::string_view text, std::int64_t now);

}  // namespace cgx::launcher
