// SPDX-License-Identifier: Apache-2.0
// What commands on processes share: names of groups, process ids and how they are shown.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "cgx/cgroupfs/tasks.h"

#include "command.h"

namespace cgx::tool {

// The groups named, all of which are there: the error is that of the first that is not.
[[nodiscard]] Result<std::vector<Cgroup>> existing_groups(const Hierarchies& hierarchies,
                                                          const std::vector<std::string>& names);
// A process or thread number: 1 to 4194304 (the kernel's PID_MAX_LIMIT). Whether it is there is not asked.
[[nodiscard]] Result<pid_t> parse_pid(std::string_view text);
// The command's name of a process or thread, `?` where it has gone.
[[nodiscard]] std::string command_of(pid_t id);
// Control characters become `?`, wherever it goes: for tables, which a newline or a tab would break.
[[nodiscard]] std::string without_controls(std::string_view text);
// The same at a terminal. As it is elsewhere, for scripts that take names from here.
[[nodiscard]] std::string printable(std::string_view text);
// EPERM where systemd owns the group, with `systemctl VERB UNIT` as the hint.
[[nodiscard]] Result<> leave_to_systemd(const Cgroup& group, std::string_view verb);

}  // namespace cgx::tool
