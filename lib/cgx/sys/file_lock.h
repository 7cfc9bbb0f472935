// SPDX-License-Identifier: Apache-2.0
// flock(2) with an end to the waiting: one stopped holder must not hang every other cgx on the host.
#pragma once

#include <string>
#include <string_view>

#include "cgx/sys/fd.h"

namespace cgx::sys {

// Opens the lock file `name` in the directory `dir`, and makes it where it is missing: 0600, whatever the umask and
// its mode before. Who can open a file, if only to read it, can hold its flock(2) for ever. Errors: the errno.
[[nodiscard]] Result<Fd> open_lock_file(int dir, const std::string& name);

// Takes the lock `operation` (LOCK_EX or LOCK_SH) on the file open at `fd`, which stays the caller's; it goes with the
// last descriptor of that open file. Blocks for up to 30 s. Errors: ETIMEDOUT, `another cgx (process N) has been DOING
// for 30 s`; else what flock(2) says, in the words of its errno alone.
[[nodiscard]] Result<> lock_file(int fd, int operation, std::string_view doing);

}  // namespace cgx::sys
