// SPDX-License-Identifier: Apache-2.0
// Names of content: `sha256:` and 64 hexadecimal digits. A Digest is checked where it is made, so that it can be a part
// of a path. Image specification, descriptor.md; sha512, which it registers too, is not in use by any registry.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "cgx/sys/result.h"

namespace cgx::image {

class Digest {
 public:
  Digest() = default;  // of nothing: empty
  // Exactly `sha256:[0-9a-f]{64}`; EINVAL else.
  [[nodiscard]] static Result<Digest> parse(std::string_view text);
  // The same, or the 64 digits alone.
  [[nodiscard]] static Result<Digest> parse_hex(std::string_view text);

  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] std::string hex() const { return text_.empty() ? std::string() : text_.substr(7); }
  [[nodiscard]] bool empty() const { return text_.empty(); }
  bool operator==(const Digest&) const = default;
  auto operator<=>(const Digest&) const = default;

 private:
  std::string text_;
};

// The digest of bytes that come in pieces. Move-only.
class Sha256 {
 public:
  [[nodiscard]] static Result<Sha256> start();  // ENOMEM; ENOTSUP: libcrypto has none (a restricted configuration)
  [[nodiscard]] Result<> add(std::span<const std::byte> bytes);
  // Of all that was added. Called once.
  [[nodiscard]] Result<Digest> finish();

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;
};

[[nodiscard]] Result<Digest> digest_of(std::string_view bytes);

}  // namespace cgx::image
