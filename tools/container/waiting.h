// SPDX-License-Identifier: Apache-2.0
// Waiting for the ends of processes: of a container's first one, and of its monitor.
#pragma once

#include <cstdint>

#include "record.h"

namespace cgx::launcher {

// Invalid where the process has ended. What cannot be opened for another reason is not gone.
[[nodiscard]] Result<sys::Fd> if_there(Result<sys::Fd> process);
// The monitor; invalid: it is not there any more.
[[nodiscard]] Result<sys::Fd> open_monitor(const Known& known);
// False: not in that time. Negative: without a bound.
[[nodiscard]] Result<bool> ended_within(const sys::Fd& pidfd, std::int64_t ms);

}  // namespace cgx::launcher
