// SPDX-License-Identifier: Apache-2.0
// Removes directories that others have filled.
#pragma once

#include <string>

#include "cgx/sys/result.h"

namespace cgx::sys {

// Removes `name` in the directory `parent`, and all that is in it. No link is followed, no mount is entered (EXDEV),
// and a directory that is moved elsewhere meanwhile ends the removal (ESTALE). Three descriptors and no recursion,
// whatever the depth is. ENOENT is no error.
[[nodiscard]] Result<> remove_tree(int parent, const std::string& name);
// The same by path, whose last part is no link.
[[nodiscard]] Result<> remove_tree(const std::string& path);

}  // namespace cgx::sys
