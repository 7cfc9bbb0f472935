// SPDX-License-Identifier: Apache-2.0
// Inside container/: the ids of a new user namespace, written by the parent to /proc/PID/{uid_map,gid_map,setgroups}.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

#include "cgx/container/spec.h"

namespace cgx::container {

// The text of a map, a line a range. EINVAL: none, more than the kernel's 340, or a range that has no ids.
[[nodiscard]] Result<std::string> idmap_text(const std::vector<IdMapping>& mappings, std::string_view what);

// Writes both maps of `pid` below `proc`, a descriptor of /proc. Where the kernel does not let this user map these ids,
// newuidmap and newgidmap do it (shadow's programs, by /etc/subuid and /etc/subgid). Without privileges the
// kernel takes a map of one group only with setgroups(2) denied: that is done then.
[[nodiscard]] Result<> write_idmaps(int proc,
                                    pid_t pid,
                                    const std::vector<IdMapping>& uids,
                                    const std::vector<IdMapping>& gids);

// The user's name in /etc/passwd, empty where that has none: a static program loads no other sources of names.
[[nodiscard]] std::string account_of(uid_t uid);

// The ids of a user namespace for which nobody says them: `inside` is `own`, an id of the caller; the ids around it are
// those that `file` (/etc/subuid, /etc/subgid) gives user `uid`, by name or number.
[[nodiscard]] std::vector<IdMapping> default_mappings(const char* file,
                                                      uid_t uid,
                                                      std::uint32_t own,
                                                      std::uint32_t inside);

}  // namespace cgx::container
