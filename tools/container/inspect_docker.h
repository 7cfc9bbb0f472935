// SPDX-License-Identifier: Apache-2.0
// The names that docker's users know for what inspect shows.
#pragma once

#include "cgx/sys/json.h"

#include "record.h"

namespace cgx::launcher {

// Members of an open object: .State.Pid, .Config.Labels, .HostConfig.Memory and others, as far as they are known here.
void write_docker_members(sys::JsonWriter& json, const Known& known);

}  // namespace cgx::launcher
