// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/xattr.h"

#include <cerrno>
#include <cstddef>

#include <fcntl.h>
#include <linux/limits.h>
#include <sys/xattr.h>

#include "cgx/sys/fd.h"

namespace cgx::sys {
namespace {

std::string trusted(std::string_view key) { return "trusted.cgx." + std::string(key); }
std::string user(std::string_view key) { return "user.cgx." + std::string(key); }

// The errno with which a class of attributes answers that this process or this file system cannot have it.
bool class_refused(int code) { return code == EPERM || code == EOPNOTSUPP; }

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
