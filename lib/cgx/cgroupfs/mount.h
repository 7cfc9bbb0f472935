// SPDX-License-Identifier: Apache-2.0
// What /proc/self/mountinfo says of cgroup hierarchies. Parsing is pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/model/controller.h"

namespace cgx {

struct Mount {
  Version version = Version::v2;
  std::string dir;            // the mount point
  std::string root;           // the group that is seen at the mount point, "/" for the whole hierarchy
  ControllerSet controllers;  // v1: those of the mount options; v2: empty, cgroup.controllers has them
  std::string name;           // of a v1 hierarchy mounted with name=
  std::string options;        // the super block's options as they stand
  unsigned device = 0;        // minor of st_dev: two mounts of one hierarchy share it
  std::uint64_t id = 0;       // of the mount; 0: not known
  std::string top{};          // the mount point, where `dir` is a group below it (Hierarchies::nested()); else empty
};

// One Mount a cgroup or cgroup2 line, in the file's order. Lines that are malformed or of other file systems are
// passed over.
[[nodiscard]] std::vector<Mount> parse_mountinfo(std::string_view text);

// Whether something else is found at the mount point: another mount lies over it, or over a directory above it.
// Before Linux 5.8 the kernel does not say which mount a path leads to, and none counts as hidden.
[[nodiscard]] bool is_hidden(const Mount& mount);

}  // namespace cgx
