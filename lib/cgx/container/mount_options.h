// SPDX-License-Identifier: Apache-2.0
// What the options of a mount in config.json mean: attributes of the mount, propagation, requests to the launcher; the
// rest is data of the file system. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/sys/result.h"

namespace cgx::container {

struct MountOptions {
  std::uint64_t set = 0, clear = 0;                      // MOUNT_ATTR_*, of this mount
  std::uint64_t recursive_set = 0, recursive_clear = 0;  // and of all mounts below it
  std::vector<unsigned long> propagation;                // MS_SHARED, MS_SLAVE, ... with or without MS_REC, in order
  std::vector<std::string> data;                         // KEY or KEY=VALUE
  std::string id_map;                                    // of `idmap=uids=...;gids=...`
  bool bind = false, recursive = false, remount = false;
  bool copy_up = false;  // tmpcopyup: what the directory below holds becomes the content of the tmpfs
  bool map_ids = false, map_ids_recursive = false;
  bool source_nofollow = false;  // a source that is a link is bound itself
  bool target_nofollow = false;  // a target that is a link is mounted upon itself
  bool copy_symlink = false;     // a source that is a link becomes a link in the container
};

// A later option wins over an earlier one that says the opposite.
[[nodiscard]] MountOptions parse_mount_options(const std::vector<std::string>& options);

// How a mount with attributes `set` is asked for by mount(2): MS_*.
[[nodiscard]] unsigned long mount_flags(std::uint64_t set);

}  // namespace cgx::container
