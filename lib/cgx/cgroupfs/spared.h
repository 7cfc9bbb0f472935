// SPDX-License-Identifier: Apache-2.0
// Processes that a limit would hurt all others by: PID 1 and the threads of the kernel.
#pragma once

#include <span>

#include <sys/types.h>

#include "cgx/cgroupfs/cgroup.h"

namespace cgx {

[[nodiscard]] bool kernel_thread(pid_t pid);

// EPERM where one of the processes (or threads) is to be spared. Into the root all may go: no limit is there. Asked
// before the first write; PID 1 is that of the caller's pid namespace.
[[nodiscard]] Result<> check_spared(const Cgroup& group, std::span<const pid_t> ids);

}  // namespace cgx
