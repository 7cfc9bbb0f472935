// SPDX-License-Identifier: Apache-2.0
// `run --dry-run`: the checks of a run, and what it would make, read from the configuration that it would write.
#pragma once

#include <string>

#include "commands.h"
#include "options.h"

namespace cgx::launcher {

// Changes nothing. Prints a line a step, in their order.
[[nodiscard]] Result<int> show_run(const Call& call, const RunOptions& options, const std::string& data_root);

}  // namespace cgx::launcher
