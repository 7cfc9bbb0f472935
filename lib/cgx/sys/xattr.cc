// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/xattr.h"

#include <array>
#include <cerrno>
#include <cstddef>

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cgx/sys/fd.h"

namespace cgx::sys {
namespace {

std::string trusted(std::string_view key) { return "trusted.cgx." + std::string(key); }
std::string user(std::string_view key) { return "user.cgx." + std::string(key); }

// The errno with which a class of attributes answers that this process or this file system cannot have it.
bool class_refused(int code) { return code == EPERM || code == EOPNOTSUPP; }

// Whether the kernel lets this thread use trusted.*: CAP_SYS_ADMIN in the first user namespace, whose inode is fixed.
bool uses_trusted() {
  constexpr ino_t first_user_namespace = 0xEFFFFFFD;
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> caps{};
  if (syscall(SYS_capget, &header, caps.data()) != 0) return false;
  if ((caps[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN)) == 0) return false;
  struct stat st{};
  // Without /proc it is taken for the first one: there, less is believed.
  return stat("/proc/self/ns/user", &st) != 0 || st.st_ino == first_user_namespace;
}

// The owner of a directory writes its user.* as he likes. So they are notes for himself only, and none for who has the
// class that nobody else writes: the directory may have had another owner before.
Result<bool> believes_user_notes(int fd) {
  struct stat st{};
  if (fstat(fd, &st) != 0) return fail(errno, errno_text(errno));
  return st.st_uid == geteuid() && !uses_trusted();
}

}  // namespace

Result<std::optional<std::string>> get_xattr(int fd, const std::string& name) {
  std::string value(512, '\0');
  while (true) {
    const ssize_t n = fgetxattr(fd, name.c_str(), value.data(), value.size());
    if (n >= 0) {
      value.resize(static_cast<std::size_t>(n));
      return value;
    }
    if (errno == ENODATA) return std::nullopt;
    if (errno != ERANGE || value.size() >= std::size_t{XATTR_SIZE_MAX}) return fail(errno, errno_text(errno));
    value.resize(XATTR_SIZE_MAX);
  }
}

Result<> set_xattr(int fd, const std::string& name, std::string_view value) {
  CGX_CHECK(mutation("xattr", name));
  if (fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) != 0) return fail(errno, errno_text(errno));
  return {};
}

Result<> remove_xattr(int fd, const std::string& name) {
  CGX_CHECK(mutation("xattr", name));
  if (fremovexattr(fd, name.c_str()) != 0 && errno != ENODATA) return fail(errno, errno_text(errno));
  return {};
}

Result<std::optional<std::string>> get_note(int dir, std::string_view key) {
  const Fd fd = CGX_TRY(open_beneath(dir, ".", O_RDONLY | O_DIRECTORY));
  // Without the capability the kernel says that there is no such attribute, so that the order needs no check of it.
  auto note = get_xattr(fd.get(), trusted(key));
  if (note ? note->has_value() : !class_refused(note.error().code)) return note;
  if (!CGX_TRY(believes_user_notes(fd.get()))) return std::nullopt;
  note = get_xattr(fd.get(), user(key));
  if (!note && class_refused(note.error().code)) return std::nullopt;
  return note;
}

Result<> set_note(int dir, std::string_view key, std::string_view value) {
  const Fd fd = CGX_TRY(open_beneath(dir, ".", O_RDONLY | O_DIRECTORY));
  const auto kept = set_xattr(fd.get(), trusted(key), value);
  if (!kept) {
    if (!class_refused(kept.error().code)) return kept;
    return set_xattr(fd.get(), user(key), value);
  }
  const auto older = get_xattr(fd.get(), user(key));
  if (older && older->has_value()) return remove_xattr(fd.get(), user(key));
  return {};
}

Result<> remove_note(int dir, std::string_view key) {
  const Fd fd = CGX_TRY(open_beneath(dir, ".", O_RDONLY | O_DIRECTORY));
  for (const std::string& name : {trusted(key), user(key)}) {
    const auto removed = remove_xattr(fd.get(), name);
    if (!removed && !class_refused(removed.error().code)) return removed;
  }
  return {};
}

}  // namespace cgx::sys
