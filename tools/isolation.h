// SPDX-License-Identifier: Apache-2.0
// What `cgx exec` contains a command with: parsed and checked before anything is made, and handed to the helper
// cgx-isolate as words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "command.h"

namespace cgx::tool {

// The options of exec that are about it, for the row of the command.
inline constexpr Option isolation_options[] = {
    Option{"isolate", 0, "", "own pid, ipc, mnt, uts and cgroup namespaces, and a /proc of their own"},
    Option{"ns", 0, "LIST", "own namespaces: pid, net, ipc, mnt, uts, user, cgroup, time (pid,net)", true},
    Option{"rootfs", 0, "DIR", "DIR is the root of its file system, with a /proc, /sys and /dev of its own"},
    Option{"hostname", 0, "NAME", "the name of the host that it sees"},
    Option{"ro", 0, "", "it cannot write to the root of its file system"},
    Option{"bind", 0, "SRC:DST[:ro]", "show SRC of the host as DST", true},
    Option{"tmpfs", 0, "DST", "an empty file system in memory as DST", true},
    Option{"user", 0, "UID[:GID]", "run it as this user, by number (GID as UID if not given)"},
    Option{"cap-drop", 0, "LIST", "without these capabilities (net_raw,sys_ptrace), or all", true},
    Option{"seccomp", 0, "PROFILE", "refuse system calls: default, a FILE (rules of the OCI, or docker's), or off"},
    Option{"no-new-privs", 0, "", "no program that it executes gains rights (set-user-ID, file capabilities)"},
};

// A word of a line of /etc/hosts or /etc/resolv.conf: at most 255 bytes without blanks, control characters and #, which
// would end it.
[[nodiscard]] bool is_host_word(std::string_view text);

// Whether any of them is given.
[[nodiscard]] bool isolates(const Call& call);

// The words for cgx-isolate, NAME VALUE by turns. Errors are Fault::usage and name the flag.
[[nodiscard]] Result<std::vector<std::string>> isolation_words(const Call& call);

struct Isolation {
  std::vector<std::string> namespaces;  // "pid", ... in a fixed order, "mnt" always
  std::string rootfs, hostname, seccomp;
  bool readonly = false, no_new_privs = false, drop_all = false;
  struct Bind {
    std::string source, destination;
    bool readonly = false;
  };
  std::vector<Bind> binds;
  std::vector<std::string> tmpfs;
  std::optional<std::pair<std::uint32_t, std::uint32_t>> user;
  std::vector<std::string> drop;  // names as given

  [[nodiscard]] bool has(std::string_view ns) const;
};
// Of such words.
[[nodiscard]] Result<Isolation> parse_isolation(const std::vector<std::pair<std::string, std::string>>& words);

}  // namespace cgx::tool
