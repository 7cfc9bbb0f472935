// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/process.h"

#include <cerrno>
#include <csignal>

#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

namespace cgx::sys {
namespace {

bool ignored_children = false;

void set_child_signal(void (*action)(int)) {
  struct sigaction wanted{};
  wanted.sa_handler = action;
  (void)sigaction(SIGCHLD, &wanted, nullptr);
}

}  // namespace

void wait_for_children() {
  struct sigaction before{};
  if (sigaction(SIGCHLD, nullptr, &before) != 0 || before.sa_handler != SIG_IGN) return;
  ignored_children = true;
  set_child_signal(SIG_DFL);
}

void restore_child_signal() {
  if (ignored_children) set_child_signal(SIG_IGN);
}

int signal_process(int pidfd, int signal) {
  if (syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0) return 0;
  if (errno != ENOSYS) return errno;
  const auto info = read_path(fmt::format("/proc/self/fdinfo/{}", pidfd));
  if (!info) return info.error().code;
  for (const std::string_view line : lines(*info)) {
    if (!line.starts_with("Pid:")) continue;
    // -1: it was waited for, 0: it is of another pid namespace.
    const auto pid = parse_i64(trim(line.substr(4)), -1, 1 << 22);
    if (!pid || *pid <= 0) return ESRCH;
    return kill(static_cast<pid_t>(*pid), signal) == 0 ? 0 : errno;
  }
  return ENOSYS;
}

Result<std::uint64_t> started(pid_t pid) {
  const auto text = read_path(fmt::format("/proc/{}/stat", pid));
  if (!text) return fail_errno(text.error().code == ENOENT ? ESRCH : text.error().code, "the process");
  // proc(5): fields from the third on come after the name in parentheses, which may hold anything.
  const std::size_t end = text->rfind(')');
  const auto fields = words(std::string_view(*text).substr(end == std::string::npos ? text->size() : end + 1));
  if (fields.size() < 20) return fail_errno(ESRCH, "the process");
  return parse_u64(fields[19]);
}

}  // namespace cgx::sys
