// SPDX-License-Identifier: Apache-2.0
// Inside container/: what is made in /dev.
#pragma once

#include "cgx/container/rootfs.h"

namespace cgx::container {

// Before the clone: the list of devices, and trees of the host's nodes where mknod is not possible.
[[nodiscard]] Result<> prepare_devices(RootfsPlan& plan);
// In the child: nodes, links, and /dev/console from `console_tree`.
[[nodiscard]] Result<> make_devices(RootfsPlan& plan);

// /dev/null of the host as a tree, checked to be it: an image's /dev/null may be a link to what is to be masked.
[[nodiscard]] Result<sys::Fd> clone_null();

}  // namespace cgx::container
