// SPDX-License-Identifier: Apache-2.0
// What the child does in its new mount namespace before the root is its own.
#include <cerrno>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgx/container/devices.h"
#include "cgx/container/mount_calls.h"
#include "cgx/container/mounts.h"
#include "cgx/container/rootfs.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

// Modes are meant as they are given. The process has one thread, so that nobody else sees this.
class NoUmask {
 public:
  NoUmask() : before_(umask(0)) {}
  NoUmask(const NoUmask&) = delete;
  NoUmask& operator=(const NoUmask&) = delete;
  ~NoUmask() { (void)umask(before_); }

 private:
  mode_t before_;
};

// At its own path, where hooks look for it. Where the child may not go there (a user namespace, a directory that is
// only root's), or there is no path, upon "/": pivot_root(2) does not mind.
Result<> attach_root(RootfsPlan& plan) {
  const std::string& path = plan.spec->root.path;
  if (!path.empty()) {
    const auto there = sys::open_path(path, O_PATH | O_DIRECTORY);
    struct stat a{};
    struct stat b{};
    if (there && plan.root_from_path) {
      if (fstat(there->get(), &a) != 0 || fstat(plan.root.get(), &b) != 0) return fail_errno(errno, path);
      if (a.st_dev != b.st_dev || a.st_ino != b.st_ino) return fail(EXDEV, "was exchanged by somebody");
    }
    if (there) return move_tree(plan.root.get(), there->get());
    if (there.error().code != EACCES && !(there.error().code == ENOENT && !plan.root_from_path))
      return std::unexpected(there.error());
  }
  plan.root_on_top = true;
  const sys::Fd top = CGX_TRY(sys::open_path("/", O_PATH | O_DIRECTORY));
  return move_tree(plan.root.get(), top.get());
}

Result<> find_views(RootfsPlan& plan) {
  const std::string text = CGX_TRY(sys::read_path("/proc/self/mountinfo"));
  for (const std::string_view line : sys::lines(text)) {
    if (line.find(" - proc ") == std::string_view::npos && line.find(" - sysfs ") == std::string_view::npos) continue;
    if (const auto words = sys::words(line); words.size() > 4) plan.views.push_back(sys::unescape_octal(words[4]));
  }
  return {};
}

Result<> attach_console(RootfsPlan& plan, int tree) {
  const NoUmask masked;
  struct stat st{};
  if (fstat(tree, &st) != 0) return fail_errno(errno, "fstat");
  if (!S_ISCHR(st.st_mode)) return fail(EINVAL, "is no terminal");
  const Target target = CGX_TRY(make_in_root(plan.root.get(), "/dev/console", NewKind::file, Links::last_not));
  return attach(plan.root.get(), tree, target.fd.get(), "/dev/console", Links::last_not);
}

}  // namespace

Result<> build_rootfs(RootfsPlan& plan) {
  const NoUmask masked;
  // What is mounted from here on stays here; what the host mounts later still arrives below binds that ask for it.
  if (mount(nullptr, "/", nullptr, MS_SLAVE | MS_REC, nullptr) != 0) return fail_errno(errno, "propagation of \"/\"");
  if (!plan.pivot) CGX_CHECK(find_views(plan));
  CGX_CHECK(located(attach_root(plan), "", "root", plan.spec->root.path));
  CGX_CHECK(make_mounts(plan));
  CGX_CHECK(make_devices(plan));
  if (!plan.console_tree.valid()) return {};
  auto bound = attach_console(plan, plan.console_tree.get());
  plan.console_tree.reset(-1);
  return located(std::move(bound), "", "/dev/console");
}

Result<> bind_console(RootfsPlan& plan, int slave) {
  auto tree = clone_tree(slave, "", Below::none);
  if (!tree) return located(Result<>(std::unexpected(std::move(tree).error())), "", "/dev/console");
  return located(attach_console(plan, tree->get()), "", "/dev/console");
}

Result<sys::Fd> open_in_rootfs(const RootfsPlan& plan, const std::string& path, int flags) {
  return open_in_root(plan.root.get(), path, flags);
}

}  // namespace cgx::container
