// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/lock.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgx/sys/file_lock.h"
#include "cgx/sys/own_dir.h"

namespace cgx {
namespace {

constexpr const char* run_dir = "/run/cgx";
constexpr const char* roots_path = "/run/cgx/tree.lock";
constexpr const char* roots_name = "tree.lock";

bool is_roots_alone(int fd) {
  struct stat st{};
  return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == 0 && (st.st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

// It is there but for the first time after a boot: one open. What is root's alone has not been put there by others.
Result<sys::Fd> open_roots() {
  auto fd = sys::open_path(roots_path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!fd && fd.error().code == ENOENT)
    fd = sys::open_lock_file(CGX_TRY(sys::open_own_dir(run_dir, 0755)).get(), roots_name);
  if (fd && !is_roots_alone(fd->get())) return fail(EPERM, "can be opened by others");
  return fd;
}

// A descriptor whose flock(2) is the lock. Everybody can open the root directories of the hierarchies, and so hold up
// everybody who locks them.
Result<sys::Fd> open_lock(const Hierarchy& h) {
  if (geteuid() == 0) {
    auto fd = open_roots();
    const int code = fd ? 0 : fd.error().code;
    // Root of a user namespace, or no /run that can be written: as others do.
    if (fd || code == EMFILE || code == ENFILE || code == ENOMEM) return fd;
  }
  // One lock for all, also where the names of this one's groups are counted from another group on.
  return h.mount().top.empty() ? sys::open_beneath(CGX_TRY(h.root()), "", O_RDONLY | O_DIRECTORY)
                               : sys::open_path(h.mount_point(), O_RDONLY | O_DIRECTORY);
}

}  // namespace

Result<> TreeLock::take(const Hierarchies& hierarchies, How how) {
  if (fd_.valid() && (how_ == how || how_ == How::alone)) return {};
  const Hierarchy* h = hierarchies.of(Controller::core);
  if (h == nullptr) return {};  // nothing is mounted that could be changed
  if (!fd_.valid()) fd_ = CGX_TRY(open_lock(*h));
  if (auto locked = sys::lock_file(fd_.get(), how == How::alone ? LOCK_EX : LOCK_SH, "changing groups"); !locked) {
    fd_.reset(-1);
    if (locked.error().code != ETIMEDOUT) return fail_errno(locked.error().code, "lock " + h->dir());
    return locked;
  }
  how_ = how;
  return {};
}

void TreeLock::release() { fd_.reset(-1); }

}  // namespace cgx
