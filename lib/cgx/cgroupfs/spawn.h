// SPDX-License-Identifier: Apache-2.0
// Starting a program inside a group: a member before its first instruction. On v2 by clone3(CLONE_INTO_CGROUP); in v1
// hierarchies the child joins by itself through `tasks`, which takes no global lock.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <signal.h>
#include <sys/types.h>

#include "cgx/cgroupfs/cgroup.h"

namespace cgx {

struct Child {
  pid_t pid = -1;
  sys::Fd pidfd;
};

// How the start failed before the program ran.
enum class SpawnStage : std::uint8_t { place, execute };
struct SpawnError {
  SpawnStage stage = SpawnStage::place;
  Error error;
};

// Starts argv[0] (found through PATH) in `group`, with `mask` as its signal mask. Ignored signals stay ignored.
// Returns when the program has been executed, or could not be: error stage place (the group refused) or execute
// (code ENOENT: not found, else not executable). The child is not waited for on success. The child lives in the
// caller's memory until then: callers have no signal handlers (signalfd and sigwaitinfo are fine) and no other threads.
[[nodiscard]] std::expected<Child, SpawnError> spawn_in(const Cgroup& group,
                                                        const std::vector<std::string>& argv,
                                                        const sigset_t& mask);

// Replaces the calling process by argv[0], after it has joined `group`, which is in v1 hierarchies only (ENOTSUP with
// cgroup2: moving from outside waits for a grace period there; spawn_in() does not). Returns only on failure; then the
// process is in the group.
[[nodiscard]] SpawnError exec_in(const Cgroup& group, const std::vector<std::string>& argv);

}  // namespace cgx
