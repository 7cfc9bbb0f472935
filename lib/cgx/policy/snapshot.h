// SPDX-License-Identifier: Apache-2.0
// What is set on this host becomes a policy file.
#pragma once

#include <string>
#include <string_view>

#include "cgx/cgroupfs/hierarchy.h"

namespace cgx::policy {

// The text of a policy that makes `group` and all groups below it as they are now (the root: every group of the host):
// what differs from the kernel's defaults, in the keys of policies where there is one, else as raw files. Groups that
// systemd owns are left out, and comments at the top name them. Reads only. Errors: ENOENT: there is no such group.
// A group whose name is not UTF-8 is left out, and named in a comment with its bytes as \\xff.
[[nodiscard]] Result<std::string> snapshot(const Hierarchies& hierarchies, std::string_view group);

}  // namespace cgx::policy
