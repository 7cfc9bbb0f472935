// SPDX-License-Identifier: Apache-2.0
// Inside container/: whether the kernel has killed a process of a group for memory, while it was being started.
#pragma once

#include <cstdint>
#include <string>

#include "cgx/cgroupfs/cgroup.h"

namespace cgx::container {

// How often that has happened in the group; 0 where the kernel does not count (v1 before Linux 4.13).
[[nodiscard]] std::uint64_t oom_kills(const Cgroup& group);
// The limits of memory that the group is under, those of the nearest group that has any:
// "memory.limit_in_bytes 65536 of web/db"; empty: there are none.
[[nodiscard]] std::string memory_limits(const Cgroup& group);

}  // namespace cgx::container
