// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/presence.h"

#include <cerrno>

#include <fcntl.h>

namespace cgx {

Result<bool> is_there(const Cgroup& group) {
  const auto there = group.require();
  if (there) return true;
  if (there.error().code == ENOENT || there.error().code == ENOTDIR) return false;
  return std::unexpected(there.error());
}

Result<bool> is_in(const Hierarchy& hierarchy, std::string_view group) {
  const auto opened = sys::open_beneath(CGX_TRY(hierarchy.root()), group, O_PATH | O_DIRECTORY);
  if (opened) return true;
  if (opened.error().code == ENOENT || opened.error().code == ENOTDIR) return false;
  return fail_errno(opened.error().code, hierarchy.path(group));
}

// ENODEV: the group was removed while its file was open.
bool says_absent(const Error& error) { return error.code == ENOENT || error.code == ENODEV || error.code == ENODATA; }

bool says_no_value(const Error& error) { return says_absent(error) || error.code == EOPNOTSUPP; }

}  // namespace cgx
