// SPDX-License-Identifier: Apache-2.0
// The pure parts of images: digests, platforms, documents, references, names of entries.
#include "cgx/image/image.h"

#include <cerrno>
#include <string>

#include <doctest/doctest.h>

namespace cgx::image::image_test {

// NOLINTBEGIN(cert-err58-cpp): where memory runs out here, a test has failed
const std::string hex(64, 'a');
const std::string digest = "sha256:" + hex;
const std::string manifest_type = "application/vnd.oci.image.manifest.v1+json";
const std::string index_type = "application/vnd.oci.image.index.v1+json";
// NOLINTEND(cert-err58-cpp)

std::string descriptor(const std::string& type, const std::string& more = "") {
  return R"({"mediaType":")" + type + R"(","size":7,"digest":")" + digest + "\"" + more + "}";
}
std::string manifest(const std::string& layer, const std::string& more = "") {
  return R"({"schemaVersion":2,"config":)" + descriptor("application/vnd.oci.image.config.v1+json") + R"(,"layers":[)" +
         layer + "]" + more + "}";
}
// NOLINTNEXTLINE(cert-err58-cpp)
const std::string layer = descriptor("application/vnd.oci.image.layer.v1.tar+gzip");

Descriptor for_platform(const char* platform, const char* name) {
  Descriptor d{.media_type = manifest_type, .digest = *digest_of(name), .size = 1};
  if (*platform != '\0') d.platform = *parse_platform(platform);
  return d;
}

TEST_CASE("image: digests are checked before they are part of a path") {
  CHECK(Digest::parse(digest)->hex() == hex);
  CHECK(Digest::parse_hex(hex)->text() == digest);
  for (const std::string& bad : {std::string(),
                                 std::string("sha256:"),
                                 "sha512:" + hex,
                                 "sha256:" + hex + "a",
                                 "sha256:" + std::string(64, 'A'),
                                 "sha256:../" + std::string(61, 'a'),
                                 "SHA256:" + hex,
                                 digest + "\n"})
    CHECK_FALSE(Digest::parse(bad));
  CHECK_FALSE(Digest::parse(hex));
  CHECK(digest_of("")->text() == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("image: platforms") {
  CHECK(platform_of_machine("aarch64").text() == "linux/arm64/v8");
  CHECK(platform_of_machine("x86_64").text() == "linux/amd64");
  CHECK(platform_of_machine("sparc64").text() == "linux/sparc64");
  const auto rank = [](const char* image, const char* host) {
    return platform_rank(*parse_platform(image), *parse_platform(host));
  };
  CHECK(rank("linux/amd64", "linux/amd64/v3") > 0);
  CHECK(rank("linux/amd64/v2", "linux/amd64/v3") > rank("linux/amd64", "linux/amd64/v3"));
  CHECK(rank("linux/amd64/v3", "linux/amd64/v3") > rank("linux/amd64/v2", "linux/amd64/v3"));
  CHECK(rank("linux/amd64/v4", "linux/amd64/v3") == 0);
  CHECK(rank("linux/arm64", "linux/arm64/v8") > 0);
  CHECK(rank("linux/arm/v8", "linux/arm/v7") == 0);
  CHECK(rank("linux/arm/v6", "linux/arm/v7") > 0);
  CHECK(rank("windows/amd64", "linux/amd64") == 0);
  for (const char* bad : {"", "linux", "linux/", "/amd64", "linux/arm/v7/x"}) CHECK_FALSE(parse_platform(bad));
}

TEST_CASE("image: of an index the best one is chosen, the first of the best") {
  const Platform host = *parse_platform("linux/amd64/v3");
  const auto chosen = choose_platform({for_platform("linux/arm64", "a"),
                                       for_platform("unknown/unknown", "b"),
                                       for_platform("", "c"),
                                       for_platform("linux/amd64", "d"),
                                       for_platform("linux/amd64", "e")},
                                      host);
  REQUIRE(chosen);
  CHECK(chosen->digest == *digest_of("d"));
  CHECK(choose_platform({for_platform("", "c")}, host)->digest == *digest_of("c"));
  const auto none = choose_platform({for_platform("linux/arm64/v8", "a")}, host);
  REQUIRE_FALSE(none);
  CHECK(none.error().code == ENOENT);
  CHECK(none.error().what == "no image for linux/amd64/v3: there are those for linux/arm64/v8");
}

TEST_CASE("image: manifests") {
  const auto read = parse_manifest(manifest(layer), manifest_type);
  REQUIRE(read);
  CHECK(read->layers.size() == 1);
  CHECK(read->layers[0].size == 7);
  const auto refused = [](const std::string& text, const std::string& type = manifest_type) {
    const auto result = parse_manifest(text, type);
    return result ? std::string("taken") : result.error().text();
  };
  // What could be taken for two kinds of document.
  CHECK(refused(manifest(layer, R"(,"manifests":[])")).find("two documents in one") != std::string::npos);
  CHECK(refused(manifest(layer, R"(,"mediaType":")" + index_type + "\"")).find("is no manifest") != std::string::npos);
  CHECK(refused(manifest(layer, R"(,"mediaType":")" + manifest_type + "\""),
                "application/vnd.docker.distribution.manifest.v2+json")
            .find("is not what the descriptor says") != std::string::npos);
  CHECK(refused(manifest(descriptor("application/x-rpm"))).starts_with("layers[0].mediaType: "));
  CHECK(refused(manifest(R"({"mediaType":"a","digest":")" + digest + "\"}")) == "layers[0].size: is missing");
  CHECK(refused(manifest(layer, R"(,"schemaVersion":2)")).find("stands twice") != std::string::npos);
  CHECK(refused("[]") != "taken");
  CHECK(refused(std::string(most_document + 1, ' ')) == "is longer than 4 MiB");
}

TEST_CASE("image: configurations, of which `config` stays as it is") {
  const std::string head =
      R"({"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[")" + digest + R"("]},"config":)";
  const std::string inner = R"({"Env":["A=\"\\"],"n":-1,"r":1.50,"b":true,"z":null,"o":{},"l":[1,[]]})";
  const auto config = parse_config(head + inner + "}");
  REQUIRE(config);
  CHECK(config->config == inner);
  CHECK(config->diff_ids.size() == 1);
  CHECK(parse_config(head + "null}")->config == "{}");
  CHECK_FALSE(parse_config(head + "[]}"));
  CHECK_FALSE(parse_config(R"({"os":"linux","architecture":"amd64","rootfs":{"type":"zip"}})"));
  CHECK_FALSE(parse_config(R"({"os":"linux","rootfs":{"type":"layers"}})"));
}

TEST_CASE("image: references whose directory is not there") {
  CHECK(parse_reference("/none/x:tag")->directory == "/none/x");
  CHECK(parse_reference("/none/x:tag")->tag == "tag");
  CHECK(parse_reference("/none:x/y")->directory == "/none:x/y");
  CHECK(parse_reference("/none@" + digest)->digest.text() == digest);
  CHECK_FALSE(parse_reference("/none@sha256:1"));
}

TEST_CASE("image: names of entries") {
  CHECK(path_parts("./a//b/./c/")->size() == 3);
  CHECK(path_parts("/")->empty());
  CHECK(path_parts("./")->empty());
  for (const std::string& bad : {std::string(),
                                 std::string(".."),
                                 std::string("a/../b"),
                                 std::string("/.."),
                                 std::string(256, 'x'),
                                 std::string(4097, '/')})
    CHECK_FALSE(path_parts(bad));
  CHECK(path_parts("..a/b..")->size() == 2);
  CHECK(may_have_xattr("user.a"));
  CHECK(may_have_xattr("security.capability"));
  for (const char* name :
       {"user.overlay.opaque", "trusted.overlay.opaque", "trusted.x", "security.selinux", "system.x", ""})
    CHECK_FALSE(may_have_xattr(name));
}

TEST_CASE("image: what is mounted of layers") {
  const auto make = [](const char* path, bool root_opaque = false) {
    return Layer{.diff_id = {}, .path = path, .root_opaque = root_opaque, .warnings = {}};
  };
  using Paths = std::vector<std::string>;
  CHECK(lower_directories({make("a"), make("b"), make("c")}) == Paths{"a", "b", "c"});
  CHECK(lower_directories({make("a"), make("b"), make("a")}) == Paths{"b", "a"});
  CHECK(lower_directories({make("a"), make("b", true), make("c")}) == Paths{"b", "c"});
  CHECK(lower_directories({}).empty());
}

}  // namespace cgx::image::image_test
