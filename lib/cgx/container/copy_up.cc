// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cerrno>
#include <climits>
#include <string>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgx/container/mounts.h"

namespace cgx::container {
namespace {

constexpr int deepest = 200;  // directories in one another; each is two descriptors

Result<> copy_content(int from, int to) {
  std::array<char, 65536> buffer;
  while (true) {
    const ssize_t n = read(from, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "read");
    if (n == 0) return {};
    for (ssize_t done = 0; done < n;) {
      const ssize_t wrote = write(to, buffer.data() + done, static_cast<std::size_t>(n - done));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) return fail_errno(errno, "write");
      done += wrote;
    }
  }
}

// Owner before mode: chown takes set-user-id bits away.
Result<> copy_status(int fd, const struct stat& st) {
  if (fchown(fd, st.st_uid, st.st_gid) != 0) return fail_errno(errno, "chown");
  if (fchmod(fd, st.st_mode & 07777) != 0) return fail_errno(errno, "chmod");
  const std::array<timespec, 2> times = {st.st_atim, st.st_mtim};
  if (futimens(fd, times.data()) != 0) return fail_errno(errno, "utimens");
  return {};
}

Result<> copy_tree(int from, int to, int depth);

Result<> copy_entry(int from, int to, const char* name, int depth) {
  struct stat st{};
  if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno(errno, "stat");
  if (S_ISLNK(st.st_mode)) {
    std::array<char, PATH_MAX> text{};
    const ssize_t n = readlinkat(from, name, text.data(), text.size() - 1);
    if (n < 0 || symlinkat(text.data(), to, name) != 0) return fail_errno(errno, "symlink");
  } else if (S_ISDIR(st.st_mode)) {
    if (mkdirat(to, name, 0700) != 0) return fail_errno(errno, "mkdir");
    const sys::Fd source(openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    const sys::Fd copy(openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!source.valid() || !copy.valid()) return fail_errno(errno, "open");
    CGX_CHECK(copy_tree(source.get(), copy.get(), depth + 1));
    return copy_status(copy.get(), st);
  } else if (S_ISREG(st.st_mode)) {
    const sys::Fd source(openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    const sys::Fd copy(openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!source.valid() || !copy.valid()) return fail_errno(errno, "open");
    CGX_CHECK(copy_content(source.get(), copy.get()));
    return copy_status(copy.get(), st);
  } else if (mknodat(to, name, st.st_mode, st.st_rdev) != 0) {
    return fail_errno(errno, "mknod");
  }
  if (fchownat(to, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno(errno, "chown");
  return {};
}

Result<> copy_tree(int from, int to, int depth) {
  if (depth > deepest) return fail(ELOOP, "has more than " + std::to_string(deepest) + " directories in one another");
  DIR* stream = fdopendir(openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (stream == nullptr) return fail_errno(errno, "open");
  Result<> done;
  errno = 0;
  while (const dirent* entry = readdir(stream)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") done = located(copy_entry(from, to, entry->d_name, depth), "", name);
    if (!done) break;
    errno = 0;
  }
  if (done && errno != 0) done = fail_errno(errno, "read");
  (void)closedir(stream);
  return done;
}

}  // namespace

Result<> copy_directory(int from, int to) {
  struct stat st{};
  if (fstat(from, &st) != 0) return fail_errno(errno, "stat");
  const sys::Fd copy(openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!copy.valid()) return fail_errno(errno, "open");
  return located(copy_tree(from, copy.get(), 0), "", "tmpcopyup");
}

}  // namespace cgx::container
