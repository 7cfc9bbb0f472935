// SPDX-License-Identifier: Apache-2.0
// The reason of a command's death that its exit status does not tell: a limit of memory.
#pragma once

#include <cstdint>
#include <string_view>

#include "cgx/cgroupfs/cgroup.h"
#include "cgx/container/limit_hits.h"

namespace cgx::tool {

// For what ended with the status of SIGKILL: a line "cgx: exec NAME: ..." with the limit and its group, where `group`
// has counted a kill since `before`, or why that is unknown; otherwise nothing.
struct Told {
  std::string_view command, name;
  bool json = false;
};
void tell_of_memory(const container::Readings& before, const Cgroup& group, const Told& told);
// The same by memory_kills(): what it costs comes before each command, so it is one file and not those of all groups
// above and below. Where more than one limit may have been the cause, none is named.
void tell_of_memory(const Result<std::uint64_t>& kills_before, const Cgroup& group, const Told& told);

}  // namespace cgx::tool
