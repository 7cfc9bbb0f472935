// SPDX-License-Identifier: Apache-2.0
// Lowering memory.max of v2 below what is in use, for which the kernel kills.
#pragma once

#include "cgx/change/plan.h"

namespace cgx {

// Asks the kernel to reclaim what `step` needs. EBUSY: there is more in use that cannot be reclaimed. Blocks as long as
// reclaim takes.
[[nodiscard]] Result<> shrink_v2(const Cgroup& group, const Step& step);

}  // namespace cgx
