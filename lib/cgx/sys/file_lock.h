// SPDX-License-Identifier: Apache-2.0
// flock(2) with an end to the waiting: one stopped holder must not hang every other cgx on the host.
#pragma once

#include <string_view>

#include "cgx/sys/result.h"

namespace cgx::sys {

// Takes the lock `operation` (LOCK_EX or LOCK_SH) on the file open at `fd`, which stays the caller's; it goes with the
// last descriptor of that open file. Blocks for up to 30 s. Errors: ETIMEDOUT, `another cgx (process N) has been DOING
// for 30 s`; else what flock(2) says, in the words of its errno alone.
[[nodiscard]] Result<> lock_file(int fd, int operation, std::string_view doing);

}  // namespace cgx::sys
