// SPDX-License-Identifier: Apache-2.0
// v1: the hierarchy without controllers in which systemd tracks processes (`name=systemd`). cgx has no group in it. A
// container has, as other runtimes give it one: a systemd in it makes its own groups there, below its own, and what the
// container sees of the hierarchy is its own part.
#pragma once

#include <string>
#include <vector>

#include "cgx/cgroupfs/hierarchy.h"

namespace cgx::container {

// `group` and those above it that are not there yet, the deepest one first.
[[nodiscard]] Result<std::vector<std::string>> missing_tracking_groups(const Hierarchies& hierarchies,
                                                                       const std::string& group);
// Makes the directory `group`, with those above it; who must not do that does without. Nothing to do where the host has
// no such hierarchy.
[[nodiscard]] Result<> make_tracking_group(const Hierarchies& hierarchies, const std::string& group);
// Removes it with all below it. EBUSY: a process is in there. Not there: nothing to do.
[[nodiscard]] Result<> remove_tracking_group(const Hierarchies& hierarchies, const std::string& group);
// Of any hierarchy: removes the directory `group` with all below it. EBUSY: a process is in there.
[[nodiscard]] Result<> remove_directory(const Hierarchy& h, const std::string& group);
// Removes these, the first one first, as far as nothing is in them and below them.
void remove_empty_tracking_groups(const Hierarchies& hierarchies, const std::vector<std::string>& groups);

}  // namespace cgx::container
