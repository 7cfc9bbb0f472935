// SPDX-License-Identifier: Apache-2.0
// Where a process is: its group in each hierarchy, from /proc/PID/cgroup (cgroups(7)). Parsing is pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "cgx/cgroupfs/hierarchy.h"

namespace cgx {

struct Place {
  const Hierarchy* hierarchy = nullptr;
  std::string group;  // a name from the hierarchy's root; starts with `..` for a group outside this cgroup namespace
};

// One Place a hierarchy of `hierarchies` (named ones left out) in which the text names a group. Groups that cannot be
// seen through the mount (another subtree is mounted) are left out.
[[nodiscard]] std::vector<Place> parse_places(std::string_view proc_cgroup, const Hierarchies& hierarchies);

// The places of a process or thread; 0 is the caller. ESRCH: there is none of that number.
[[nodiscard]] Result<std::vector<Place>> places_of(const Hierarchies& hierarchies, pid_t pid);

// Hierarchies in which the process has a group that cannot be named from here: it is not beneath what is mounted, as in
// a cgroup namespace that has the mounts of the host, or it is outside of this namespace. Errors as above.
[[nodiscard]] std::vector<const Hierarchy*> parse_unnamed(std::string_view proc_cgroup, const Hierarchies& hierarchies);
[[nodiscard]] Result<std::vector<const Hierarchy*>> unnamed_of(const Hierarchies& hierarchies, pid_t pid);

// Whether the name of a place leads out of this cgroup namespace, so that nothing can be done there.
[[nodiscard]] bool is_outside(std::string_view group);
// The error for the process in `value`, whose group cannot be named.
[[nodiscard]] Error cannot_be_named(std::string value);

// The same as bases for Hierarchies::nested(), of the named hierarchies too. Left out where the process is in the root,
// and where its group cannot be named: outside of this cgroup namespace, or of what is mounted.
[[nodiscard]] std::vector<Base> parse_bases(std::string_view proc_cgroup, const Hierarchies& hierarchies);
[[nodiscard]] Result<std::vector<Base>> bases_of(const Hierarchies& hierarchies, pid_t pid);

// Whether `group` is `top` or below it. Names, not text: `web` is not above `web2`.
[[nodiscard]] bool lies_in(std::string_view group, std::string_view top);

// Controllers of the hierarchies that the nearest group above `group` is in, for making it there and nowhere else;
// nullopt: it is in all of them, or there is none but the root.
[[nodiscard]] Result<std::optional<ControllerSet>> controllers_above(const Hierarchies& hierarchies,
                                                                     std::string_view group);

}  // namespace cgx
