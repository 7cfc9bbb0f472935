// SPDX-License-Identifier: Apache-2.0
// The file system of a container: what is opened before it exists, and what the child does in its new mount namespace.
// Sources of binds are opened (open_tree) by the parent, with its rights; every target is opened below the root with
// RESOLVE_IN_ROOT and mounted by descriptor (move_mount), so that no path is resolved twice and no link of the image
// leads out. Kernel: Documentation/filesystems/{mount_api,sharedsubtree}, mount_setattr(2), open_tree(2).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cgx/container/spec.h"
#include "cgx/sys/fd.h"

namespace cgx::container {

// A hierarchy as a mount of type cgroup shows it.
struct CgroupMount {
  bool unified = false;               // cgroup2
  std::string name;                   // below /sys/fs/cgroup: "cpu,cpuacct", "unified"; empty: cgroup2 is all there is
  std::string options;                // of the v1 mount: "cpu,cpuacct", "name=systemd"
  sys::Fd group;                      // the container's directory in it, for binds where there is no cgroup namespace
};

struct RootfsPlan {
  const Spec* spec = nullptr;          // outlives the plan
  sys::Fd root;                        // a detached mount to be the root (overlay of layers); none: spec->root.path
  std::vector<CgroupMount> cgroups;    // what a mount of type cgroup or cgroup2 shows
  bool new_user_namespace = false;     // mknod and sysfs are not possible: devices are bound
  bool new_cgroup_namespace = false;
  bool pivot = true;                   // false: MS_MOVE and chroot, for initramfs roots (--no-pivot)
  sys::Fd console;                     // the terminal's slave, for /dev/console; none: no terminal

  // One for each mount of the spec, filled by prepare(): what was opened before the clone, and the options as flags.
  struct Opened {
    sys::Fd tree;                      // detached clone of a bind's source, with its attributes set already
    bool is_directory = false;
    std::string data;                  // options of the file system
    std::uint64_t set = 0, clear = 0;  // MOUNT_ATTR_*
    std::uint64_t recursive_set = 0, recursive_clear = 0;
    unsigned long propagation = 0;     // MS_SHARED, ... | MS_REC
    bool bind = false, recursive = false, copy_up = false;
  };
  std::vector<Opened> opened;
  std::vector<Device> devices;         // the spec's and the default ones
};

// Before the clone, with the caller's rights: reads the options of all mounts, opens the sources of binds, makes idmapped
// ones. Errors name the mount: `mount "DST" of "SRC": REASON`. Nothing of the system is changed.
[[nodiscard]] Result<> prepare_rootfs(RootfsPlan& plan);

// In the child, in its new mount namespace, each a stage; errors name the mount or path and the reason.
[[nodiscard]] Result<> build_rootfs(RootfsPlan& plan);     // propagation, root, all mounts, devices, links, console
[[nodiscard]] Result<> enter_rootfs(RootfsPlan& plan);     // pivot_root (or move), the old root is gone afterwards
[[nodiscard]] Result<> protect_rootfs(RootfsPlan& plan);   // masked and read-only paths, root.readonly, propagation

// What an option of a mount means; false: it belongs to the file system. Pure. For `features` too.
[[nodiscard]] std::vector<std::string> known_mount_options();

}  // namespace cgx::container
