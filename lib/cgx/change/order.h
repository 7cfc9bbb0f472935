// SPDX-License-Identifier: Apache-2.0
// Inside change/: in which order the writes of many groups are possible.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/change/plan.h"

namespace cgx {

// What a file of a group holds now; nullopt: the group is new, or has no such file.
using ReadNow = std::function<std::optional<std::string>(const Step& step, std::string_view file)>;

// `steps`: those of one group after those of another, groups from the top down, each group's own in their order. What a
// group allows to the groups below is raised before theirs, and lowered after. A v1 cpuset that moves sideways (0 to 1)
// is first widened to both, so that a step is added. Pure but for `now`.
[[nodiscard]] std::vector<Step> in_order(std::vector<Step> steps, const ReadNow& now);

// What groups that go or yield hold against `values`, the writes of the groups that stay: steps to be ordered with
// them, parents before children. On v1 the kernel counts a group's CPUs, quota and real-time runtime against the groups
// above and beside it for as long as the group exists. Reads only.
[[nodiscard]] std::vector<Step> yielding_steps(const Hierarchies& hierarchies,
                                               const std::vector<Step>& values,
                                               const ChangeSet& set);

// The nearest group above that is not in `going`.
[[nodiscard]] std::string heir_of(std::string_view group, const std::set<std::string_view>& going);

}  // namespace cgx
