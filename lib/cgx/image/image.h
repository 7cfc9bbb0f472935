// SPDX-License-Identifier: Apache-2.0
// From a reference to directories that overlayfs can be mounted of.
#pragma once

#include <string>
#include <vector>

#include "cgx/image/layout.h"
#include "cgx/image/store.h"

namespace cgx::image {

struct Unpacked {
  Image image;
  std::vector<Layer> layers;         // all of the image, the bottom one first
  std::vector<std::string> mounted;  // directories, the bottom one first
  std::vector<std::string> warnings;
  bool foreign = false;  // it is for another platform than was wanted; one of the warnings says so
};

// Unpacks the layers that the store lacks. Blocks; see Store::layer().
[[nodiscard]] Result<Unpacked> unpack_image(Store& store,
                                            const Layout& layout,
                                            const Reference& reference,
                                            const Platform& platform,
                                            const UnpackOptions& options);

// What is to be mounted of them. A layer that stands twice counts where it stands last, which comes to the same, as
// overlayfs takes no directory twice (ELOOP). Layers below one that hides all of them are left out. Pure.
[[nodiscard]] std::vector<std::string> lower_directories(const std::vector<Layer>& layers);

// {"digest", "config_digest", "tag", "os", "architecture", "variant", "layers", "diff_ids", "config", "warnings"}
[[nodiscard]] std::string image_json(const Unpacked& unpacked);

}  // namespace cgx::image
