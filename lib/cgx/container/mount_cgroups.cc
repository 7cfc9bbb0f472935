// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgx/container/mount_calls.h"
#include "cgx/container/mounts.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

// A new mount shows the root of the caller's cgroup namespace. In the first namespace it would be the host's whole
// tree, and of cgroup2 it would take nsdelegate and memory_recursiveprot, which are all mounts', away from the host:
// there, and where it is refused, the group's own directory is bound.
Result<sys::Fd> hierarchy_tree(const RootfsPlan& plan, CgroupMount& cgroup, std::uint64_t attributes) {
  if (cgroup.makers) attributes |= MOUNT_ATTR_RDONLY;
  if (plan.new_cgroup_namespace) {
    NewMount wanted{
        .type = cgroup.unified ? "cgroup2" : "cgroup", .source = "cgroup", .data = {}, .attributes = attributes};
    if (!cgroup.unified)
      for (const std::string_view option : sys::split(cgroup.options, ','))
        if (!option.empty()) wanted.data.emplace_back(option);
    auto made = make_tree(wanted);
    if (made || !cgroup.tree.valid() || (made.error().code != EPERM && made.error().code != EBUSY)) return made;
  }
  if (!cgroup.tree.valid()) return fail(EINVAL, "the container has no group in this hierarchy to be shown");
  CGX_CHECK(set_attributes(cgroup.tree.get(), Below::none, {.set = attributes}));
  return std::move(cgroup.tree);
}

// "cpu,cpuacct" is found as cpu and as cpuacct too.
Result<> link_controllers(int dir, const CgroupMount& cgroup) {
  if (cgroup.unified) return {};
  for (const std::string_view option : sys::split(cgroup.options, ',')) {
    const std::string name(option.substr(option.starts_with("name=") ? 5 : 0));
    if (name.empty() || name == cgroup.name) continue;
    if (symlinkat(cgroup.name.c_str(), dir, name.c_str()) != 0 && errno != EEXIST) return fail_errno(errno, name);
  }
  return {};
}

Result<> mount_hierarchy(RootfsPlan& plan, CgroupMount& cgroup, int dir, std::uint64_t attributes) {
  const sys::Fd tree = CGX_TRY(hierarchy_tree(plan, cgroup, attributes));
  if (mkdirat(dir, cgroup.name.c_str(), 0755) != 0) return fail_errno(errno, "mkdir");
  const sys::Fd target = CGX_TRY(open_in_root(dir, cgroup.name, O_PATH | O_DIRECTORY, Links::refuse));
  CGX_CHECK(move_tree(tree.get(), target.get()));
  return link_controllers(dir, cgroup);
}

}  // namespace

Result<> mount_cgroups(RootfsPlan& plan, const Mount& mount, const MountOptions& wanted) {
  // Whatever the options leave out: a cgroup has no programs, and the tmpfs around is to hold none, nor device nodes.
  MountOptions options = wanted;
  options.set |= MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  if (plan.cgroups.empty()) return fail(EINVAL, "there is no hierarchy to be shown");
  const Target target = CGX_TRY(make_in_root(plan.root.get(), mount.destination, NewKind::directory));
  const bool alone = plan.cgroups.size() == 1 && plan.cgroups[0].unified && plan.cgroups[0].name.empty();
  if (alone || mount.type == "cgroup2") {
    for (CgroupMount& cgroup : plan.cgroups) {
      if (!cgroup.unified) continue;
      sys::Fd tree = CGX_TRY(hierarchy_tree(plan, cgroup, options.set));
      CGX_CHECK(set_propagation(tree.get(), options.propagation));
      return attach_in(plan, std::move(tree), target, mount.destination);
    }
    return fail(ENODEV, "this host has no cgroup2 mounted");
  }

  const std::uint64_t attributes = options.set & ~static_cast<std::uint64_t>(MOUNT_ATTR_RDONLY);
  sys::Fd tree =
      CGX_TRY(make_tree({.type = "tmpfs", .source = "tmpfs", .data = {"mode=755"}, .attributes = attributes}));
  // Before Linux 6.15 nothing can be attached to what is not attached itself.
  const sys::Fd dir(fcntl(tree.get(), F_DUPFD_CLOEXEC, 3));
  if (!dir.valid()) return fail_errno(errno, "fcntl");
  CGX_CHECK(attach_in(plan, std::move(tree), target, mount.destination));
  for (CgroupMount& cgroup : plan.cgroups)
    CGX_CHECK(located(mount_hierarchy(plan, cgroup, dir.get(), options.set), "", cgroup.name));
  CGX_CHECK(set_propagation(dir.get(), options.propagation));
  return set_attributes(dir.get(), Below::none, {.set = options.set & MOUNT_ATTR_RDONLY});
}

}  // namespace cgx::container
