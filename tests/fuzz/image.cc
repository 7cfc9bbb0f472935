// SPDX-License-Identifier: Apache-2.0
// The documents of an image: whatever they are, an error is one line; what is taken can be made a path of.
#include <algorithm>
#include <cerrno>
#include <string>

#include "cgx/container/json_tree.h"
#include "cgx/image/layout.h"

#include "fuzz.h"

namespace {

using namespace cgx::image;

void check_refusal(const cgx::Error& error) {
  FUZZ_CHECK(error.code == EINVAL || error.code == E2BIG);
  FUZZ_CHECK(!error.what.empty());
  const std::string text = error.text();
  FUZZ_CHECK(std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }));
}

void check_digest(const Digest& digest) {
  FUZZ_CHECK(digest.hex().size() == 64 && digest.hex().find_first_not_of("0123456789abcdef") == std::string::npos);
}

}  // namespace

void cgx::fuzz::one(std::string_view input) {
  if (const auto index = parse_index(input, "")) {
    for (const Descriptor& d : index->manifests) check_digest(d.digest);
    (void)choose_platform(index->manifests, {"linux", "amd64", "v2"});
  } else {
    check_refusal(index.error());
  }
  if (const auto manifest = parse_manifest(input, "")) {
    check_digest(manifest->config.digest);
    for (const Descriptor& d : manifest->layers) FUZZ_CHECK(is_layer_type(d.media_type));
  } else {
    check_refusal(manifest.error());
  }
  if (const auto config = parse_config(input)) {
    for (const Digest& d : config->diff_ids) check_digest(d);
    FUZZ_CHECK(cgx::container::json::parse(config->config));
  } else {
    check_refusal(config.error());
  }
  (void)guess_media_type(input);
  (void)check_layout_file(input);
}
