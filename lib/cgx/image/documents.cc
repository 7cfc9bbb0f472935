// SPDX-License-Identifier: Apache-2.0
#include "cgx/image/documents.h"

#include <algorithm>
#include <array>
#include <limits>

#include "cgx/container/json_tree.h"
#include "cgx/sys/json.h"

namespace cgx::image {
namespace {

namespace json = container::json;

constexpr std::string_view oci_index = "application/vnd.oci.image.index.v1+json";
constexpr std::string_view docker_index = "application/vnd.docker.distribution.manifest.list.v2+json";
constexpr std::string_view oci_manifest = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view docker_manifest = "application/vnd.docker.distribution.manifest.v2+json";

constexpr std::array<std::string_view, 2> config_types = {"application/vnd.oci.image.config.v1+json",
                                                          "application/vnd.docker.container.image.v1+json"};
// Those that "must not be distributed" are layers as any other where their blob is there.
constexpr std::array<std::string_view, 10> layer_types = {
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
};

constexpr auto most_size = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

Result<Platform> read_platform(const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  Platform platform;
  CGX_CHECK(json::need(platform.os, from["os"]));
  CGX_CHECK(json::need(platform.architecture, from["architecture"]));
  CGX_CHECK(json::fill(platform.variant, from["variant"]));
  return platform;
}

Result<Descriptor> read_descriptor(const json::Value& from) {
  if (!from.there()) return from.missing();
  CGX_CHECK(from.expect(json::Kind::object));
  Descriptor descriptor;
  CGX_CHECK(json::need(descriptor.media_type, from["mediaType"]));
  const json::Value digest = from["digest"];
  if (!digest.there()) return digest.missing();
  const auto parsed = Digest::parse(CGX_TRY(digest.text()));
  if (!parsed) return digest.wrong(parsed.error().what);
  descriptor.digest = *parsed;
  const json::Value size = from["size"];
  if (!size.there()) return size.missing();
  descriptor.size = CGX_TRY(size.natural(0, most_size));
  if (from["platform"].there()) descriptor.platform = CGX_TRY(read_platform(from["platform"]));
  CGX_CHECK(json::fill(descriptor.annotations, from["annotations"]));
  return descriptor;
}

Result<std::vector<Descriptor>> read_descriptors(const json::Value& from) {
  if (!from.there()) return from.missing();
  CGX_CHECK(from.expect(json::Kind::list));
  std::vector<Descriptor> list;
  list.reserve(from.size());
  for (const json::Value item : from) {
    if (!item.there()) return item.wrong("must not be null");
    list.push_back(CGX_TRY(read_descriptor(item)));
  }
  return list;
}

// What index and manifest share: the version, and a media type that agrees with the descriptor's.
Result<> check_head(const json::Value& root, std::string_view media_type, Document kind) {
  const json::Value version = root["schemaVersion"];
  if (!version.there()) return version.missing();
  CGX_CHECK(version.natural(2, 2));
  const json::Value own = root["mediaType"];
  if (own.there()) {
    const std::string_view type = CGX_TRY(own.text());
    if (document_of(type) != kind) return own.wrong(kind == Document::index ? "is no index" : "is no manifest");
    if (!media_type.empty() && type != media_type)
      return own.wrong("is not what the descriptor says, which is \"" + std::string(media_type) + "\"");
  }
  const bool has_list = root["manifests"].there();
  const bool has_layers = root["layers"].there() || root["config"].there();
  if (has_list && has_layers)
    return root["manifests"].wrong("stands beside layers or config: this is two documents in one");
  return {};
}

void write_json(std::string& to, const json::Value& value) {
  const auto quoted = [](std::string_view text) { return sys::JsonWriter().string(text).take(); };
  bool first = true;
  switch (value.kind()) {
    case json::Kind::null:
      to += "null";
      break;
    case json::Kind::boolean:
      to += value.boolean().value_or(false) ? "true" : "false";
      break;
    case json::Kind::natural:
      to += std::to_string(value.natural(0, std::numeric_limits<std::uint64_t>::max()).value_or(0));
      break;
    case json::Kind::negative:
      to += std::to_string(value.integer(std::numeric_limits<std::int64_t>::min(), -1).value_or(0));
      break;
    case json::Kind::real:
      to += value.raw_text();
      break;
    case json::Kind::text:
      to += quoted(value.raw_text());
      break;
    case json::Kind::list:
      to += '[';
      for (const json::Value item : value) {
        if (!std::exchange(first, false)) to += ',';
        write_json(to, item);
      }
      to += ']';
      break;
    case json::Kind::object:
      to += '{';
      for (const json::Value item : value) {
        if (!std::exchange(first, false)) to += ',';
        to += quoted(item.key()) + ':';
        write_json(to, item);
      }
      to += '}';
      break;
  }
}

Result<json::Tree> parse_bounded(std::string_view text) {
  if (text.size() > most_document) return fail(E2BIG, "is longer than 4 MiB");
  return json::parse(text);
}

}  // namespace

std::string_view Descriptor::annotation(std::string_view key) const {
  for (const auto& [name, value] : annotations)
    if (name == key) return value;
  return {};
}

std::optional<Document> document_of(std::string_view media_type) {
  if (media_type == oci_index || media_type == docker_index) return Document::index;
  if (media_type == oci_manifest || media_type == docker_manifest) return Document::manifest;
  return std::nullopt;
}

bool is_config_type(std::string_view media_type) {
  return std::ranges::find(config_types, media_type) != config_types.end();
}
bool is_layer_type(std::string_view media_type) {
  return std::ranges::find(layer_types, media_type) != layer_types.end();
}

Result<Index> parse_index(std::string_view text, std::string_view media_type) {
  const json::Tree tree = CGX_TRY(parse_bounded(text));
  const json::Value root(tree, 0);
  CGX_CHECK(check_head(root, media_type, Document::index));
  return Index{CGX_TRY(read_descriptors(root["manifests"]))};
}

Result<Manifest> parse_manifest(std::string_view text, std::string_view media_type) {
  const json::Tree tree = CGX_TRY(parse_bounded(text));
  const json::Value root(tree, 0);
  CGX_CHECK(check_head(root, media_type, Document::manifest));
  Manifest manifest;
  manifest.config = CGX_TRY(read_descriptor(root["config"]));
  const json::Value type = root["config"]["mediaType"];
  if (!is_config_type(manifest.config.media_type))
    return type.wrong("is no configuration of a container image: this is another artifact");
  manifest.layers = CGX_TRY(read_descriptors(root["layers"]));
  for (const json::Value layer : root["layers"])
    if (!is_layer_type(layer["mediaType"].text().value_or("")))
      return layer["mediaType"].wrong("is no layer that can be unpacked");
  return manifest;
}

Result<ImageConfig> parse_config(std::string_view text) {
  const json::Tree tree = CGX_TRY(parse_bounded(text));
  const json::Value root(tree, 0);
  ImageConfig config;
  config.platform = CGX_TRY(read_platform(root));
  const json::Value rootfs = root["rootfs"];
  if (!rootfs.there()) return rootfs.missing();
  CGX_CHECK(rootfs.expect(json::Kind::object));
  std::string type;
  CGX_CHECK(json::need(type, rootfs["type"]));
  if (type != "layers") return rootfs["type"].wrong("must be \"layers\"");
  const json::Value ids = rootfs["diff_ids"];
  if (ids.there()) CGX_CHECK(ids.expect(json::Kind::list));
  for (const json::Value id : ids) {
    const auto digest = Digest::parse(CGX_TRY(id.text()));
    if (!digest) return id.wrong(digest.error().what);
    config.diff_ids.push_back(*digest);
  }
  const json::Value inner = root["config"];
  config.config = "{}";
  if (inner.there()) {
    CGX_CHECK(inner.expect(json::Kind::object));
    config.config.clear();
    write_json(config.config, inner);
  }
  return config;
}

Result<> check_layout_file(std::string_view text) {
  const json::Tree tree = CGX_TRY(parse_bounded(text));
  const json::Value version = json::Value(tree, 0)["imageLayoutVersion"];
  if (!version.there()) return version.missing();
  if (!CGX_TRY(version.text()).starts_with("1.")) return version.wrong("is not a version 1 of image layouts");
  return {};
}

Result<std::string> guess_media_type(std::string_view text) {
  const json::Tree tree = CGX_TRY(parse_bounded(text));
  const json::Value root(tree, 0);
  if (root["mediaType"].there()) return std::string(CGX_TRY(root["mediaType"].text()));
  return std::string(root["manifests"].there() ? oci_index : oci_manifest);
}

}  // namespace cgx::image
