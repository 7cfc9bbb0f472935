// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/lock.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>

#include "cgx/sys/file_lock.h"

namespace cgx {

Result<> TreeLock::take(const Hierarchies& hierarchies, How how) {
  if (fd_.valid() && (how_ == how || how_ == How::alone)) return {};
  const Hierarchy* h = hierarchies.of(Controller::core);
  if (h == nullptr) return {};  // nothing is mounted that could be changed
  // One lock for all, also where the names of this one's groups are counted from another group on.
  if (!fd_.valid())
    fd_ = h->mount().top.empty() ? CGX_TRY(sys::open_beneath(CGX_TRY(h->root()), "", O_RDONLY | O_DIRECTORY))
                                 : CGX_TRY(sys::open_path(h->mount_point(), O_RDONLY | O_DIRECTORY));
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
