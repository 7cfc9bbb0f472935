// SPDX-License-Identifier: Apache-2.0
// Signals for one process, and for no other that gets its number later.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <sys/types.h>

#include "cgx/sys/result.h"

namespace cgx::sys {

// Signals the process of a pidfd, which stays the caller's. Where there is no pidfd_send_signal(2) (before Linux 5.1,
// or filtered out by seccomp) by its number, as long as that is its own: /proc/self/fdinfo says so until it was waited
// for. Answers an errno; ESRCH: it has ended.
[[nodiscard]] int signal_process(int pidfd, int signal);

// What /proc/PID/stat says, as far as somebody asks (proc(5)).
struct ProcessStat {
  char state = 0;  // 'R', 'D', 'Z'
  std::uint64_t flags = 0;
  std::uint64_t user_ticks = 0, system_ticks = 0;
  std::uint64_t start = 0;  // in clock ticks since the boot: with this a number means one process
  std::uint64_t rss_pages = 0;
};
inline constexpr std::uint64_t kernel_thread_flag = 0x00200000;  // PF_KTHREAD of include/linux/sched.h
// Nothing: it is not the text of such a file. Allocates nothing.
[[nodiscard]] std::optional<ProcessStat> parse_stat(std::string_view text);
// The name in parentheses, which may hold anything; empty: there is none. Allocates nothing.
[[nodiscard]] std::string_view name_in_stat(std::string_view text);
// ESRCH: there is no such process.
[[nodiscard]] Result<ProcessStat> stat_of(pid_t pid);

// When the process began, in clock ticks since the boot: with this a number means one process. ESRCH: there is none.
[[nodiscard]] Result<std::uint64_t> started(pid_t pid);

// The kernel reaps the children of a process that ignores SIGCHLD: their status is lost, and their numbers become those
// of other processes. execve(2) keeps what the caller ignores, so that programs which wait for a child begin with this.
void wait_for_children();
// Before execve(2) of the caller's command: SIGCHLD as the caller had it. Makes system calls only.
void restore_child_signal();

}  // namespace cgx::sys
