// SPDX-License-Identifier: Apache-2.0
// The reason of a command's death that its exit status does not tell: a limit of memory.
#pragma once

#include <string_view>

#include "cgx/cgroupfs/cgroup.h"
#include "cgx/container/limit_hits.h"

namespace cgx::tool {

// For what ended with the status of SIGKILL: a line "cgx: exec NAME: ..." with the limit and its group, where `group`
// has counted a kill since `before`; otherwise nothing.
struct Told {
  std::string_view command, name;
  bool json = false;
};
void tell_of_memory(const container::Readings& before, const Cgroup& group, const Told& told);

}  // namespace cgx::tool
