// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/presence.h"

#include <cerrno>

#include <fcntl.h>

#include <fmt/format.h>

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
  if (opened.error().code == EXDEV) return std::unexpected(hidden_by_mount(hierarchy, group));
  return fail_errno(opened.error().code, hierarchy.path(group));
}

Error hidden_by_mount(const Hierarchy& hierarchy, std::string_view group) {
  std::string_view over = group;
  const auto is_over = [&](std::string_view name) {
    const auto root = hierarchy.root();
    const auto dir = root ? sys::open_beneath(*root, name, O_PATH | O_DIRECTORY) : Result<sys::Fd>();
    return !dir && dir.error().code == EXDEV;
  };
  for (std::string_view above = parent_of(over); is_over(above); above = parent_of(above)) over = above;
  const std::string path = hierarchy.path(over);
  return {.code = EXDEV,
          .what = fmt::format("another file system is mounted over {}", path),
          .group = std::string(shown(group)),
          .hint = fmt::format("umount {} shows the group again", path)};
}

// ENODEV: the group was removed while its file was open.
bool says_absent(const Error& error) { return error.code == ENOENT || error.code == ENODEV || error.code == ENODATA; }

bool says_no_value(const Error& error) { return says_absent(error) || error.code == EOPNOTSUPP; }

}  // namespace cgx
