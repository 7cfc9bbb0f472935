// SPDX-License-Identifier: Apache-2.0
#include "exec_memory.h"

#include <cerrno>

#include <fmt/format.h>

#include "command.h"

namespace cgx::tool {
namespace {

void tell(const container::Cause& cause, const Told& told) {
  if (cause.count == 0 && cause.unread.empty()) return;
  const std::string_view how = cause.count > 0 ? "killed for memory: " : "killed by SIGKILL; if for memory, ";
  Error e{.code = ENOMEM, .what = fmt::format("{}{}", how, cause.memory_text())};
  e.group = told.name;
  (void)report(e, told.command, told.json);  // the exit status is the command's
}

}  // namespace

void tell_of_memory(const container::Readings& before, const Cgroup& group, const Told& told) {
  tell(container::memory_cause(before, container::read_memory(group)), told);
}

void tell_of_memory(const Result<std::uint64_t>& kills_before, const Cgroup& group, const Told& told) {
  if (!kills_before) return tell({.unread = kills_before.error().what}, told);
  tell(container::memory_cause(*kills_before, container::read_memory(group, false)), told);
}

}  // namespace cgx::tool
