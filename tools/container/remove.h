// SPDX-License-Identifier: Apache-2.0
// The removal of a container that has ended: what it wrote, what is left of its group and mounts, its record.
#pragma once

#include "record.h"

namespace cgx::launcher {

// `known` was found with Store::How::change, does not run and has no monitor.
[[nodiscard]] Result<> remove_container(Known&& known);

}  // namespace cgx::launcher
