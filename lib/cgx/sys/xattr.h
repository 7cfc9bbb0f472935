// SPDX-License-Identifier: Apache-2.0
// Extended attributes of open files, and notes: small texts that cgx keeps with a cgroup and that vanish with it.
// Knows nothing of what the notes say.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cgx/sys/result.h"

namespace cgx::sys {

// On any descriptor but an O_PATH one (EBADF). No attribute of that name is an empty answer. Errors: the errno of
// fgetxattr and so on; EOPNOTSUPP where the file system has no attributes of that class.
[[nodiscard]] Result<std::optional<std::string>> get_xattr(int fd, const std::string& name);
[[nodiscard]] Result<> set_xattr(int fd, const std::string& name, std::string_view value);
// Taking away what is not there is success.
[[nodiscard]] Result<> remove_xattr(int fd, const std::string& name);

// A note of directory `dir` (any descriptor, O_PATH too, as it is opened anew): the attribute trusted.cgx.KEY, which
// only CAP_SYS_ADMIN can read and write, else user.cgx.KEY, which v1 has not on older kernels (EOPNOTSUPP).
// The owner of a group can forge the latter: it is read by him alone, and never with the right to trusted.*.
[[nodiscard]] Result<std::optional<std::string>> get_note(int dir, std::string_view key);
// Writing as root takes an older note of the user's class away, so that one note is left.
[[nodiscard]] Result<> set_note(int dir, std::string_view key, std::string_view value);
[[nodiscard]] Result<> remove_note(int dir, std::string_view key);

}  // namespace cgx::sys
