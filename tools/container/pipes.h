// SPDX-License-Identifier: Apache-2.0
// The pipes between a container without a terminal and its monitor.
#pragma once

#include <array>

#include <sys/types.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/result.h"

namespace cgx::launcher {

struct Pipes {
  sys::Fd in, out, err;           // the monitor's ends; `in`: none, where the program reads nothing
  std::array<sys::Fd, 3> theirs;  // the program's standard streams
};
// They belong to `uid` and `gid`, the program's ids on the host.
[[nodiscard]] Result<Pipes> make_pipes(bool interactive, uid_t uid, gid_t gid);

}  // namespace cgx::launcher
