// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cgx/cgroupfs/cgroup.h"

namespace cgx::oci {

// The `data` of an event of type stats, as JSON: times in nanoseconds, sizes in bytes.
[[nodiscard]] std::string stats_json(const Cgroup& group);

}  // namespace cgx::oci
