// SPDX-License-Identifier: Apache-2.0
// Inside change/: what the explanations of writes and of groups look at.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cgx/cgroupfs/cgroup.h"

namespace cgx {

// The trimmed text of `file`; empty where it cannot be read, which proves nothing.
[[nodiscard]] std::string text_of(const Cgroup& group, const Hierarchy& h, std::string_view file);
// Whose `file` of `group` is, and who asks, for EACCES and EPERM; empty where it cannot be looked at.
[[nodiscard]] std::string rights(const Hierarchy& h, std::string_view group, std::string_view file);
// For a group that this user may not change: what root can do about it. Empty for root itself, but not for who is root
// of a user namespace alone.
[[nodiscard]] std::string hint_at_owner();
[[nodiscard]] bool is_root_of_host();
// `id` of this user namespace as the namespace outside has it, by /proc/PID/uid_map; nullopt: not mapped.
[[nodiscard]] std::optional<std::uint64_t> outer_id(std::string_view map, std::uint64_t id);

}  // namespace cgx
