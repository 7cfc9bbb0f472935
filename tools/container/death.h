// SPDX-License-Identifier: Apache-2.0
// Why a container died: by what its group and those around it counted while it ran (cgx/container/limit_hits.h), and by
// what cgxd says.
#pragma once

#include <string>

#include "cgx/cgroupfs/cgroup.h"
#include "cgx/container/limit_hits.h"

#include "record.h"

namespace cgx::launcher {

// Of its group, before a run.
struct Counters {
  container::Readings memory, pids;
};
[[nodiscard]] Counters count_now(const Cgroup& group);
// Fills in what has happened since; called while the group is still there.
void explain_death(const Cgroup& group, const Counters& before, Ending& ending);
// What cgxd did to it, or to `first`, its first process, since `started`, by its history; empty: nothing, or there is
// no cgxd. For one that was killed. `patient`: nothing else explains it, and cgxd, if it has a policy for a group
// there, may need up to three seconds to say so.
[[nodiscard]] std::string policy_of_death(const Cgroup& group, std::string_view started, pid_t first, bool patient);
// Whether a limit of memory, and no command, is why its status is that of SIGKILL.
[[nodiscard]] bool killed_for_memory(const Ending& ending);
// `why`, of all that was filled in.
[[nodiscard]] std::string plain_reason(const Ending& ending);

// The name that everybody else has for it: a container of a container counts its own from its caller's group.
[[nodiscard]] std::string name_from_root(const Cgroup& group);

}  // namespace cgx::launcher
