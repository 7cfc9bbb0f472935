// SPDX-License-Identifier: Apache-2.0
#include "cgx/image/digest.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>
#include <openssl/evp.h>

namespace cgx::image {
namespace {

constexpr std::string_view digest_prefix = "sha256:";
constexpr std::size_t hex_digits = 64;

EVP_MD_CTX* md_of(void* context) { return static_cast<EVP_MD_CTX*>(context); }

}  // namespace

Result<Digest> Digest::parse(std::string_view text) {
  if (!text.starts_with(digest_prefix)) return bad_value(text, "is no digest: only sha256:... is supported");
  return parse_hex(text);
}

Result<Digest> Digest::parse_hex(std::string_view text) {
  std::string_view hex = text;
  if (hex.starts_with(digest_prefix)) hex.remove_prefix(digest_prefix.size());
  const bool digits = std::ranges::all_of(hex, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (hex.size() != hex_digits || !digits) return bad_value(text, "is no digest: sha256 has 64 digits 0-9 and a-f");
  Digest digest;
  digest.text_ = std::string(digest_prefix) + std::string(hex);
  return digest;
}

void Sha256::Free::operator()(void* context) const { EVP_MD_CTX_free(md_of(context)); }

Result<Sha256> Sha256::start() {
  Sha256 hash;
  hash.context_.reset(EVP_MD_CTX_new());
  if (!hash.context_) return fail_errno(ENOMEM, "sha256");
  if (EVP_DigestInit_ex(md_of(hash.context_.get()), EVP_sha256(), nullptr) != 1)
    return fail(ENOTSUP, "libcrypto has no sha256 here");
  return hash;
}

Result<> Sha256::add(std::span<const std::byte> bytes) {
  if (EVP_DigestUpdate(md_of(context_.get()), bytes.data(), bytes.size()) != 1) return fail(EIO, "sha256 failed");
  return {};
}

Result<Digest> Sha256::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned size = 0;
  if (EVP_DigestFinal_ex(md_of(context_.get()), bytes.data(), &size) != 1) return fail(EIO, "sha256 failed");
  std::string hex;
  for (const unsigned char byte : std::span(bytes).first(size)) hex += fmt::format("{:02x}", unsigned{byte});
  return Digest::parse_hex(hex);
}

Result<Digest> digest_of(std::string_view bytes) {
  Sha256 hash = CGX_TRY(Sha256::start());
  CGX_CHECK(hash.add(std::as_bytes(std::span(bytes))));
  return hash.finish();
}

}  // namespace cgx::image
