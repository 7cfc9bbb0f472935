// SPDX-License-Identifier: Apache-2.0
// Inside container/: a terminal of the container's own devpts, as the controlling terminal of a new session: what is
// typed into it (TIOCSTI) stays in the container.
#pragma once

#include "cgx/container/spec.h"
#include "cgx/sys/fd.h"

namespace cgx::container {

struct Terminal {
  sys::Fd master, slave;
  std::string name;  // "/dev/pts/0"
};

// In the container's root: opens /dev/pts/ptmx, which has to be the kernel's, and the other end by its descriptor.
[[nodiscard]] Result<Terminal> open_terminal(const Process& process);
// The calling process, leader of its session, gets it as its controlling terminal and as descriptors 0, 1 and 2.
[[nodiscard]] Result<> take_terminal(const Terminal& terminal);

}  // namespace cgx::container
