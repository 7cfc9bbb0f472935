// SPDX-License-Identifier: Apache-2.0
// Inside cgroupfs/: what freezing and killing share.
#pragma once

#include <cstdint>
#include <string_view>

#include "cgx/cgroupfs/tasks.h"

namespace cgx {

// Until `deadline`, for poll(2): 0 when it is past.
[[nodiscard]] int milliseconds_to(Deadline deadline);
// The error, told of the group's name.
[[nodiscard]] std::unexpected<Error> with_group(Error e, const Cgroup& group);
// Blocks until `key` of cgroup.events has `value`, or the group is gone. ETIMEDOUT.
[[nodiscard]] Result<> wait_for_event(
    const Cgroup& group, const Hierarchy& h, std::string_view key, std::uint64_t value, Deadline deadline);

}  // namespace cgx
