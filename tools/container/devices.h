// SPDX-License-Identifier: Apache-2.0
// The device nodes of the host that a container gets: of --device, a node or a directory of them, and of --privileged.
// Reads the host's nodes and changes nothing.
#pragma once

#include <string>
#include <vector>

#include <sys/stat.h>

#include "options.h"

namespace cgx::launcher {

struct DeviceNode {
  std::string path;  // in the container
  struct stat st{};  // of the host's node
  std::string access;
};
// Errors name the flag and the path of the host. A directory without a node is ENODEV.
[[nodiscard]] Result<std::vector<DeviceNode>> device_nodes(const RunOptions& options);

}  // namespace cgx::launcher
