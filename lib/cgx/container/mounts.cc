// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/mounts.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cgx/container/mount_calls.h"

namespace cgx::container {
namespace {

// Of procfs only these may be covered (by lxcfs and the like): what covers others could mislead the container's
// programs, and this one where it writes attributes of processes.
constexpr std::array<std::string_view, 11> coverable = {"cpuinfo",
                                                        "diskstats",
                                                        "loadavg",
                                                        "meminfo",
                                                        "net/dev",
                                                        "slabinfo",
                                                        "stat",
                                                        "swaps",
                                                        "uptime",
                                                        "sys/crypto/fips_enabled",
                                                        "sys/kernel/ns_last_pid"};

bool same_file(const struct stat& a, const struct stat& b) { return a.st_dev == b.st_dev && a.st_ino == b.st_ino; }

bool is_procfs(int fd) {
  struct statfs fs{};
  return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

// `target` is where the path has led to, whatever its text says; the text counts too, where no procfs is there yet.
// `tree`: what is to be mounted, -1: a new mount of `type`.
Result<> check_procfs(int root, int target, const std::string& path, std::string_view type, int tree) {
  const std::string clean = clean_path(path);
  struct stat there{};
  if (fstat(target, &there) != 0) return fail_errno(errno, path);
  const sys::Fd proc = open_in_root(root, "/proc", O_PATH | O_DIRECTORY).value_or(sys::Fd());
  struct stat of_proc{};
  const bool over_proc =
      clean == "/proc" || (proc.valid() && fstat(proc.get(), &of_proc) == 0 && same_file(there, of_proc));
  if (over_proc) {
    if (type == "proc" || (tree >= 0 && is_procfs(tree))) return {};
    return fail(EINVAL, "\"" + path + "\" cannot be mounted because it is not of type proc");
  }
  if (!is_procfs(target) && !clean.starts_with("/proc/")) return {};
  for (const std::string_view name : coverable) {
    if (clean == "/proc/" + std::string(name)) return {};
    struct stat st{};
    const auto allowed = open_in_root(root, "/proc/" + std::string(name), O_PATH);
    if (allowed && fstat(allowed->get(), &st) == 0 && same_file(there, st)) return {};
  }
  return fail(EINVAL, "\"" + path + "\" cannot be mounted because it is inside /proc");
}

Result<> make_link(int root, const std::string& path, const std::string& text) {
  const Split split = CGX_TRY(split_path(path));
  const Target dir = CGX_TRY(make_in_root(root, split.dir, NewKind::directory));
  CGX_CHECK(sys::mutation("symlink", path));
  if (symlinkat(text.c_str(), dir.fd.get(), split.name.c_str()) == 0) return {};
  if (errno != EEXIST) return fail_errno(errno, "symlink");
  std::array<char, 4096> there{};
  const ssize_t n = readlinkat(dir.fd.get(), split.name.c_str(), there.data(), there.size());
  if (n >= 0 && std::string_view(there.data(), static_cast<std::size_t>(n)) == text) return {};
  return fail_errno(EEXIST, path);
}

// Since Linux 6.8 mounts are listed by their age, and the sources of binds were opened before all others: this is a
// copy that is as old as its place in the list of the specification. It can be made in the mount namespace only that
// the source was opened in, and since Linux 6.15. Where it cannot, the order is another one and nothing else.
Result<sys::Fd> copy_in_order(RootfsPlan& plan, sys::Fd tree) {
  if (!plan.callers_mounts.valid() || !plan.own_mounts.valid()) return tree;
  const sys::Fd root = CGX_TRY(sys::open_path("/", O_PATH | O_DIRECTORY));
  const sys::Fd here = CGX_TRY(sys::open_path(".", O_PATH | O_DIRECTORY));
  if (setns(plan.callers_mounts.get(), CLONE_NEWNS) != 0) return tree;
  auto copy = clone_tree(tree.get(), "", Below::all);
  if (setns(plan.own_mounts.get(), CLONE_NEWNS) != 0) return fail_errno(errno, "setns back to the container's mounts");
  // Which made the root and the working directory those of the namespace.
  if (fchdir(root.get()) != 0 || chroot(".") != 0 || fchdir(here.get()) != 0) return fail_errno(errno, "chroot");
  return copy ? std::move(copy) : std::move(tree);
}

Result<> mount_bind(RootfsPlan& plan, const Mount& mount, RootfsPlan::Opened& opened) {
  if (!opened.link.empty()) return make_link(plan.root.get(), mount.destination, opened.link);
  const Links links = opened.options.target_nofollow ? Links::last_not : Links::follow;
  const NewKind kind = opened.is_directory ? NewKind::directory : NewKind::file;
  const Target target = CGX_TRY(make_in_root(plan.root.get(), mount.destination, kind, links));
  CGX_CHECK(check_procfs(plan.root.get(), target.fd.get(), mount.destination, "bind", opened.tree.get()));
  sys::Fd tree = CGX_TRY(copy_in_order(plan, std::move(opened.tree)));
  return attach_in(plan, std::move(tree), target, mount.destination, links);
}

Result<> remount(RootfsPlan& plan, const Mount& mount, const MountOptions& options) {
  const sys::Fd there = CGX_TRY(open_in_root(plan.root.get(), mount.destination, O_PATH));
  CGX_CHECK(set_propagation(there.get(), options.propagation));
  CGX_CHECK(set_attributes(there.get(), Below::all, {.set = options.recursive_set, .clear = options.recursive_clear}));
  CGX_CHECK(set_attributes(there.get(), Below::none, {.set = options.set, .clear = options.clear}));
  return options.bind ? Result<>() : reconfigure(there.get(), options.data);
}

// The data of an overlay may be longer than fsconfig(2) takes. The directory is the working directory meanwhile, since
// mount(2) takes a path: "." is no path that anybody could exchange.
Result<> mount_old(RootfsPlan& plan, const Mount& mount, const NewMount& wanted, const Target& target) {
  std::string data;
  for (const std::string& option : wanted.data) data += (data.empty() ? "" : ",") + option;
  const sys::Fd before = CGX_TRY(sys::open_path(".", O_PATH | O_DIRECTORY));
  if (fchdir(target.fd.get()) != 0) return fail_errno(errno, mount.destination);
  CGX_CHECK(sys::mutation("mount", mount.destination));
  const int rc = ::mount(wanted.source.c_str(), ".", wanted.type.c_str(), mount_flags(wanted.attributes), data.c_str());
  const int code = rc == 0 ? 0 : errno;
  if (fchdir(before.get()) != 0) return fail_errno(errno, "fchdir");
  if (code != 0) return fail_errno(code, wanted.type);
  sys::Fd there = CGX_TRY(open_in_root(plan.root.get(), mount.destination, O_PATH));
  if (CGX_TRY(mount_id(there.get())) == CGX_TRY(mount_id(target.fd.get())))
    return fail(EXDEV, "\"" + mount.destination + "\" was exchanged: it is not mounted where it was meant");
  return {};
}

bool has_key(const std::vector<std::string>& data, std::string_view key) {
  return std::ranges::any_of(data, [&](const std::string& option) {
    return option.starts_with(key) && option.size() > key.size() && option[key.size()] == '=';
  });
}

// Types whose superblock is not read-only when a mount of it is.
bool is_pseudo(std::string_view type) {
  constexpr std::array<std::string_view, 8> types = {
      "tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2", "overlay"};
  return std::ranges::find(types, type) != types.end();
}

Result<NewMount> describe(const RootfsPlan& plan,
                          const Mount& mount,
                          const MountOptions& options,
                          const Target& target) {
  NewMount wanted{.type = mount.type, .source = mount.source, .data = options.data, .attributes = options.set};
  if (mount.type == "tmpfs" && !target.made && !has_key(wanted.data, "mode")) {
    struct stat st{};
    if (fstat(target.fd.get(), &st) != 0) return fail_errno(errno, mount.destination);
    constexpr std::string_view digits = "01234567";
    std::string mode = "mode=";
    for (int shift = 9; shift >= 0; shift -= 3) mode += digits[(st.st_mode >> shift) & 7U];
    wanted.data.push_back(mode);
  }
  if (!is_pseudo(mount.type) && (wanted.attributes & MOUNT_ATTR_RDONLY) != 0) wanted.data.emplace_back("ro");
  const std::string& label = plan.spec->linux_.mount_label;
  const bool labelled =
      mount.type == "tmpfs" || mount.type == "devpts" || mount.type == "mqueue" || !is_pseudo(mount.type);
  if (!label.empty() && labelled && access("/sys/fs/selinux/enforce", F_OK) == 0 && !has_key(wanted.data, "context"))
    wanted.data.push_back("context=\"" + label + "\"");
  return wanted;
}

// A group that the container's user namespace has no id for is left out, as /dev/pts works without.
Result<sys::Fd> make_devpts(const RootfsPlan& plan, NewMount wanted) {
  auto tree = make_tree(wanted);
  if (tree || tree.error().code != EINVAL || !plan.new_user_namespace) return tree;
  if (std::erase_if(wanted.data, [](const std::string& option) { return option.starts_with("gid="); }) == 0)
    return tree;
  return make_tree(wanted);
}

// What shows the kernel must not be made visible elsewhere by a link of the image.
bool is_kernel_view(const Mount& mount) { return mount.type == "proc" || mount.type == "sysfs"; }

Links links_of(const Mount& mount) { return is_kernel_view(mount) ? Links::refuse : Links::follow; }

Result<> mount_at(RootfsPlan& plan, const Mount& mount, RootfsPlan::Opened& opened, const Target& target) {
  const MountOptions& options = opened.options;
  const Links links = links_of(mount);
  CGX_CHECK(check_procfs(plan.root.get(), target.fd.get(), mount.destination, mount.type, -1));
  NewMount wanted = CGX_TRY(describe(plan, mount, options, target));
  // What is made in it later needs it writable until then.
  const bool later = mount.type == "tmpfs" && (wanted.attributes & MOUNT_ATTR_RDONLY) != 0;
  if (later) wanted.attributes &= ~static_cast<std::uint64_t>(MOUNT_ATTR_RDONLY);
  const auto too_long = [](const std::string& option) {
    const std::size_t equals = option.find('=');
    return equals != std::string::npos && option.size() - equals - 1 > longest_value;
  };
  sys::Fd tree;
  if (std::ranges::any_of(wanted.data, too_long)) {
    CGX_CHECK(mount_old(plan, mount, wanted, target));
    tree = CGX_TRY(open_in_root(plan.root.get(), mount.destination, O_PATH, links));
    CGX_CHECK(set_propagation(tree.get(), options.propagation));
    return set_attributes(tree.get(), Below::all, {.set = options.recursive_set, .clear = options.recursive_clear});
  }
  auto opened_tree = mount.type == "devpts" ? make_devpts(plan, wanted) : make_tree(wanted);
  if (!opened_tree && opened_tree.error().code == EPERM && opened.fallback.valid())
    opened_tree = std::move(opened.fallback);
  tree = CGX_TRY(std::move(opened_tree));
  if (options.copy_up) {
    if (mount.type != "tmpfs") return fail(EINVAL, "tmpcopyup is of tmpfs only");
    if (CGX_TRY(is_root(plan, target.fd.get()))) return fail(EINVAL, "tmpcopyup cannot copy the root itself");
    CGX_CHECK(copy_directory(target.fd.get(), tree.get()));
  }
  CGX_CHECK(set_attributes(tree.get(), Below::all, {.set = options.recursive_set, .clear = options.recursive_clear}));
  CGX_CHECK(set_propagation(tree.get(), options.propagation));
  if (later) {
    sys::Fd mark(fcntl(tree.get(), F_DUPFD_CLOEXEC, 3));
    if (!mark.valid()) return fail_errno(errno, "fcntl");
    plan.readonly_later.push_back(std::move(mark));
  }
  return attach_in(plan, std::move(tree), target, mount.destination, links);
}

Result<> mount_new(RootfsPlan& plan, const Mount& mount, RootfsPlan::Opened& opened) {
  const auto target = make_in_root(plan.root.get(), mount.destination, NewKind::directory, links_of(mount));
  if (target) return mount_at(plan, mount, opened, *target);
  const int code = target.error().code;
  if (is_kernel_view(mount) && (code == ELOOP || code == ENOTDIR))
    return fail(code, "filesystem \"" + mount.type + "\" must be mounted on ordinary directory");
  return std::unexpected(target.error());
}

Result<> make_mount(RootfsPlan& plan, const Mount& mount, RootfsPlan::Opened& opened) {
  if (opened.options.remount) return remount(plan, mount, opened.options);
  if (opened.options.bind) return mount_bind(plan, mount, opened);
  if (mount.type == "cgroup" || mount.type == "cgroup2") return mount_cgroups(plan, mount, opened.options);
  return mount_new(plan, mount, opened);
}

}  // namespace

Result<bool> is_root(const RootfsPlan& plan, int target) {
  struct stat there{};
  struct stat root{};
  if (fstat(target, &there) != 0 || fstat(plan.root.get(), &root) != 0) return fail_errno(errno, "fstat");
  return same_file(there, root) && CGX_TRY(mount_id(target)) == CGX_TRY(mount_id(plan.root.get()));
}

Result<> attach_in(RootfsPlan& plan, sys::Fd tree, const Target& target, const std::string& path, Links links) {
  if (!CGX_TRY(is_root(plan, target.fd.get())))
    return attach(plan.root.get(), tree.get(), target.fd.get(), path, links);
  CGX_CHECK(move_tree(tree.get(), plan.root.get()));
  plan.root = std::move(tree);
  return {};
}

Result<> make_mounts(RootfsPlan& plan) {
  for (std::size_t i = 0; i < plan.spec->mounts.size(); ++i) {
    const Mount& mount = plan.spec->mounts[i];
    if (auto done = make_mount(plan, mount, plan.opened[i]); !done)
      return std::unexpected(of_mount(mount, std::move(done).error()));
  }
  return {};
}

}  // namespace cgx::container
