// SPDX-License-Identifier: Apache-2.0
// Inside change/: in which order the writes of many groups are possible.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cgx/change/plan.h"

namespace cgx {

// What a file of a group holds now; nullopt: the group is new, or has no such file.
using ReadNow = std::function<std::optional<std::string>(const Step& step, std::string_view file)>;

// `steps`: those of one group after those of another, groups from the top down, each group's own in their order. What a
// group allows to the groups below is raised before theirs, and lowered after. A v1 cpuset that moves sideways (0 to 1)
// is first widened to both, so that a step is added. Pure but for `now`.
[[nodiscard]] std::vector<Step> in_order(std::vector<Step> steps, const ReadNow& now);

}  // namespace cgx
