// SPDX-License-Identifier: Apache-2.0
// Where the root file system of a container comes from: a directory, or an image in a layout of the OCI, whose layers
// the helper cgx-image unpacks.
#pragma once

#include <string>
#include <vector>

#include "cgx/sys/fd.h"

namespace cgx::launcher {

struct Image {
  std::string name;                 // as given
  std::vector<std::string> layers;  // directories, the lowest first
  std::vector<std::string> env, entrypoint, command;
  std::string workdir, user, stop_signal;
  std::vector<std::string> volumes;  // paths within the container whose content is to outlive it
  bool has_health_check = false;
  std::string warning;  // empty: none
  sys::Fd in_use;       // as long as it is open, nobody removes layers that no record names yet
};

// `dir:PATH` or `oci:LAYOUT[:TAG]`. Unpacks layers that `data` does not have yet, once for all that ask for them.
// ENOENT: there is no such image; ENOTSUP: a name that would have to be pulled.
[[nodiscard]] Result<Image> open_image(const std::string& name, const std::string& data);
// The same without unpacking anything: of an image in a layout there are no layers.
[[nodiscard]] Result<Image> look_at_image(const std::string& name);

}  // namespace cgx::launcher
