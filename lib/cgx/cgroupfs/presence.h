// SPDX-License-Identifier: Apache-2.0
// Whether a group exists, as an answer that may fail: what could not be looked at is not what is not there.
#pragma once

#include "cgx/cgroupfs/cgroup.h"

namespace cgx {

// Whether the group is in some hierarchy. An error where one cannot be looked into (EMFILE, ENOMEM, EACCES): then
// Cgroup::present() may be short of that one.
[[nodiscard]] Result<bool> is_there(const Cgroup& group);

// Whether the directory of `group` is in this hierarchy.
[[nodiscard]] Result<bool> is_in(const Hierarchy& hierarchy, std::string_view group);

// What an EXDEV of a group's directory means: something else is mounted over it, or over one above it, so that nothing
// of the group can be seen in this hierarchy. The error says over which directory.
[[nodiscard]] Error hidden_by_mount(const Hierarchy& hierarchy, std::string_view group);

// Whether a failed read says that there is no such file, group or value, rather than that it could not be read.
[[nodiscard]] bool says_absent(const Error& error);
// The same of a knob, which may also be one that this host or kind of group does not support.
[[nodiscard]] bool says_no_value(const Error& error);

}  // namespace cgx
