// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics/body.h"

#include <algorithm>

#include <zlib.h>

namespace cgx::daemon {
namespace {

constexpr std::size_t piece_size = 65536;

// The fastest level: it makes a tenth of the size for a third of the time of the default one.
bool open_gzip(z_stream& stream) {
  constexpr int with_gzip_header = 15 + 16;
  constexpr int memory_level = 8;
  return deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, with_gzip_header, memory_level, Z_DEFAULT_STRATEGY) == Z_OK;
}

Bytef* bytes(char* text) { return reinterpret_cast<Bytef*>(text); }

}  // namespace

struct Body::Packer {
  z_stream stream{};
  bool open = false;
  bool done = false;
  Packer() : open(open_gzip(stream)) {}
  Packer(const Packer&) = delete;
  Packer& operator=(const Packer&) = delete;
  ~Packer() {
    if (open) (void)deflateEnd(&stream);  // it says only whether all was sent
  }
};

Body::Body(Page page, bool gzip) : page_(std::move(page)), packer_(gzip ? std::make_unique<Packer>() : nullptr) {}
Body::~Body() = default;

long Body::read(std::span<char> into) { return packer_ ? packed(into) : plain(into); }

long Body::plain(std::span<char> into) {
  while (sent_ == piece_.size()) {
    if (last_) return 0;
    piece_.clear();
    sent_ = 0;
    last_ = !page_.more(piece_, piece_size);
  }
  const std::size_t n = std::min(into.size(), piece_.size() - sent_);
  std::copy_n(piece_.data() + sent_, n, into.data());
  sent_ += n;
  return static_cast<long>(n);
}

long Body::packed(std::span<char> into) {
  if (!packer_->open) return -1;
  z_stream& stream = packer_->stream;
  stream.next_out = bytes(into.data());
  stream.avail_out = static_cast<uInt>(into.size());
  while (stream.avail_out == into.size() && !packer_->done) {
    if (stream.avail_in == 0 && !last_) {
      piece_.clear();
      last_ = !page_.more(piece_, piece_size);
      stream.next_in = bytes(piece_.data());
      stream.avail_in = static_cast<uInt>(piece_.size());
    }
    const int status = deflate(&stream, last_ ? Z_FINISH : Z_NO_FLUSH);
    if (status == Z_STREAM_END) packer_->done = true;
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) return -1;
  }
  return static_cast<long>(into.size() - stream.avail_out);
}

std::string gzip(std::string_view text) {
  z_stream stream{};
  if (!open_gzip(stream)) return {};
  std::string out(deflateBound(&stream, text.size()), '\0');
  std::string in(text);
  stream.next_in = bytes(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = bytes(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int status = deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  (void)deflateEnd(&stream);
  return status == Z_STREAM_END ? out : std::string();
}

}  // namespace cgx::daemon
