// SPDX-License-Identifier: Apache-2.0
// Inside container/: the mounts of a container, one by one, in the child.
#pragma once

#include <string>

#include "cgx/container/root_dir.h"
#include "cgx/container/rootfs.h"

namespace cgx::container {

// All mounts of the specification, in its order, below `plan.root`, which a mount upon "/" replaces.
[[nodiscard]] Result<> make_mounts(RootfsPlan& plan);

// One hierarchy a directory in a tmpfs, or cgroup2 alone.
[[nodiscard]] Result<> mount_cgroups(RootfsPlan& plan, const Mount& mount, const MountOptions& options);

// Whether `target` is open on the root itself, by whatever path.
[[nodiscard]] Result<bool> is_root(const RootfsPlan& plan, int target);

// Attaches, and sees to it that a mount upon the root itself becomes the root.
[[nodiscard]] Result<> attach_in(
    RootfsPlan& plan, sys::Fd tree, const Target& target, const std::string& path, Links links = Links::follow);

// Copies what is in directory `from` to `to`: files, directories, links, nodes, with owners, modes and times. Links are
// not followed. For tmpcopyup.
[[nodiscard]] Result<> copy_directory(int from, int to);

// MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE of linux.rootfsPropagation; slave where it is not given.
[[nodiscard]] Result<unsigned long> root_propagation(const Spec& spec);

// `mount "DST" of "SRC": REASON`.
[[nodiscard]] Error of_mount(const Mount& mount, Error error);

}  // namespace cgx::container
