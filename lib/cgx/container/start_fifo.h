// SPDX-License-Identifier: Apache-2.0
// Inside container/: how the process of a container that was created waits for its start.
#pragma once

#include "cgx/sys/fd.h"
#include "cgx/sys/result.h"

namespace cgx::container {

// A container that was created and not started yet is ended by the usual signals, also where it is the first process of
// its pid namespace, to which the kernel sends no signal without a handler.
void end_by_signals();

// Blocks until somebody opens the fifo, a descriptor of O_PATH, for reading. `proc`: the caller's /proc.
[[nodiscard]] Result<sys::Fd> wait_for_start(int proc, int fifo);

}  // namespace cgx::container
