// SPDX-License-Identifier: Apache-2.0
// Inside container/: the kernel's mount calls with descriptors, as Results. A tree is a mount that is attached nowhere
// yet, with the mounts below it; it is gone when its descriptor is closed before move_tree().
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cgx/sys/fd.h"

namespace cgx::container {

enum class Below : std::uint8_t { none, all };  // whether mounts below are meant too

// A copy of what is mounted at `path` (empty: at `dir` itself), by this process' mount namespace.
[[nodiscard]] Result<sys::Fd> clone_tree(int dir, const char* path, Below below, unsigned at_flags = 0);

struct Attributes {
  std::uint64_t set = 0, clear = 0;  // MOUNT_ATTR_*
  std::uint64_t propagation = 0;     // MS_*, without MS_REC
  int user_namespace = -1;           // with MOUNT_ATTR_IDMAP
};
[[nodiscard]] Result<> set_attributes(int mount, Below below, const Attributes& attributes);
// In their order, each with or without MS_REC.
[[nodiscard]] Result<> set_propagation(int mount, const std::vector<unsigned long>& types);

// Attaches `tree` to what `target` is open on. The descriptor of the tree is one of the mount afterwards.
[[nodiscard]] Result<> move_tree(int tree, int target);

// A new superblock (or the kernel's one of that type), not attached. `data`: KEY or KEY=VALUE. The error has what the
// file system says of it. ENODEV: this kernel has no such type.
struct NewMount {
  std::string type, source;
  std::vector<std::string> data;
  std::uint64_t attributes = 0;
};
[[nodiscard]] Result<sys::Fd> make_tree(const NewMount& wanted);
// Changes the superblock of a mount: `mount -o remount,DATA`.
[[nodiscard]] Result<> reconfigure(int mount, const std::vector<std::string>& data);
// The kernel takes no longer values by fsconfig(2).
inline constexpr std::size_t longest_value = 255;

// What tells mounts apart. ENOTSUP before Linux 5.8.
[[nodiscard]] Result<std::uint64_t> mount_id(int fd);

}  // namespace cgx::container
