// SPDX-License-Identifier: Apache-2.0
// The file system of a container: what is opened before it exists, and what the child does in its new mount namespace.
// Sources of binds are opened (open_tree) by the parent, with its rights; every target is opened below the root with
// RESOLVE_IN_ROOT and mounted by descriptor (move_mount), so that no path is resolved twice and no link of the image
// leads out. Kernel: Documentation/filesystems/{mount_api,sharedsubtree}, mount_setattr(2), open_tree(2).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cgx/container/mount_options.h"
#include "cgx/container/spec.h"
#include "cgx/sys/fd.h"

namespace cgx::container {

// A hierarchy as a mount of type cgroup shows it.
struct CgroupMount {
  bool unified = false;  // cgroup2
  std::string name;      // below /sys/fs/cgroup: "cpu,cpuacct", "unified"; empty: cgroup2 is all there is
  std::string options;   // of the v1 mount: "cpu,cpuacct", "name=systemd"
  std::string path;      // of the container's directory in it
  sys::Fd group;         // the container's directory in it, for binds where there is no cgroup namespace
  bool makers = false;   // the container has no group, and is in its maker's: to be read only
  sys::Fd tree;          // the same as a tree; by prepare_rootfs()
};

struct RootfsPlan {
  const Spec* spec = nullptr;        // outlives the plan
  sys::Fd root;                      // a detached mount to be the root (overlay of layers); none: spec->root.path
  std::vector<CgroupMount> cgroups;  // what a mount of type cgroup or cgroup2 shows
  bool new_user_namespace = false;   // mknod and sysfs are not possible: devices are bound
  bool new_cgroup_namespace = false;
  bool prepared_in_child = false;  // the caller may not clone mounts, see may_clone_mounts()
  bool pivot = true;               // false: MS_MOVE and chroot, for initramfs roots (--no-pivot)
  // The mount namespaces of the caller, which opens the sources of binds, and of the child: see copy_in_order(). None:
  // the child may not go to the caller's.
  sys::Fd callers_mounts, own_mounts;
  bool shares_mounts = false;  // the program is in the caller's mount namespace, see leave_mounts()
  // The terminal's slave, for /dev/console, where the parent has opened it; none: no terminal, or bind_console().
  sys::Fd console;

  // One for each mount of the spec, filled by prepare_rootfs(): what was opened before the clone, and what is meant.
  struct Opened {
    MountOptions options;
    sys::Fd tree;      // detached clone of a bind's source, with its attributes set already
    sys::Fd fallback;  // of the host's /sys, /proc, /dev/mqueue, where a new one may be refused
    bool is_directory = false;
    std::string link;  // copy-symlink: the text of the source, which is a link
  };
  std::vector<Opened> opened;
  std::vector<Device> devices;        // the spec's and the default ones; none where /dev is a bind
  std::vector<sys::Fd> device_trees;  // of the host's nodes, one for each device, where mknod is not possible
  bool make_dev = true;               // devices and links are made at all
  bool root_from_path = false;        // `root` was made from spec->root.path
  bool root_on_top = false;           // it is attached upon "/"
  bool readonly_root = false;         // by linux.readonlyPaths
  std::vector<std::string> views;     // where the old root shows the kernel, for pivot == false
  sys::Fd console_tree;
  sys::Fd null_tree;                    // /dev/null of the host, checked, to mask files
  std::vector<sys::Fd> readonly_later;  // mounts that become read-only when all is in them; by build_rootfs()
};

// Before the clone, with the caller's rights: reads the options of all mounts, opens the sources of binds, makes
// idmapped ones. Errors name the mount: `mount "DST" of "SRC": REASON`. Nothing of the system is changed; for idmapped
// mounts a child lives for a moment.
[[nodiscard]] Result<> prepare_rootfs(RootfsPlan& plan);
// Whether the caller can do that. Who has no rights in its mount namespace leaves it to the child, which has them in
// the user namespace that is made for it, and there as the root of what the caller's own ids are mapped to.
[[nodiscard]] bool may_clone_mounts();

// In the child, in its new mount namespace (and the new pid, network, ipc and cgroup namespaces, as the specification
// wants them), each a stage; errors name the mount or path and the reason. `plan.root` is open on the root from
// build_rootfs() on: hooks see it at spec->root.path.
[[nodiscard]] Result<> build_rootfs(RootfsPlan& plan);    // propagation, root, all mounts, devices, links, console
[[nodiscard]] Result<> enter_rootfs(RootfsPlan& plan);    // pivot_root (or move), the old root is gone afterwards
[[nodiscard]] Result<> protect_rootfs(RootfsPlan& plan);  // masked and read-only paths, root.readonly, propagation

// For a program that shares the mounts of the caller: what was built becomes its root there, as a tree of mounts that
// is attached nowhere and ends with the last process that has it for its root. After protect_rootfs(), the last.
[[nodiscard]] Result<> leave_mounts(RootfsPlan& plan);

// For a terminal that the child opened in the container's own /dev/pts: `slave` (of TIOCGPTPEER) becomes /dev/console.
// After build_rootfs() or enter_rootfs(), before protect_rootfs().
[[nodiscard]] Result<> bind_console(RootfsPlan& plan, int slave);
// A path of the container, resolved below its root: "/dev/pts/ptmx", "/etc/passwd". After build_rootfs().
[[nodiscard]] Result<sys::Fd> open_in_rootfs(const RootfsPlan& plan, const std::string& path, int flags);

// The words of options that are no data of a file system. Pure. For `features` too.
[[nodiscard]] std::vector<std::string> known_mount_options();

}  // namespace cgx::container
