// SPDX-License-Identifier: Apache-2.0
// The config.json of a container of `cgx run`: what was asked for, what the image says and what every container gets,
// as the OCI runtime-spec has it. It stands in the container's state, and every later command reads it there.
#pragma once

#include <string>

#include "image.h"
#include "options.h"
#include "root.h"
#include "shared.h"

namespace cgx::launcher {

struct ConfigParts {
  const RunOptions* options = nullptr;
  const Image* image = nullptr;
  ImageUser user;
  std::string id, root, data;           // root: what hooks are told; data: where hosts and hostname are
  std::string group;                    // linux.cgroupsPath
  Shared shared;                        // namespaces of other containers
  std::string host;                     // its host name
  std::string init;                     // the program of --init on this host; empty: none
  container::IdMaps maps;               // of a user namespace; empty: none
  std::vector<std::string> host_files;  // of /etc: hosts, hostname, resolv.conf
  bool nested = false;                  // in a user namespace already: no device can be made
};
[[nodiscard]] Result<std::string> config_text(const ConfigParts& parts);

// The command line that is executed, and where: of the image and the options.
[[nodiscard]] Result<std::vector<std::string>> command_of(const RunOptions& options, const Image& image);
[[nodiscard]] std::string workdir_of(const RunOptions& options, const Image& image);
// The capabilities that are left, as bits.
[[nodiscard]] std::uint64_t capabilities_of(const RunOptions& options);

inline constexpr const char* init_path = "/dev/cgx-init";  // in the container, where nothing of the image is

}  // namespace cgx::launcher
