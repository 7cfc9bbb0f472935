// SPDX-License-Identifier: Apache-2.0
// Why a container died: what its group and those above it counted while it ran. The kernel tells of a limit that was
// hit where the limit is (v2: memory.events.local, pids.events; v1: failcnt), and of the kill where the process was.
#pragma once

#include <map>
#include <string>

#include "cgx/cgroupfs/cgroup.h"

#include "record.h"

namespace cgx::launcher {

// Counters of a group and all above it, before a run.
struct Counters {
  struct Of {
    std::uint64_t kills = 0;       // processes killed for memory, of this group alone
    std::uint64_t limit_hits = 0;  // its own memory limit was reached in vain
    std::uint64_t refused = 0;     // processes refused by its own limit
  };
  std::map<std::string, Of> groups;
};
[[nodiscard]] Counters count_now(const Cgroup& group);
// Fills in what has happened since; called while the group is still there.
void explain_death(const Cgroup& group, const Counters& before, Ending& ending);
// What cgxd did to it, or to `first`, its first process, since `started`, by its history; empty: nothing, or there is
// no cgxd. For one that was killed. `patient`: nothing else explains it, and cgxd may need a second to say so.
[[nodiscard]] std::string policy_of_death(const Cgroup& group, std::string_view started, pid_t first, bool patient);
// `why`, of all that was filled in.
[[nodiscard]] std::string plain_reason(const Ending& ending);

}  // namespace cgx::launcher
