// SPDX-License-Identifier: Apache-2.0
// Lists the groups below a group: the union over all hierarchies, each with the hierarchies that it is in.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/cgroupfs/cgroup.h"

namespace cgx {

struct Listed {
  std::string name;               // from the root
  std::uint32_t hierarchies = 0;  // bit i: it is in Hierarchies::all()[i]
  [[nodiscard]] bool in(const Hierarchy& h) const { return (hierarchies >> h.index() & 1U) != 0; }
};

enum class Depth : std::uint8_t { children, all };

// Directories of hierarchies at and below `group` that other file systems hide, mounted on them: what is below such a
// one cannot be used, or removed, in that hierarchy.
struct Covered {
  const Hierarchy* hierarchy;
  std::string name;  // of the group
};
[[nodiscard]] Result<std::vector<Covered>> covered_in(const Cgroup& group);
// The mount points of these.
[[nodiscard]] Result<std::vector<std::string>> mounts_in(const Cgroup& group);

// Groups below `group`, without itself, parents before children, siblings sorted by name. A group that comes or goes
// meanwhile may or may not be there; it is no error. Blocks not at all. Holds one descriptor a hierarchy, at any depth.
[[nodiscard]] Result<std::vector<Listed>> walk(const Cgroup& group, Depth depth);

inline constexpr unsigned any_depth = std::numeric_limits<unsigned>::max();
// The same by name, at most `depth` levels below `group`, names only. ENOENT: the group is in no hierarchy.
[[nodiscard]] Result<std::vector<std::string>> walk_below(const Hierarchies& hierarchies,
                                                          std::string_view group,
                                                          unsigned depth = any_depth);

}  // namespace cgx
