// SPDX-License-Identifier: Apache-2.0
// Inside container/: what a process is given besides its groups: rlimits, OOM score, scheduling, personality, a
// keyring, labels of security modules. An error names the field and the value.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "cgx/container/spec.h"

namespace cgx::container {

// Of the process `pid` (0: the calling one).
[[nodiscard]] Result<> set_rlimits(pid_t pid, const std::vector<Rlimit>& limits);
// The pid of the calling process in `proc`, a descriptor of a /proc that may be of another pid namespace.
[[nodiscard]] Result<pid_t> pid_in(int proc);
// Of the process that is `pid` in `proc`.
[[nodiscard]] Result<> set_oom_score_adj(int proc, pid_t pid, int value);
[[nodiscard]] Result<> set_io_priority(const IoPriority& priority);
[[nodiscard]] Result<> set_scheduler(const Scheduler& scheduler);
// A list of CPUs, "0-3,8".
[[nodiscard]] Result<> set_affinity(std::string_view cpus);
[[nodiscard]] Result<> set_personality(std::string_view name);
[[nodiscard]] Result<> set_memory_policy(const MemoryPolicy& policy);

// A session keyring of the name, in which the user (or, in a user namespace, everybody) may search. Answers a warning
// where the kernel or a filter has no keyrings.
[[nodiscard]] Result<std::string> join_keyring(const std::string& name, bool user_namespace);

// Whether this kernel can give the labels of `process`; before the clone.
[[nodiscard]] Result<> check_labels(const Process& process);
// For the next execve of the calling thread.
[[nodiscard]] Result<> set_labels(int proc, const Process& process);

}  // namespace cgx::container
