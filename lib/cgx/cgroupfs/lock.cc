// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/lock.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"

namespace cgx {

namespace {

constexpr std::chrono::seconds patience{30};

// ` (process 4711)`, from /proc/locks: `1: FLOCK  ADVISORY  WRITE 4711 00:1b:1 0 EOF`.
std::string holder_of(int fd) {
  struct stat st{};
  const auto locks = sys::read_path("/proc/locks");
  if (fstat(fd, &st) != 0 || !locks) return {};
  const std::string inode = fmt::format(":{}", st.st_ino);
  for (const std::string_view line : sys::lines(*locks)) {
    const auto fields = sys::words(line);
    if (fields.size() > 5 && fields[1] == "FLOCK" && fields[5].ends_with(inode))
      return fmt::format(" (process {})", fields[4]);
  }
  return {};
}

}  // namespace

Result<> TreeLock::take(const Hierarchies& hierarchies, How how) {
  if (fd_.valid() && (how_ == how || how_ == How::alone)) return {};
  const Hierarchy* h = hierarchies.of(Controller::core);
  if (h == nullptr) return {};  // nothing is mounted that could be changed
  // One lock for all, also where the names of this one's groups are counted from another group on.
  if (!fd_.valid())
    fd_ = h->mount().top.empty() ? CGX_TRY(sys::open_beneath(CGX_TRY(h->root()), "", O_RDONLY | O_DIRECTORY))
                                 : CGX_TRY(sys::open_path(h->mount_point(), O_RDONLY | O_DIRECTORY));
  const int want = (how == How::alone ? LOCK_EX : LOCK_SH) | LOCK_NB;
  // flock(2) has no time limit, and one stopped holder must not hang every other cgx on the host: tried again, with
  // growing pauses, since nothing tells when it is free.
  const auto until = std::chrono::steady_clock::now() + patience;
  std::chrono::microseconds pause{100};
  while (flock(fd_.get(), want) != 0) {
    if (errno == EINTR) continue;
    const int code = errno;
    if (code == EWOULDBLOCK && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(pause);
      pause = std::min<std::chrono::microseconds>(pause * 2, std::chrono::milliseconds(3));
      continue;
    }
    const std::string holder = code == EWOULDBLOCK ? holder_of(fd_.get()) : std::string();
    fd_.reset(-1);
    if (code != EWOULDBLOCK) return fail_errno(code, "lock " + h->dir());
    return fail(ETIMEDOUT, fmt::format("another cgx{} has been changing groups for {} s", holder, patience.count()));
  }
  how_ = how;
  return {};
}

void TreeLock::release() { fd_.reset(-1); }

}  // namespace cgx
