// SPDX-License-Identifier: Apache-2.0
// Groups that a killed `cgx exec` has left.
#pragma once

#include <string>
#include <vector>

namespace cgx::launcher {

// Removes the fresh groups of `cgx exec` whose maker is gone and that are empty, and answers their names. Where
// `dry_run`, it removes nothing.
[[nodiscard]] std::vector<std::string> left_by_exec(bool dry_run);

}  // namespace cgx::launcher
