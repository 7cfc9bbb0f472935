// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/spared.h"

#include <cerrno>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/process.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

std::string comm_of(pid_t pid) {
  const auto comm = sys::read_path(fmt::format("/proc/{}/comm", pid));
  return comm ? std::string(sys::trim(*comm)) : "?";
}

// A number of a thread names its process too.
bool of_init(pid_t pid) { return pid == 1 || access(fmt::format("/proc/1/task/{}", pid).c_str(), F_OK) == 0; }

}  // namespace

bool kernel_thread(pid_t pid) {
  const auto stat = sys::stat_of(pid);
  return stat && (stat->flags & sys::kernel_thread_flag) != 0;
}

Result<> check_spared(const Cgroup& group, std::span<const pid_t> ids) {
  if (group.name().empty()) return {};
  for (const pid_t pid : ids) {
    const bool init = of_init(pid);
    if (!init && !kernel_thread(pid)) continue;
    return std::unexpected(Error{
        .code = EPERM,
        .what = fmt::format(
            "is {} ({}): its limits would be felt by all others", init ? "PID 1" : "a kernel thread", comm_of(pid)),
        .group = group.name(),
        .value = std::to_string(pid),
        .hint = fmt::format("cgx move {} {} --force", group.name(), pid)});
  }
  return {};
}

}  // namespace cgx
