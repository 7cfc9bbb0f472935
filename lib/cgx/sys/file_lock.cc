// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/file_lock.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"

namespace cgx::sys {
namespace {

constexpr std::chrono::seconds patience{30};

// ` (process 4711)`, from /proc/locks: `1: FLOCK  ADVISORY  WRITE 4711 00:1b:1 0 EOF`.
std::string holder_of(int fd) {
  struct stat st{};
  const auto locks = read_path("/proc/locks");
  if (fstat(fd, &st) != 0 || !locks) return {};
  const std::string inode = fmt::format(":{}", st.st_ino);
  for (const std::string_view line : lines(*locks)) {
    const auto fields = words(line);
    if (fields.size() > 5 && fields[1] == "FLOCK" && fields[5].ends_with(inode))
      return fmt::format(" (process {})", fields[4]);
  }
  return {};
}

}  // namespace

Result<Fd> open_lock_file(int dir, const std::string& name) {
  Fd fd(openat(dir, name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  struct stat st{};
  if (!fd.valid() || fstat(fd.get(), &st) != 0 || ((st.st_mode & 07777U) != 0600 && fchmod(fd.get(), 0600) != 0))
    return fail_errno(errno, name);
  return fd;
}

Result<> lock_file(int fd, int operation, std::string_view doing) {
  // Tried again, with growing pauses, since nothing tells when it is free.
  const auto until = std::chrono::steady_clock::now() + patience;
  std::chrono::microseconds pause{100};
  while (flock(fd, operation | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return fail(errno, errno_text(errno));
    if (std::chrono::steady_clock::now() >= until)
      return fail(ETIMEDOUT, fmt::format("another cgx{} has been {} for {} s", holder_of(fd), doing, patience.count()));
    std::this_thread::sleep_for(pause);
    pause = std::min<std::chrono::microseconds>(pause * 2, std::chrono::milliseconds(3));
  }
  return {};
}

}  // namespace cgx::sys
