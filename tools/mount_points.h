// SPDX-License-Identifier: Apache-2.0
// Where mounts of a command's own file system go: in which order, and each place once.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "cgx/sys/result.h"

namespace cgx::tool {

// A destination without empty parts, `.`, `..` and a slash at the end.
[[nodiscard]] std::string mount_point(const std::string& destination);
// How many directories it is below the root. A mount hides what was mounted below its destination before, so mounts are
// made in the order of their depth.
[[nodiscard]] std::size_t mount_depth(const std::string& destination);
// Refuses the root, and a destination that is given twice.
[[nodiscard]] Result<> check_mount_points(const std::vector<std::string>& destinations);

}  // namespace cgx::tool
