// SPDX-License-Identifier: Apache-2.0
// The files of a container: its layers as one file system, and its users, which are looked up in that. Images are not
// trusted: all is opened below the root of the container.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/container/idmap.h"
#include "cgx/sys/fd.h"

namespace cgx::launcher {

struct LayerPlan {
  std::vector<std::string> lower;  // the lowest first
  std::string data;                // upper and work are made in it
  bool throw_away = false;         // never synced to the disk
  container::IdMaps maps;          // of the container's user namespace; empty: none
};
// A mount (overlayfs) that is attached nowhere: it is gone with the last descriptor, or with the namespace that it is
// attached in. Kernel: Documentation/filesystems/overlayfs.
[[nodiscard]] Result<sys::Fd> mount_layers(const LayerPlan& plan);

struct ImageUser {
  std::uint32_t uid = 0, gid = 0;
  std::vector<std::uint32_t> groups;
  std::string home;  // of /etc/passwd; empty: it has none
};
// `NAME|UID[:NAME|GID]` by the container's own /etc/passwd and /etc/group, which are read up to 1 MiB. A number is a
// number and never a name. Empty: 0.
[[nodiscard]] Result<ImageUser> find_user(int root, std::string_view text);
// The pure part of it.
[[nodiscard]] Result<ImageUser> find_user(std::string_view passwd, std::string_view group, std::string_view text);

// Groups of the container's /etc/group by name, and any by number; in the order given, each once.
[[nodiscard]] Result<std::vector<std::uint32_t>> find_groups(int root, const std::vector<std::string>& names);

// mkdir with what is missing above it.
[[nodiscard]] Result<> make_directories(const std::string& path, unsigned mode);

}  // namespace cgx::launcher
