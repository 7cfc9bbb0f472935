// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgx/container/mount_calls.h"
#include "cgx/container/mounts.h"
#include "cgx/container/rootfs.h"

namespace cgx::container {
namespace {

// What covers directories and files: one empty tmpfs, and one null device, as often as they are needed. The first use
// attaches it, each further one attaches a copy of that.
class Cover {
 public:
  explicit Cover(sys::Fd tree) : tree_(std::move(tree)) {}
  [[nodiscard]] bool valid() const { return tree_.valid(); }
  Result<> put(int root, int target, const std::string& path) {
    if (!used_) {
      used_ = true;
      return attach(root, tree_.get(), target, path);
    }
    const sys::Fd copy = CGX_TRY(clone_tree(tree_.get(), "", Below::none));
    return attach(root, copy.get(), target, path);
  }

 private:
  sys::Fd tree_;
  bool used_ = false;
};

Result<sys::Fd> empty_directory() {
  return make_tree({.type = "tmpfs",
                    .source = "tmpfs",
                    .data = {"nr_blocks=1", "nr_inodes=1", "mode=755"},
                    .attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC});
}

// Not there, or not to be reached: then there is nothing to be hidden.
bool is_missing(const Error& error) { return error.code == ENOENT || error.code == ENOTDIR; }

Result<> mask_paths(RootfsPlan& plan) {
  std::vector<std::string> paths = plan.spec->linux_.masked_paths;
  for (std::string& path : paths) path = clean_path(path);
  std::ranges::sort(paths);
  const auto twice = std::ranges::unique(paths);
  paths.erase(twice.begin(), twice.end());

  Cover directories{sys::Fd()};
  Cover files{std::move(plan.null_tree)};
  for (const std::string& path : paths) {
    const auto target = open_in_root(plan.root.get(), path, O_PATH);
    if (!target && is_missing(target.error())) continue;
    if (!target) return located(Result<>(std::unexpected(target.error())), "", "masked path", path);
    if (CGX_TRY(is_root(plan, target->get())))
      return located(Result<>(fail(EINVAL, "is the root, which cannot be masked")), "", "masked path", path);
    struct stat st{};
    if (fstat(target->get(), &st) != 0) return fail_errno(errno, path);
    if (S_ISDIR(st.st_mode) && !directories.valid()) directories = Cover(CGX_TRY(empty_directory()));
    Cover& cover = S_ISDIR(st.st_mode) ? directories : files;
    if (!cover.valid()) return fail(EINVAL, "prepare_rootfs() was not called");
    CGX_CHECK(located(cover.put(plan.root.get(), target->get(), path), "", "masked path", path));
  }
  return {};
}

Result<> make_readonly(RootfsPlan& plan, const std::string& path) {
  auto target = open_in_root(plan.root.get(), path, O_PATH);
  if (!target && is_missing(target.error())) return {};
  if (!target) return std::unexpected(target.error());
  // What is mounted upon the root now, nobody sees: processes are in the one below.
  if (CGX_TRY(is_root(plan, target->get()))) {
    plan.readonly_root = true;
    return {};
  }
  // With what is mounted below, or that would be hidden; but only this mount becomes read-only.
  sys::Fd tree = CGX_TRY(clone_tree(target->get(), "", Below::all));
  CGX_CHECK(set_attributes(tree.get(), Below::none, {.set = MOUNT_ATTR_RDONLY}));
  return attach_in(plan, std::move(tree), {.fd = *std::move(target)}, path);
}

}  // namespace

Result<> protect_rootfs(RootfsPlan& plan) {
  for (const sys::Fd& mount : plan.readonly_later)
    CGX_CHECK(located(set_attributes(mount.get(), Below::none, {.set = MOUNT_ATTR_RDONLY}), "", "read-only tmpfs"));
  plan.readonly_later.clear();
  for (const std::string& path : plan.spec->linux_.readonly_paths)
    CGX_CHECK(located(make_readonly(plan, path), "", "read-only path", path));
  CGX_CHECK(mask_paths(plan));
  if (plan.spec->root.readonly || plan.readonly_root)
    CGX_CHECK(located(set_attributes(plan.root.get(), Below::none, {.set = MOUNT_ATTR_RDONLY}), "", "read-only root"));
  // Last, since what is unbindable cannot be copied any more. Slave and private are what it is already.
  const unsigned long type = CGX_TRY(root_propagation(*plan.spec));
  if (type != MS_SHARED && type != MS_UNBINDABLE) return {};
  return located(set_attributes(plan.root.get(), Below::none, {.propagation = type}), "", "linux.rootfsPropagation");
}

}  // namespace cgx::container
