// SPDX-License-Identifier: Apache-2.0
// Inside image/: the bytes of a layer's tar, out of its blob, in one pass: the blob is hashed as it is read, unpacked,
// and the tar is hashed as it is handed on. What is handed on is not verified before finish() has said so.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "cgx/image/documents.h"
#include "cgx/sys/fd.h"

namespace cgx::image {

// Bounds of what a layer may cost. Gzip packs at most 1032 to 1, zstd far better: what small files say they are is
// believed up to `free_bytes`.
struct Limits {
  std::uint64_t bytes = 64ULL << 30U;      // of the tar
  std::uint64_t ratio = 250;               // tar to blob
  std::uint64_t free_bytes = 1ULL << 30U;  // from which on the ratio counts
  std::uint64_t entries = 1U << 20U;
};

// Where pieces of the tar come from.
class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;
  // The next piece, valid until the next call. Empty: there is no more.
  [[nodiscard]] virtual Result<std::span<const std::byte>> next() = 0;
};

// Verifies blob and tar. `stop` (may be nullptr) set: the next call answers EINTR.
class LayerStream : public Source {
 public:
  // Reads `blob` from its start; it outlives the stream.
  [[nodiscard]] static Result<std::unique_ptr<LayerStream>> open(int blob,
                                                                 const Descriptor& descriptor,
                                                                 const Digest& diff_id,
                                                                 const Limits& limits,
                                                                 const std::atomic<bool>* stop);
  ~LayerStream() override;
  [[nodiscard]] Result<std::span<const std::byte>> next() override;
  // Reads what is left of tar and blob, and compares. EBADMSG: a digest, or the size, is another one.
  [[nodiscard]] Result<> finish();
  // The blob alone, whatever can be made of it. Instead of finish().
  [[nodiscard]] Result<> check_blob();

 private:
  LayerStream();
  struct State;
  std::unique_ptr<State> state_;
};

// Calls next() of another source in a thread of its own, up to some pieces ahead: unpacking and writing are two
// processors' work.
class Ahead : public Source {
 public:
  // `from` outlives it, and is used by nobody else meanwhile. EAGAIN: no thread can be made.
  [[nodiscard]] static Result<std::unique_ptr<Ahead>> start(Source& from);
  Ahead(const Ahead&) = delete;
  Ahead& operator=(const Ahead&) = delete;
  ~Ahead() override;  // waits for the thread
  [[nodiscard]] Result<std::span<const std::byte>> next() override;

 private:
  Ahead();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cgx::image
