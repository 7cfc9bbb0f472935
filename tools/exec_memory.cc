// SPDX-License-Identifier: Apache-2.0
#include "exec_memory.h"

#include <cerrno>

#include <fmt/format.h>

#include "command.h"

namespace cgx::tool {

void tell_of_memory(const container::Readings& before, const Cgroup& group, const Told& told) {
  const container::Cause cause = container::memory_cause(before, container::read_memory(group));
  if (cause.count == 0) return;
  Error e{.code = ENOMEM, .what = fmt::format("killed for memory: {}", cause.memory_text())};
  e.group = told.name;
  (void)report(e, told.command, told.json);  // the exit status is the command's
}

}  // namespace cgx::tool
