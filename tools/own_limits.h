// SPDX-License-Identifier: Apache-2.0
// The limits of this process beside those of the programs that it starts.
#pragma once

#include <vector>

#include "cgx/container/spec.h"

namespace cgx::tool {

// A start takes about 80 descriptors, and a monitor one more for each client: raises the soft limit of descriptors to
// the hard one. To be called once, by the program that starts nothing else after it without limits_before().
void raise_descriptor_limit();
// A write beyond RLIMIT_FSIZE is then an error that can be told of (EFBIG), and not the end of this process.
void ignore_file_limit_signal();
// What was raised, as it was before: for programs of containers. Empty: nothing.
[[nodiscard]] const std::vector<container::Rlimit>& limits_before();
// Gives them to this process, which executes another program next.
[[nodiscard]] Result<> restore_limits();

}  // namespace cgx::tool
