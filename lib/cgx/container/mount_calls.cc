// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/mount_calls.h"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

// What the file system has said of a refusal, "e tmpfs: Bad value for 'size'"; the letter is the level.
std::unexpected<Error> refused(int context, int code, std::string_view what) {
  std::array<char, 512> text{};
  std::string said;
  for (ssize_t n = 0; (n = read(context, text.data(), text.size())) > 0;) {
    const std::string_view line = sys::trim(std::string_view(text.data(), static_cast<std::size_t>(n)));
    if (!line.starts_with("e ")) continue;
    if (!said.empty()) said += "; ";
    said += line.substr(2);
  }
  if (said.empty()) return fail_errno(code, what);
  return fail_errno(code, said);
}

Result<> configure(int context, const std::vector<std::string>& data) {
  for (const std::string& option : data) {
    const std::size_t equals = option.find('=');
    const std::string key = option.substr(0, equals);
    const bool flag = equals == std::string::npos;
    if (fsconfig(context,
                 flag ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING,
                 key.c_str(),
                 flag ? nullptr : option.c_str() + equals + 1,
                 0) != 0)
      return refused(context, errno, "option \"" + option + "\"");
  }
  return {};
}

}  // namespace

Result<sys::Fd> clone_tree(int dir, const char* path, Below below, unsigned at_flags) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | at_flags;
  if (*path == '\0') flags |= AT_EMPTY_PATH;
  if (below == Below::all) flags |= AT_RECURSIVE;
  sys::Fd tree(open_tree(dir, path, flags));
  if (!tree.valid()) return fail_errno(errno, "open_tree");
  return tree;
}

Result<> set_attributes(int mount, Below below, const Attributes& attributes) {
  mount_attr attr{};
  attr.attr_set = attributes.set;
  attr.attr_clr = attributes.clear;
  attr.propagation = attributes.propagation;
  if (attributes.user_namespace >= 0) attr.userns_fd = static_cast<std::uint64_t>(attributes.user_namespace);
  if (attr.attr_set == 0 && attr.attr_clr == 0 && attr.propagation == 0) return {};
  const unsigned flags = AT_EMPTY_PATH | (below == Below::all ? AT_RECURSIVE : 0U);
  if (mount_setattr(mount, "", flags, &attr, sizeof attr) != 0) return fail_errno(errno, "mount_setattr");
  return {};
}

Result<> set_propagation(int mount, const std::vector<unsigned long>& types) {
  for (const unsigned long type : types)
    CGX_CHECK(set_attributes(mount,
                             (type & MS_REC) != 0 ? Below::all : Below::none,
                             {.propagation = type & ~static_cast<unsigned long>(MS_REC)}));
  return {};
}

Result<> move_tree(int tree, int target) {
  CGX_CHECK(sys::mutation("mount", "move_mount"));
  if (move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    return fail_errno(errno, "move_mount");
  return {};
}

Result<sys::Fd> make_tree(const NewMount& wanted) {
  const sys::Fd context(fsopen(wanted.type.c_str(), FSOPEN_CLOEXEC));
  if (!context.valid()) {
    if (errno == ENODEV) return fail(ENODEV, "this kernel has no file system \"" + wanted.type + "\"");
    return fail_errno(errno, "fsopen");
  }
  if (!wanted.source.empty() && fsconfig(context.get(), FSCONFIG_SET_STRING, "source", wanted.source.c_str(), 0) != 0)
    return refused(context.get(), errno, "source \"" + wanted.source + "\"");
  CGX_CHECK(configure(context.get(), wanted.data));
  if (fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return refused(context.get(), errno, wanted.type);
  sys::Fd tree(fsmount(context.get(), FSMOUNT_CLOEXEC, static_cast<unsigned>(wanted.attributes)));
  if (!tree.valid()) return refused(context.get(), errno, wanted.type);
  return tree;
}

Result<> reconfigure(int mount, const std::vector<std::string>& data) {
  if (data.empty()) return {};
  const sys::Fd context(fspick(mount, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH));
  if (!context.valid()) return fail_errno(errno, "fspick");
  CGX_CHECK(configure(context.get(), data));
  if (fsconfig(context.get(), FSCONFIG_CMD_RECONFIGURE, nullptr, nullptr, 0) != 0)
    return refused(context.get(), errno, "remount");
  return {};
}

Result<std::uint64_t> mount_id(int fd) {
  struct statx st{};
  if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) != 0) return fail_errno(errno, "statx");
  if ((st.stx_mask & STATX_MNT_ID) == 0)
    return fail(ENOTSUP, "the kernel tells no ids of mounts, which is not supported");
  return st.stx_mnt_id;
}

}  // namespace cgx::container
