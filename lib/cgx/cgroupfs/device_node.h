// SPDX-License-Identifier: Apache-2.0
// What device node a path is: the part of reading device rules that needs the file system.
#pragma once

#include <string>

#include "cgx/model/device_rules.h"
#include "cgx/sys/result.h"

namespace cgx {

// stat(2) of `path`, following links. Errors: Fault::usage, with the path as the value, where it is missing, cannot be
// looked up or is no device node. Does not open the device and does not block on it. Fits NodeResolver.
[[nodiscard]] Result<NodeType> device_node(const std::string& path);

}  // namespace cgx
