// SPDX-License-Identifier: Apache-2.0
// The parent of a process in the foreground: hands on its signals and its terminal, and waits for its end.
#pragma once

#include <cstdint>
#include <string_view>

#include "cgx/container/launch.h"

namespace cgx::tool {

// Returns when the process has ended: its status, or 128 and the signal that ended it. Signals that this process gets
// go to it, and with launched.terminal what is typed and printed; that is closed, which hangs the terminal up, where
// nobody takes what is printed any more. With `keys`, -1 when they were typed: the process goes on, and a process that
// is left behind holds its terminal and drops what it writes.
// What the end of the terminal that this process has at first does to a process that does not handle SIGHUP: `ends` it,
// also PID 1 of a pid namespace, which the signal does not.
enum class HangUp : std::uint8_t { is_signalled, ends };
[[nodiscard]] Result<int> wait_in_foreground(container::Launched& launched,
                                             std::string_view keys = {},
                                             HangUp hang_up = HangUp::is_signalled);

}  // namespace cgx::tool
