// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/own_dir.h"

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"

namespace cgx::sys {
namespace {

// The id that stands for all that are not mapped in a user namespace: root of the host among them.
constexpr uid_t overflow_uid = 65534;

bool in_user_namespace() {
  static const bool inside = [] {
    const auto map = read_path("/proc/self/uid_map");
    const auto fields = map ? words(*map) : std::vector<std::string_view>{};
    // Where it cannot be read, less is believed.
    return map && (fields.size() != 3 || fields[1] != "0" || fields[2] != "4294967295");
  }();
  return inside;
}

bool is_trusted(uid_t uid) { return uid == 0 || uid == geteuid() || (uid == overflow_uid && in_user_namespace()); }

// Whether nobody but root and the caller is in the group: root's own, or the one that a user has alone, which bears the
// user's number (such users have a umask of 002).
bool is_private_group(const struct stat& st) {
  if (st.st_gid == 0 || (st.st_gid == overflow_uid && in_user_namespace())) return true;
  return st.st_uid == geteuid() && st.st_gid == geteuid() && st.st_gid == getegid();
}

std::unexpected<Error> not_believed(const std::string& path, std::string what) {
  Error e{.code = EPERM, .what = fmt::format("{} {}", path, what)};
  e.hint = "its contents are not believed, because others may have written them: use a directory of your own";
  return std::unexpected(std::move(e));
}

// Where an access control list names users or groups that may write, the mode's bits of the group are the list's mask:
// they say nothing of the group, and without w in them nobody whom the list names can write. The descriptor may be an
// O_PATH one, of which fgetxattr(2) reads nothing.
Result<> check_list(const std::string& path, int fd) {
  const std::string link = fmt::format("/proc/self/fd/{}", fd);
  if (getxattr(link.c_str(), "system.posix_acl_access", nullptr, 0) >= 0)
    return not_believed(path, "can be written by those whom its access control list names");
  if (errno == ENODATA || errno == EOPNOTSUPP) return {};
  return not_believed(path,
                      fmt::format("may have an access control list, which cannot be read: {}", errno_text(errno)));
}

constexpr int not_open = -1;  // what is not opened yet is looked at again when it is

// That nobody but root and the caller can write to it.
Result<> check_writers(const std::string& path, const struct stat& st, int fd) {
  if (!is_trusted(st.st_uid)) return not_believed(path, fmt::format("belongs to uid {}", st.st_uid));
  if ((st.st_mode & S_IWOTH) != 0)
    return not_believed(path, fmt::format("can be written by everybody (mode {:o})", st.st_mode & 07777U));
  if ((st.st_mode & S_IWGRP) != 0 && !is_private_group(st))
    return not_believed(path, fmt::format("can be written by gid {} (mode {:o})", st.st_gid, st.st_mode & 07777U));
  return (st.st_mode & S_IWGRP) != 0 && fd != not_open ? check_list(path, fd) : Result<>();
}

// In a sticky directory others cannot exchange what is not theirs.
Result<> check_above(const std::string& path, const struct stat& st, int fd) {
  if (is_trusted(st.st_uid) && (st.st_mode & S_ISVTX) != 0) return {};
  return check_writers(path, st, fd);
}

// Whose the last part may be, and what: a directory of the caller's, or also root's; or a file or directory of theirs
// that a group which is theirs alone may write too.
enum class Owner : std::uint8_t { caller, trusted, writers };

Result<> check_last(const std::string& path, const struct stat& st, Owner owner, int fd) {
  if (owner == Owner::writers) return check_writers(path, st, fd);
  // Root's are no trap. Only, they are not this user's, who must not be told to take them away.
  if (st.st_uid == 0 && geteuid() != 0 && owner != Owner::trusted) {
    Error e{.code = EPERM, .what = fmt::format("{} belongs to root, and this is uid {}", path, geteuid())};
    e.hint = "use a directory of your own";
    return std::unexpected(std::move(e));
  }
  if (st.st_uid != geteuid() && !(owner == Owner::trusted && is_trusted(st.st_uid)))
    return not_believed(path, fmt::format("belongs to uid {}, not to {}", st.st_uid, geteuid()));
  if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return not_believed(path, fmt::format("can be written by others (mode {:o})", st.st_mode & 07777U));
  return {};
}

// The link belongs to root or the caller. All of where it leads to is looked at too.
Result<std::string> target_of(const std::string& link, const std::vector<std::string>& parts, std::size_t next) {
  char* const real = realpath(link.c_str(), nullptr);
  if (real == nullptr) return fail_errno(errno, link);
  std::string path(real);
  free(real);  // NOLINT: of realpath(3)
  for (; next < parts.size(); ++next) path += "/" + parts[next];
  return path;
}

Result<Fd> open_checked(const std::string& path, std::optional<unsigned> make, Owner owner, int links = 0) {
  std::string here = path.starts_with('/') ? "/" : ".";
  Fd at = CGX_TRY(open_path(here, O_PATH | O_DIRECTORY));
  struct stat st{};
  if (fstat(at.get(), &st) != 0) return fail_errno(errno, here);
  std::vector<std::string> parts;
  for (const std::string_view part : split(path, '/'))
    if (!part.empty() && part != ".") parts.emplace_back(part);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const char* part = parts[i].c_str();
    CGX_CHECK(check_above(here, st, at.get()));
    here += here.ends_with('/') ? parts[i] : "/" + parts[i];
    int found = fstatat(at.get(), part, &st, AT_SYMLINK_NOFOLLOW);
    if (found != 0 && errno == ENOENT && make) {
      CGX_CHECK(mutation("mkdir", here));
      // The umask has no say.
      if (mkdirat(at.get(), part, *make) == 0)
        (void)fchmodat(at.get(), part, *make, 0);
      else if (errno != EEXIST)
        return fail_errno(errno, "mkdir " + here);
      found = fstatat(at.get(), part, &st, AT_SYMLINK_NOFOLLOW);
    }
    if (found != 0) return fail_errno(errno, here);
    const bool last = i + 1 == parts.size();
    if (S_ISLNK(st.st_mode)) {
      if (!is_trusted(st.st_uid)) return not_believed(here, fmt::format("is a symbolic link of uid {}", st.st_uid));
      if (links == 40) return fail_errno(ELOOP, path);
      return open_checked(CGX_TRY(target_of(here, parts, i + 1)), make, owner, links + 1);
    }
    const bool file = last && owner == Owner::writers && S_ISREG(st.st_mode);
    if (!S_ISDIR(st.st_mode) && !file) return not_believed(here, "is no directory");
    if (last) CGX_CHECK(check_last(here, st, owner, not_open));  // an opening may be forbidden by others
    // The right to look at its entries is not needed on the way.
    const int kind = file ? O_NONBLOCK | O_NOCTTY : O_DIRECTORY;
    at.reset(openat(at.get(), part, (last ? O_RDONLY : O_PATH) | kind | O_NOFOLLOW | O_CLOEXEC));
    if (!at.valid() || fstat(at.get(), &st) != 0) return fail_errno(errno, here);
  }
  CGX_CHECK(check_last(here, st, owner, at.get()));
  return at;
}

}  // namespace

Result<Fd> open_own_dir(const std::string& path, unsigned mode) { return open_checked(path, mode, Owner::caller); }
Result<Fd> find_own_dir(const std::string& path) { return open_checked(path, std::nullopt, Owner::caller); }
Result<Fd> find_trusted_dir(const std::string& path) { return open_checked(path, std::nullopt, Owner::trusted); }
Result<Fd> open_trusted(const std::string& path) { return open_checked(path, std::nullopt, Owner::writers); }

Result<> replace_file(int dir, const std::string& name, std::string_view text, Replaced how) {
  Fd file;
  std::string fresh(how.aside);
  const int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | (how.aside.empty() ? O_EXCL : O_TRUNC);
  for (unsigned round = 0; !file.valid(); ++round) {
    timespec now{};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    if (how.aside.empty()) fresh = fmt::format("{}.{}-{}{:09}.new", name, getpid(), now.tv_sec, now.tv_nsec);
    file.reset(openat(dir, fresh.c_str(), flags, how.mode));
    if (!file.valid() && (errno != EEXIST || round == 100)) return fail_errno(errno, fresh);
  }
  const auto give_up = [&](const std::string& what) {
    const int code = errno;
    (void)unlinkat(dir, fresh.c_str(), 0);  // the first error is the one to report
    return fail_errno(code, what);
  };
  while (!text.empty()) {
    const ssize_t n = write(file.get(), text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return give_up(fresh);
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  if (how.synced && fsync(file.get()) != 0 && errno != EINVAL && errno != EROFS) return give_up(fresh);
  if (renameat(dir, fresh.c_str(), dir, name.c_str()) != 0) return give_up(name);
  return {};
}

}  // namespace cgx::sys
