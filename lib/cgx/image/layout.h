// SPDX-License-Identifier: Apache-2.0
// An OCI image layout (image-layout.md): a directory with oci-layout, index.json and blobs/sha256/HEX. Nothing in it is
// trusted: what is read of a blob has been compared with its digest and size.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cgx/image/documents.h"
#include "cgx/sys/fd.h"

namespace cgx::image {

// LAYOUT[:TAG][@sha256:...], before it is known what of it is the directory's name.
struct Reference {
  std::string directory;
  std::string tag;  // empty: none given
  Digest digest;    // empty: none given
};

// An image that is ready to be unpacked.
struct Image {
  Descriptor manifest;
  std::string tag;  // that the index has for it; empty: none
  Manifest content;
  ImageConfig config;
};

class Layout {
 public:
  // ENOENT, ENOTDIR: no such directory, or no image layout.
  [[nodiscard]] static Result<Layout> open(const std::string& directory);

  // The image of the tag, or the only one, or `latest`; ENOENT, with the tags that there are. Of an index, the image
  // for `platform`; ENOENT, with the platforms that there are.
  [[nodiscard]] Result<Image> resolve(const Reference& reference, const Platform& platform) const;

  // A document, verified.
  [[nodiscard]] Result<std::string> read_blob(const Descriptor& descriptor) const;
  // A blob as a file, of which nothing but its length has been verified.
  [[nodiscard]] Result<sys::Fd> open_blob(const Descriptor& descriptor) const;

 private:
  [[nodiscard]] Result<Descriptor> entry(const Index& index,
                                         const Reference& reference,
                                         const Platform& platform) const;
  [[nodiscard]] Result<Descriptor> by_digest(const Index& index, const Digest& digest) const;
  [[nodiscard]] std::vector<Descriptor> with_platforms(std::vector<Descriptor> descriptors) const;
  [[nodiscard]] Result<Descriptor> narrowed(Descriptor descriptor, const Platform& platform) const;
  sys::Fd dir_;
};

// Which part is the directory: the shortest one before a colon that has an `oci-layout` in it, for tags may have colons
// and slashes ("docker.io/library/busybox:1.35"). EINVAL: what follows @ is no digest.
[[nodiscard]] Result<Reference> parse_reference(std::string_view text);

// Pure: which of several descriptors is the image for `platform`; ENOENT. The first one of the best rank.
[[nodiscard]] Result<Descriptor> choose_platform(const std::vector<Descriptor>& from, const Platform& platform);

}  // namespace cgx::image
