// SPDX-License-Identifier: Apache-2.0
#include "cgx/image/image.h"

#include <algorithm>

#include "cgx/sys/json.h"

namespace cgx::image {

std::vector<std::string> lower_directories(const std::vector<Layer>& layers) {
  std::vector<std::string> paths;
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    if (std::ranges::find(paths, layer->path) == paths.end()) paths.push_back(layer->path);
    if (layer->root_opaque) break;
  }
  std::ranges::reverse(paths);
  return paths;
}

Result<Unpacked> unpack_image(Store& store,
                              const Layout& layout,
                              const Reference& reference,
                              const Platform& platform,
                              const UnpackOptions& options) {
  Unpacked result;
  result.image = CGX_TRY(layout.resolve(reference, platform));
  const Platform& its = result.image.config.platform;
  result.foreign = platform_rank(its, platform) == 0;
  if (result.foreign) result.warnings.push_back("the image is for " + its.text() + ", not for " + platform.text());
  const sys::Fd shared = CGX_TRY(store.share());
  for (std::size_t i = 0; i < result.image.content.layers.size(); ++i) {
    result.layers.push_back(
        CGX_TRY(store.layer(layout, result.image.content.layers[i], result.image.config.diff_ids[i], options)));
    for (const std::string& warning : result.layers.back().warnings)
      if (std::ranges::find(result.warnings, warning) == result.warnings.end()) result.warnings.push_back(warning);
  }
  result.mounted = lower_directories(result.layers);
  return result;
}

std::string image_json(const Unpacked& unpacked) {
  const Image& image = unpacked.image;
  sys::JsonWriter out;
  out.open_object().key("digest").string(image.manifest.digest.text());
  out.key("config_digest").string(image.content.config.digest.text()).key("tag").string(image.tag);
  out.key("os").string(image.config.platform.os).key("architecture").string(image.config.platform.architecture);
  out.key("variant").string(image.config.platform.variant).key("foreign").boolean(unpacked.foreign);
  out.key("layers").open_array();
  for (const std::string& path : unpacked.mounted) out.string(path);
  out.close_array().key("diff_ids").open_array();
  for (const Layer& layer : unpacked.layers) out.string(layer.diff_id.text());
  out.close_array().key("warnings").open_array();
  for (const std::string& warning : unpacked.warnings) out.string(warning);
  out.close_array();
  // The configuration is JSON text already.
  std::string text = out.take();
  return text + ",\"config\":" + image.config.config + "}";
}

}  // namespace cgx::image
