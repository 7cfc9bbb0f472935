// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/fd.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace cgx::sys {
namespace {

thread_local const FaultFn* fault_hook = nullptr;

// The walk for kernels (or seccomp filters) without openat2: one component at a time, no link followed.
Result<Fd> walk_beneath(int dir, std::string_view path, int flags) {
  struct stat root{};
  if (fstat(dir, &root) != 0) return fail_errno(errno, "fstat");
  Fd at;
  int here = dir;
  while (true) {
    const std::size_t slash = path.find('/');
    const std::string part(path.substr(0, slash));
    const bool last = slash == std::string_view::npos;
    if (part == "..") return fail(EXDEV, errno_text(EXDEV));
    const int how = last ? flags : O_PATH | O_DIRECTORY;
    Fd next(openat(here, part.empty() ? "." : part.c_str(), how | O_NOFOLLOW | O_CLOEXEC));
    struct stat st{};
    if (!next.valid()) {
      // A link in the way is ELOOP, as openat2 says, where O_DIRECTORY makes it ENOTDIR.
      const int code = errno;
      const bool link =
          code == ENOTDIR && fstatat(here, part.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
      return fail(link ? ELOOP : code, errno_text(link ? ELOOP : code));
    }
    if (fstat(next.get(), &st) != 0) return fail_errno(errno, "fstat");
    if (S_ISLNK(st.st_mode)) return fail(ELOOP, errno_text(ELOOP));  // O_PATH opens the link itself
    if (st.st_dev != root.st_dev) return fail(EXDEV, errno_text(EXDEV));
    if (last) return next;
    at = std::move(next);
    here = at.get();
    path.remove_prefix(slash + 1);
  }
}

// Where an entry is made or removed: its directory, resolved beneath `dir`, and its last component. mkdirat and
// unlinkat of one component follow no link.
struct Place {
  Fd parent;
  int at = -1;
  std::string last;
};

Result<Place> place_of(int dir, std::string_view name) {
  if (name.find('\0') != std::string_view::npos) return fail(EINVAL, "name has a NUL byte");
  const std::size_t slash = name.rfind('/');
  Place place{
      .parent = {}, .at = dir, .last = std::string(slash == std::string_view::npos ? name : name.substr(slash + 1))};
  if (place.last.empty() || place.last == "." || place.last == "..") return fail(EINVAL, "is not a name");
  if (slash != std::string_view::npos) {
    place.parent = CGX_TRY(open_beneath(dir, name.substr(0, slash), O_PATH | O_DIRECTORY));
    place.at = place.parent.get();
  }
  return place;
}

}  // namespace

void Fd::reset(int fd) {
  if (fd_ >= 0) {
    const int saved = errno;
    (void)close(fd_);  // EINTR from close still closes on Linux; nothing to do about other errors
    errno = saved;
  }
  fd_ = fd;
}

void inject_faults(const FaultFn* fault) { fault_hook = fault; }

Result<> mutation(std::string_view operation, std::string_view name) {
  if (fault_hook != nullptr)
    if (const int code = (*fault_hook)(operation, name); code != 0) return fail_errno(code, "injected");
  return {};
}

Result<Fd> open_beneath(int dir, std::string_view path, int flags) {
  if (path.find('\0') != std::string_view::npos) return fail(EINVAL, "name has a NUL byte");
  while (path.starts_with('/')) path.remove_prefix(1);
  if (path.empty()) path = ".";
  // The kernel takes no path of PATH_MAX bytes, but directories may lie as deep as anybody likes: then in pieces, each
  // from the directory before, so that nobody hides what is his below long names.
  Fd piece;
  while (path.size() >= PATH_MAX) {
    const std::size_t end = path.rfind('/', PATH_MAX - 1);
    if (end == std::string_view::npos || end == 0) return fail(ENAMETOOLONG, errno_text(ENAMETOOLONG));
    piece = CGX_TRY(open_beneath(dir, path.substr(0, end), O_PATH | O_DIRECTORY));
    dir = piece.get();
    path.remove_prefix(end + 1);
    while (path.starts_with('/')) path.remove_prefix(1);
    if (path.empty()) path = ".";
  }
  // The kernel wants a NUL at the end. On the stack: some callers open thousands of files and allocate nothing.
  std::array<char, PATH_MAX> name;
  *std::ranges::copy(path, name.begin()).out = '\0';
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  long fd = -1;
  do {
    fd = syscall(SYS_openat2, dir, name.data(), &how, sizeof how);
  } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
  if (fd >= 0) return Fd(static_cast<int>(fd));
  if (errno == ENOSYS) return walk_beneath(dir, path, flags);
  return fail(errno, errno_text(errno));
}

int open_part(int dir, const char* name, int flags) noexcept {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  long fd = -1;
  do {
    fd = syscall(SYS_openat2, dir, name, &how, sizeof how);
  } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
  // One part has nothing to be led astray by but itself.
  if (fd < 0 && errno == ENOSYS) fd = openat(dir, name, flags | O_CLOEXEC | O_NOFOLLOW);
  return fd < 0 ? -errno : static_cast<int>(fd);
}

Result<Fd> open_path(const std::string& path, int flags) {
  int fd = -1;
  do {
    fd = open(path.c_str(), flags | O_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return fail_errno(errno, path);
  return Fd(fd);
}

void close_all(std::vector<Fd>& fds) {
  for (std::size_t i = 0; i < fds.size();) {
    const int first = fds[i].get();
    int last = first;
    for (++i; i < fds.size() && fds[i].get() == last + 1; ++i) ++last;
    if (first < 0) continue;
    if (syscall(SYS_close_range, static_cast<unsigned>(first), static_cast<unsigned>(last), 0) != 0)
      for (int fd = first; fd <= last; ++fd) (void)close(fd);  // before Linux 5.9
  }
  for (Fd& fd : fds) (void)fd.release();
  fds.clear();
}

void close_all_but(std::vector<int> kept) {
  std::ranges::sort(kept);
  int first = 0;
  const auto close_from = [&](unsigned last) {
    if (static_cast<unsigned>(first) > last) return;
    if (syscall(SYS_close_range, static_cast<unsigned>(first), last, 0) == 0 || errno != ENOSYS) return;
    const auto most = std::min<unsigned long>(last, static_cast<unsigned long>(sysconf(_SC_OPEN_MAX)));
    for (int fd = first; static_cast<unsigned long>(fd) <= most; ++fd) (void)close(fd);  // before Linux 5.9
  };
  for (const int fd : kept) {
    if (fd < 0) continue;
    if (fd > 0) close_from(static_cast<unsigned>(fd) - 1);
    first = fd + 1;
  }
  close_from(~0U);
}

Result<std::string> read_all(int fd, std::size_t limit, End end) {
  std::string text;
  std::array<char, 4096> buffer;  // kernfs answers a page at a time
  while (true) {
    const ssize_t n = read(fd, buffer.data(), buffer.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return fail(errno, errno_text(errno));
    }
    if (n == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(n));
    if (end == End::short_read && static_cast<std::size_t>(n) < buffer.size() / 2) return text;
    if (text.size() > limit) return fail(EFBIG, "is larger than " + std::to_string(limit) + " bytes");
  }
}

Result<std::string> read_file(int dir, std::string_view name) {
  const Fd fd = CGX_TRY(open_beneath(dir, name, O_RDONLY | O_NOCTTY));
  return read_all(fd.get(), most_bytes, End::short_read);
}

Result<std::string> read_path(const std::string& path) {
  const Fd fd = CGX_TRY(open_path(path, O_RDONLY | O_NOCTTY));
  return read_all(fd.get());
}

Result<std::string_view> read_start(int fd, std::span<char> buffer) {
  std::size_t have = 0;
  while (have < buffer.size()) {
    const ssize_t n = pread(fd, buffer.data() + have, buffer.size() - have, static_cast<off_t>(have));
    if (n < 0) {
      if (errno == EINTR) continue;
      return fail(errno, errno_text(errno));
    }
    if (n == 0) return std::string_view(buffer.data(), have);
    have += static_cast<std::size_t>(n);
  }
  return fail(EFBIG, "is larger than " + std::to_string(buffer.size()) + " bytes");
}

Result<> write_fd(int fd, std::string_view value) {
  ssize_t n = -1;
  do {
    n = write(fd, value.data(), value.size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) return fail(errno, errno_text(errno));
  if (static_cast<std::size_t>(n) != value.size()) return fail(EIO, "the kernel took only a part of the value");
  return {};
}

Result<> write_file(int dir, std::string_view name, std::string_view value) {
  CGX_CHECK(mutation("write", name));
  const Fd fd = CGX_TRY(open_beneath(dir, name, O_WRONLY | O_NOCTTY));
  // The kernel drops a write of no bytes without a word; an empty line is how a cpuset is cleared.
  return write_fd(fd.get(), value.empty() ? "\n" : value);
}

Result<> make_dir(int dir, std::string_view name, unsigned mode) {
  CGX_CHECK(mutation("mkdir", name));
  const Place place = CGX_TRY(place_of(dir, name));
  if (mkdirat(place.at, place.last.c_str(), mode) != 0) return fail(errno, errno_text(errno));
  return {};
}

Result<> remove_dir(int dir, std::string_view name) {
  CGX_CHECK(mutation("rmdir", name));
  const Place place = CGX_TRY(place_of(dir, name));
  if (unlinkat(place.at, place.last.c_str(), AT_REMOVEDIR) != 0) return fail(errno, errno_text(errno));
  return {};
}

Result<> change_owner(int dir, std::string_view name, uid_t uid, gid_t gid) {
  CGX_CHECK(mutation("chown", name));
  const Fd fd = CGX_TRY(open_beneath(dir, name, O_PATH));
  if (fchownat(fd.get(), "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) return fail(errno, errno_text(errno));
  return {};
}

Result<std::vector<std::string>> list_dir(int dir, std::string_view path, Entries which) {
  Fd fd = CGX_TRY(open_beneath(dir, path, O_RDONLY | O_DIRECTORY));
  DIR* stream = fdopendir(fd.get());
  if (stream == nullptr) return fail(errno, errno_text(errno));
  (void)fd.release();  // the stream owns it now
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if ((entry->d_type == DT_DIR) == (which == Entries::directories)) names.emplace_back(name);
  }
  const int code = errno;
  (void)closedir(stream);
  if (code != 0) return fail(code, errno_text(code));
  return names;
}

bool exists(int dir, std::string_view name) {
  if (name.empty() || name[0] == '.' || name.find_first_of(std::string_view("/\0", 2)) != std::string_view::npos ||
      name.size() > NAME_MAX)
    return open_beneath(dir, name, O_PATH).has_value();
  // One part has nothing to be led astray by but itself.
  std::array<char, NAME_MAX + 1> part{};
  std::ranges::copy(name, part.begin());
  struct stat st{};
  return fstatat(dir, part.data(), &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0 && !S_ISLNK(st.st_mode);
}

}  // namespace cgx::sys
