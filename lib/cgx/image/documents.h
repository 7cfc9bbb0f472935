// SPDX-License-Identifier: Apache-2.0
// The JSON documents of an image: index, manifest and configuration, of OCI (image specification 1.1) and of Docker
// (schema 2 of its manifests). Pure. What is read here is not trusted: an error names the place, the value and the
// reason, and a document that could be taken for two kinds is refused (CVE-2021-41190).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgx/image/digest.h"
#include "cgx/image/platform.h"

namespace cgx::image {

inline constexpr std::size_t most_document = 4U << 20U;  // what registries take

// A blob: what it is, how it is named, how long it is.
struct Descriptor {
  std::string media_type;
  Digest digest;
  std::uint64_t size = 0;
  std::optional<Platform> platform;
  std::vector<std::pair<std::string, std::string>> annotations;
  [[nodiscard]] std::string_view annotation(std::string_view key) const;  // empty: none
};

enum class Document : std::uint8_t { index, manifest };
// What a media type says, or nothing where it is another thing.
[[nodiscard]] std::optional<Document> document_of(std::string_view media_type);
[[nodiscard]] bool is_config_type(std::string_view media_type);
// A tar, as it is or packed by gzip or zstd. What it is packed with is seen by its first bytes.
[[nodiscard]] bool is_layer_type(std::string_view media_type);

struct Index {
  std::vector<Descriptor> manifests;
};
struct Manifest {
  Descriptor config;
  std::vector<Descriptor> layers;  // the bottom one first
};
struct ImageConfig {
  Platform platform;
  std::vector<Digest> diff_ids;  // of the layers' tars as they are unpacked, the bottom one first
  std::string config;            // the object `config` as JSON text; "{}" where there is none
};

// `media_type`: what a descriptor says of the document; empty where nothing does. Where the document has a type of its
// own, they must agree.
[[nodiscard]] Result<Index> parse_index(std::string_view text, std::string_view media_type);
[[nodiscard]] Result<Manifest> parse_manifest(std::string_view text, std::string_view media_type);
[[nodiscard]] Result<ImageConfig> parse_config(std::string_view text);
// oci-layout: EINVAL where its version is not 1.x.
[[nodiscard]] Result<> check_layout_file(std::string_view text);
// The media type of a document that no descriptor speaks of: its own, else by what it has.
[[nodiscard]] Result<std::string> guess_media_type(std::string_view text);

}  // namespace cgx::image
