// SPDX-License-Identifier: Apache-2.0
// Inside change/: why the kernel refused CPU bandwidth. Each of the kernel's conditions is looked at in the state of
// the hierarchy; a sentence names the one that is broken. Reads only.
#pragma once

#include <string>
#include <string_view>

#include "cgx/change/plan.h"

namespace cgx {

// Whether `file` is one of CFS or real-time bandwidth.
[[nodiscard]] bool limits_bandwidth(std::string_view file);
// Why EINVAL or EBUSY came of writing `step`, a file of CFS bandwidth (`cpu.max*`, `cpu.cfs_*`) or of real-time
// bandwidth
// (`cpu.rt_*`). Empty: no condition was found broken. May set `hint`.
[[nodiscard]] std::string why_bandwidth(const Cgroup& group, const Step& step, int code, std::string& hint);

// What v2 takes and a user hardly means: none of the list is online.
[[nodiscard]] std::optional<std::string> all_offline(const Knob& knob, std::string_view list);

}  // namespace cgx
