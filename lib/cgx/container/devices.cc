// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/devices.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cgx/container/launch.h"
#include "cgx/container/mount_calls.h"
#include "cgx/container/root_dir.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

struct DefaultDevice {
  const char* path;
  std::uint32_t major, minor;
};
constexpr std::array<DefaultDevice, 6> default_devices = {{{"/dev/null", 1, 3},
                                                           {"/dev/zero", 1, 5},
                                                           {"/dev/full", 1, 7},
                                                           {"/dev/random", 1, 8},
                                                           {"/dev/urandom", 1, 9},
                                                           {"/dev/tty", 5, 0}}};
constexpr std::uint32_t default_mode = 0666;

struct DeviceLink {
  const char* name;  // in /dev
  const char* text;
};
constexpr std::array<DeviceLink, 4> device_links = {{{"fd", "/proc/self/fd"},
                                                     {"stdin", "/proc/self/fd/0"},
                                                     {"stdout", "/proc/self/fd/1"},
                                                     {"stderr", "/proc/self/fd/2"}}};

mode_t type_of(const Device& device) {
  if (device.type == 'b') return S_IFBLK;
  return device.type == 'p' ? S_IFIFO : S_IFCHR;
}

bool is_that(const struct stat& st, const Device& device) {
  if ((st.st_mode & S_IFMT) != type_of(device)) return false;
  return device.type == 'p' || st.st_rdev == makedev(device.major, device.minor);
}

// Nodes that are made in a user namespace other than the first are refused, or of no use.
bool can_make_nodes(const RootfsPlan& plan) {
  if (plan.new_user_namespace) return false;
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, 2> caps{};
  if (syscall(SYS_capget, &header, caps.data()) != 0) return false;
  return (caps[0].effective & (1U << CAP_MKNOD)) != 0 && !in_user_namespace();
}

// Nothing: what is at `path` is not the device. As other runtimes bind nodes: they are neither executed nor
// set-user-ID.
Result<std::optional<sys::Fd>> clone_if_that(const Device& device, const std::string& path) {
  auto tree = clone_tree(AT_FDCWD, path.c_str(), Below::none);
  if (!tree && (tree.error().code == ENOENT || tree.error().code == ENOTDIR)) return std::nullopt;
  if (!tree) return std::unexpected(std::move(tree).error());
  struct stat st{};
  if (fstat(tree->get(), &st) != 0) return fail_errno(errno, "fstat");
  if (!is_that(st, device)) return std::nullopt;
  CGX_CHECK(set_attributes(
      tree->get(), Below::none, {.set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, .propagation = MS_PRIVATE}));
  return std::optional(*std::move(tree));
}

// The host's node, which has the name that it gets in the container, or the one that the kernel has for it.
Result<sys::Fd> clone_node(const Device& device) {
  const std::string number = std::to_string(device.major) + ":" + std::to_string(device.minor);
  if (auto tree = CGX_TRY(clone_if_that(device, device.path))) return *std::move(tree);
  const auto uevent =
      sys::read_path("/sys/dev/" + std::string(device.type == 'b' ? "block/" : "char/") + number + "/uevent");
  if (uevent)
    for (const std::string_view line : sys::lines(*uevent))
      if (line.starts_with("DEVNAME="))
        if (auto tree = CGX_TRY(clone_if_that(device, "/dev/" + std::string(line.substr(8))))) return *std::move(tree);
  return fail(ENODEV, "can only be bound from the host here, and the host has no node of the device " + number);
}

// By descriptor: mknod's mode is cut by default ACLs of the directory.
Result<> give_node(int dir, const std::string& name, const Device& device) {
  const mode_t mode = device.mode.value_or(default_mode) & 07777;
  struct stat st{};
  if (fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && is_that(st, device) &&
      st.st_uid == device.uid.value_or(0) && st.st_gid == device.gid.value_or(0) && (st.st_mode & 07777) == mode)
    return {};
  const sys::Fd node(openat(dir, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!node.valid() || fstat(node.get(), &st) != 0) return fail_errno(errno, "open");
  if (!is_that(st, device)) return fail(EEXIST, "was exchanged by somebody");
  if (fchownat(node.get(), "", device.uid.value_or(0), device.gid.value_or(0), AT_EMPTY_PATH) != 0)
    return fail_errno(errno, "chown");
  if ((st.st_mode & 07777) == mode) return {};
  constexpr long sys_fchmodat2 = 452;  // Linux 6.6
  if (syscall(sys_fchmodat2, node.get(), "", mode, AT_EMPTY_PATH) == 0) return {};
  if (errno != ENOSYS || chmod(("/proc/self/fd/" + std::to_string(node.get())).c_str(), mode) != 0)
    return fail_errno(errno, "chmod");
  return {};
}

// The directory of the node before is mostly that of the next one too.
struct NodeDir {
  std::string path;
  Target target;
};

Result<> make_node(int root, const Device& device, NodeDir& last) {
  const Split path = CGX_TRY(split_path(device.path));
  if (last.path != path.dir)
    last = {.path = path.dir, .target = CGX_TRY(make_in_root(root, path.dir, NewKind::directory))};
  const Target& dir = last.target;
  struct stat st{};
  const bool there = fstatat(dir.fd.get(), path.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
  if (!there || !is_that(st, device)) {
    CGX_CHECK(sys::mutation("mknod", device.path));
    // What an image has in the device's place, a link above all, goes.
    if (there && unlinkat(dir.fd.get(), path.name.c_str(), 0) != 0) return fail_errno(errno, "unlink");
    const mode_t mode = type_of(device) | (device.mode.value_or(default_mode) & 07777);
    if (mknodat(dir.fd.get(), path.name.c_str(), mode, makedev(device.major, device.minor)) != 0)
      return fail_errno(errno, "mknod");
  } else if (!device.mode && !device.uid && !device.gid) {
    return {};
  }
  return give_node(dir.fd.get(), path.name, device);
}

Result<> bind_node(int root, const Device& device, int tree) {
  const Split path = CGX_TRY(split_path(device.path));
  const Target dir = CGX_TRY(make_in_root(root, path.dir, NewKind::directory));
  struct stat st{};
  if (fstatat(dir.fd.get(), path.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode) &&
      unlinkat(dir.fd.get(), path.name.c_str(), 0) != 0)
    return fail_errno(errno, "unlink");
  const Target target = CGX_TRY(make_in_root(root, device.path, NewKind::file, Links::last_not));
  return attach(root, tree, target.fd.get(), device.path, Links::last_not);
}

Result<> make_links(int root, bool with_core) {
  const Target dev = CGX_TRY(make_in_root(root, "/dev", NewKind::directory));
  CGX_CHECK(sys::mutation("symlink", "/dev"));
  const auto link = [&](const char* name, const char* text) -> Result<> {
    if (symlinkat(text, dev.fd.get(), name) != 0 && errno != EEXIST)
      return fail_errno(errno, "/dev/" + std::string(name));
    return {};
  };
  for (const DeviceLink& each : device_links) CGX_CHECK(link(each.name, each.text));
  if (with_core) CGX_CHECK(link("core", "/proc/kcore"));

  // A node of the multiplexer finds the devpts beside it by itself; anything else, a link of the image above all, goes.
  struct stat st{};
  if (fstatat(dev.fd.get(), "ptmx", &st, AT_SYMLINK_NOFOLLOW) == 0) {
    if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(5, 2)) return {};
    if (unlinkat(dev.fd.get(), "ptmx", 0) != 0) return fail_errno(errno, "/dev/ptmx");
  }
  return link("ptmx", "pts/ptmx");
}

}  // namespace

Result<sys::Fd> clone_null() {
  auto tree = clone_node({.type = 'c', .path = "/dev/null", .major = 1, .minor = 3});
  return located(std::move(tree), "", "/dev/null");
}

Result<> prepare_devices(RootfsPlan& plan) {
  if (!plan.make_dev) return {};
  const auto& wanted = plan.spec->linux_.devices;
  for (const DefaultDevice& device : default_devices)
    if (std::ranges::find(wanted, device.path, &Device::path) == wanted.end())
      plan.devices.push_back(
          {.type = 'c', .path = device.path, .major = device.major, .minor = device.minor, .mode = default_mode});
  // The multiplexer is the container's own.
  for (const Device& device : wanted)
    if (clean_path(device.path) != "/dev/ptmx") plan.devices.push_back(device);
  if (can_make_nodes(plan)) return {};
  for (const Device& device : plan.devices) {
    plan.device_trees.emplace_back();
    if (device.type == 'p') continue;  // anybody may make one
    plan.device_trees.back() = CGX_TRY(located(clone_node(device), "", "device", device.path));
  }
  return {};
}

Result<> make_devices(RootfsPlan& plan) {
  const int root = plan.root.get();
  NodeDir last;
  for (std::size_t i = 0; i < plan.devices.size(); ++i) {
    const Device& device = plan.devices[i];
    const bool bound = i < plan.device_trees.size() && plan.device_trees[i].valid();
    CGX_CHECK(located(bound ? bind_node(root, device, plan.device_trees[i].get()) : make_node(root, device, last),
                      "",
                      "device",
                      device.path));
  }
  if (plan.make_dev) CGX_CHECK(make_links(root, open_in_root(root, "/proc/kcore", O_PATH).has_value()));
  return {};
}

}  // namespace cgx::container
