// SPDX-License-Identifier: Apache-2.0
// Owning file descriptors and the only open, read, write, mkdir and rmdir calls on cgroup files. Every open
// stays beneath the directory given and follows no link and no mount. Each change of the system passes
// through mutation() first, so that a test can make the n-th one fail. Knows no cgroup names.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "cgx/sys/result.h"

namespace cgx::sys {

// Owns one descriptor; -1 is none. Move-only. The destructor closes, ignores errors and keeps errno.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(-1); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd);

 private:
  int fd_ = -1;
};

// Opens `path` relative to `dir` with O_CLOEXEC, beneath it: no `..` out of it, no symbolic or magic link, no
// other mount (openat2; a component walk with O_NOFOLLOW where the kernel has no openat2). An empty path or
// "." is the directory itself. A path longer than PATH_MAX is opened in pieces. Never pass O_CREAT or O_TRUNC for
// cgroup files. Error code: the errno of openat2.
[[nodiscard]] Result<Fd> open_beneath(int dir, std::string_view path, int flags);

// The same for a name of one part that ends with NUL, without allocation: a descriptor, or minus an errno.
[[nodiscard]] int open_part(int dir, const char* name, int flags) noexcept;

// Opens any path (not beneath anything), O_CLOEXEC added: for mount roots, /proc, and files a user names.
[[nodiscard]] Result<Fd> open_path(const std::string& path, int flags);

// Closes them all, those with numbers in a row by one system call; `fds` is empty then.
void close_all(std::vector<Fd>& fds);

// For a child that goes on without an exec: it has a copy of every descriptor of its parent, and what it does not close
// nobody sees the end of. Closes all but these; they may be in any order, and -1 is none.
void close_all_but(std::vector<int> kept);

// Reads from the current offset to the end. At most `limit` bytes, more is EFBIG. Retries EINTR. With End::short_read a
// read that fills less than half a page is the last one: true of regular files and of cgroup files, whose records are
// short, and half the cost of a small one; not of pipes, nor of mountinfo, where a record may be as long as a page.
enum class End : std::uint8_t { zero_read, short_read };
inline constexpr std::size_t most_bytes = 16U << 20U;
[[nodiscard]] Result<std::string> read_all(int fd, std::size_t limit = most_bytes, End end = End::zero_read);

// The file `name` in or below directory `dir`, whole. Errors: the errno of open or read, no text added.
[[nodiscard]] Result<std::string> read_file(int dir, std::string_view name);
// A file by absolute path (in /proc, /sys, or a user's).
[[nodiscard]] Result<std::string> read_path(const std::string& path);

// A small file from its start, whatever the offset is, into the caller's buffer: allocates nothing where it succeeds.
// EFBIG: there is more than fits. Other errors: the errno of read (ENODEV: the group of the file is gone).
[[nodiscard]] Result<std::string_view> read_start(int fd, std::span<char> buffer);

// One write(2) of `value` to `name` below `dir`; a short write is EIO. Cgroup files take one value a write.
[[nodiscard]] Result<> write_file(int dir, std::string_view name, std::string_view value);
// The same on a descriptor that is open for writing.
[[nodiscard]] Result<> write_fd(int fd, std::string_view value);

// One directory below `dir`; `name` may have several parts of which the parents exist.
[[nodiscard]] Result<> make_dir(int dir, std::string_view name, unsigned mode = 0755);
[[nodiscard]] Result<> remove_dir(int dir, std::string_view name);
// chown of an entry below `dir` (empty: the directory itself), no links followed. -1 leaves an id as it is.
[[nodiscard]] Result<> change_owner(int dir, std::string_view name, uid_t uid, gid_t gid);

// Names of the entries of directory `dir` (relative `path` beneath), without "." and "..", unsorted.
enum class Entries : std::uint8_t { directories, files };
[[nodiscard]] Result<std::vector<std::string>> list_dir(int dir, std::string_view path, Entries which);

// Whether `name` exists below `dir`, no permission needed on the file itself.
[[nodiscard]] bool exists(int dir, std::string_view name);

// Called before each change of the system (write, mkdir, rmdir, chown, xattr, attach). Answers 0 to go on, or an
// errno to fail with. Only tests install one: `fault` outlives every later call, nullptr takes it away. Per thread.
using FaultFn = std::function<int(std::string_view operation, std::string_view name)>;
void inject_faults(const FaultFn* fault);
// Modules that change the system by other system calls than the ones here ask first.
[[nodiscard]] Result<> mutation(std::string_view operation, std::string_view name);

}  // namespace cgx::sys
