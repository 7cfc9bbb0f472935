// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cgx/container/mount_calls.h"
#include "cgx/container/rootfs.h"

namespace cgx::container {
namespace {

Result<> pivot(int root) {
  const sys::Fd old = CGX_TRY(sys::open_path("/", O_PATH | O_DIRECTORY));
  if (fchdir(root) != 0) return fail_errno(errno, "fchdir");
  // Both names are the new root: the old one is mounted upon it then, and no directory for it is needed.
  if (syscall(SYS_pivot_root, ".", ".") != 0) return fail_errno(errno, "pivot_root");
  if (fchdir(old.get()) != 0) return fail_errno(errno, "fchdir");
  // Else the unmounting would reach the host where its mounts are shared.
  if (mount(nullptr, ".", nullptr, MS_SLAVE | MS_REC, nullptr) != 0) return fail_errno(errno, "propagation");
  if (umount2(".", MNT_DETACH) != 0) return fail_errno(errno, "umount of the old root");
  return {};
}

// The old root stays below the new one, where somebody who gets out of the chroot finds it. Its views of the kernel,
// which nothing masks, are taken away, or covered where the user namespace may not unmount them.
Result<> hide_views(const std::vector<std::string>& views) {
  for (auto path = views.rbegin(); path != views.rend(); ++path) {
    if (umount2(path->c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0 || errno == ENOENT || errno == ENOTDIR) continue;
    if (mount("tmpfs", path->c_str(), "tmpfs", MS_RDONLY, "nr_inodes=1") != 0) return fail_errno(errno, *path);
  }
  return {};
}

Result<> move(const RootfsPlan& plan) {
  CGX_CHECK(hide_views(plan.views));
  if (!plan.root_on_top) {
    const sys::Fd top = CGX_TRY(sys::open_path("/", O_PATH | O_DIRECTORY));
    CGX_CHECK(move_tree(plan.root.get(), top.get()));
  }
  if (fchdir(plan.root.get()) != 0 || chroot(".") != 0) return fail_errno(errno, "chroot");
  return {};
}

}  // namespace

Result<> leave_mounts(RootfsPlan& plan) {
  const sys::Fd callers = std::move(plan.callers_mounts);
  plan.own_mounts.reset(-1);
  if (!plan.shares_mounts) return {};
  // Mounts of a tree that is closed stay connected below a root that is in use (UMOUNT_CONNECTED).
  const sys::Fd tree = CGX_TRY(clone_tree(plan.root.get(), "", Below::all));
  if (setns(callers.get(), CLONE_NEWNS) != 0) return fail_errno(errno, "setns of the caller's mounts");
  if (fchdir(tree.get()) != 0 || chroot(".") != 0) return fail_errno(errno, "chroot");
  return {};
}

Result<> enter_rootfs(RootfsPlan& plan) {
  CGX_CHECK(sys::mutation("pivot_root", "/"));
  CGX_CHECK(plan.pivot ? pivot(plan.root.get()) : move(plan));
  if (chdir("/") != 0) return fail_errno(errno, "chdir");
  return {};
}

}  // namespace cgx::container
