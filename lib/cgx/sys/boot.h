// SPDX-License-Identifier: Apache-2.0
// Which boot of the host this is: what a record of an earlier one says of groups and mounts is over.
#pragma once

#include <string>

#include "cgx/sys/result.h"

namespace cgx::sys {

// The kernel's random number of this boot. Never empty: who cannot read it does not know whether a record is over.
[[nodiscard]] Result<std::string> boot_id();

}  // namespace cgx::sys
