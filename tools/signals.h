// SPDX-License-Identifier: Apache-2.0
// Signals by name and number.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cgx/sys/result.h"

namespace cgx::tool {

// `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN`, `RTMIN+3`, `RTMAX-1`. Signal 0 is none. Fault::usage else.
[[nodiscard]] Result<int> parse_signal(std::string_view text);
// `TERM`, `RTMIN+3`.
[[nodiscard]] std::string signal_name(int signal);
// The names that parse_signal() takes, without the real-time ones.
[[nodiscard]] std::vector<std::string_view> signal_names();

}  // namespace cgx::tool
