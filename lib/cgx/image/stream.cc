// SPDX-License-Identifier: Apache-2.0
#include "cgx/image/stream.h"

#include <array>
#include <cerrno>
#include <utility>
#include <vector>

#include <archive.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive_entry.h>
#include <fmt/format.h>

#include "cgx/image/archive.h"
#include "cgx/sys/count.h"

namespace cgx::image {
namespace {

constexpr std::size_t read_bytes = 256U << 10U;

// By the content: tools have written plain tars under the media type of packed ones, and the DiffID decides in the end.
// A filter is set, not looked for: libarchive would look for a next one within it, up to 25 of them.
int filter_of(std::span<const unsigned char> head) {
  const auto at = [&](std::size_t i) { return i < head.size() ? unsigned{head[i]} : 0U; };
  if (at(0) == 0x1f && at(1) == 0x8b) return ARCHIVE_FILTER_GZIP;
  const bool frame = at(0) == 0x28 && at(1) == 0xb5 && at(2) == 0x2f && at(3) == 0xfd;
  const bool skippable = (at(0) & 0xf0U) == 0x50 && at(1) == 0x2a && at(2) == 0x4d && at(3) == 0x18;
  return frame || skippable ? ARCHIVE_FILTER_ZSTD : ARCHIVE_FILTER_NONE;
}

}  // namespace

struct LayerStream::State {
  int blob = -1;
  Descriptor descriptor;
  Digest diff_id;
  Limits limits;
  const std::atomic<bool>* stop = nullptr;
  Sha256 blob_hash, tar_hash;
  std::uint64_t blob_read = 0, tar_read = 0;
  std::vector<std::byte> input;
  std::optional<Error> problem;  // of the callback
  Reader raw;
  bool ended = false;

  // The next bytes of the blob, of which nothing is used that is not hashed.
  Result<std::span<const std::byte>> read_blob() {
    if (stop != nullptr && *stop) return fail(EINTR, "interrupted");
    ssize_t n = -1;
    do n = pread(blob, input.data(), input.size(), static_cast<off_t>(blob_read));
    while (n < 0 && errno == EINTR);
    if (n < 0) return fail_errno(errno, "cannot read the blob");
    const auto bytes = std::span<const std::byte>(input).first(static_cast<std::size_t>(n));
    blob_read += bytes.size();
    if (blob_read > descriptor.size)
      return fail(EBADMSG, fmt::format("the blob is longer than {}", sys::counted(descriptor.size, "byte")));
    CGX_CHECK(blob_hash.add(bytes));
    return bytes;
  }

  static la_ssize_t on_read(archive* reader, void* data, const void** bytes) {
    auto* self = static_cast<State*>(data);
    auto piece = self->read_blob();
    if (!piece) {
      archive_set_error(reader, piece.error().code, "%s", piece.error().what.c_str());
      self->problem = std::move(piece).error();
      return -1;
    }
    *bytes = piece->data();
    return static_cast<la_ssize_t>(piece->size());
  }

  Result<> begin(int filter) {
    archive_entry* entry = nullptr;
    if (archive_read_support_format_raw(raw.get()) != ARCHIVE_OK ||
        archive_read_append_filter(raw.get(), filter) != ARCHIVE_OK)
      return refused("cannot read layers");
    // Nothing at all is no tar either; nor is it told from what breaks off within the first bytes.
    if (archive_read_open2(raw.get(), this, nullptr, on_read, nullptr, nullptr) != ARCHIVE_OK ||
        archive_read_next_header(raw.get(), &entry) != ARCHIVE_OK)
      return refused("cannot be read");
    return {};
  }

  [[nodiscard]] std::unexpected<Error> refused(std::string_view what) {
    if (problem) return std::unexpected(*problem);
    return fail(EBADMSG, fmt::format("{}: {}", what, raw.message()));
  }
};

LayerStream::LayerStream() : state_(std::make_unique<State>()) {}
LayerStream::~LayerStream() = default;

Result<std::unique_ptr<LayerStream>> LayerStream::open(int blob,
                                                       const Descriptor& descriptor,
                                                       const Digest& diff_id,
                                                       const Limits& limits,
                                                       const std::atomic<bool>* stop) {
  struct stat st{};
  if (fstat(blob, &st) != 0) return fail_errno(errno, "cannot read the blob");
  if (static_cast<std::uint64_t>(st.st_size) != descriptor.size)
    return fail(
        EBADMSG,
        fmt::format(
            "the blob has {}, not {}", sys::counted(static_cast<std::uint64_t>(st.st_size), "byte"), descriptor.size));
  std::unique_ptr<LayerStream> stream(new LayerStream());
  State& state = *stream->state_;
  state.blob = blob;
  state.descriptor = descriptor;
  state.diff_id = diff_id;
  state.limits = limits;
  state.stop = stop;
  state.blob_hash = CGX_TRY(Sha256::start());
  state.tar_hash = CGX_TRY(Sha256::start());
  state.input.resize(read_bytes);
  state.raw = CGX_TRY(Reader::make());
  (void)posix_fadvise(blob, 0, 0, POSIX_FADV_SEQUENTIAL);  // a hint
  std::array<unsigned char, 4> head{};
  const ssize_t n = pread(blob, head.data(), head.size(), 0);
  if (n < 0) return fail_errno(errno, "cannot read the blob");
  auto begun = state.begin(filter_of(std::span(head).first(static_cast<std::size_t>(n))));
  // Where it is not the blob that was meant, that is the better answer.
  if (!begun && begun.error().code == EBADMSG) CGX_CHECK(stream->check_blob());
  CGX_CHECK(std::move(begun));
  return stream;
}

Result<std::span<const std::byte>> LayerStream::next() {
  State& state = *state_;
  if (state.ended) return std::span<const std::byte>{};
  const void* data = nullptr;
  std::size_t size = 0;
  la_int64_t offset = 0;  // has no gaps in this format
  const int status = archive_read_data_block(state.raw.get(), &data, &size, &offset);
  if (status != ARCHIVE_OK && status != ARCHIVE_EOF) return state.refused("cannot be unpacked");
  if (status == ARCHIVE_EOF || size == 0) {
    state.ended = true;
    return std::span<const std::byte>{};
  }
  const std::span bytes(static_cast<const std::byte*>(data), size);
  state.tar_read += bytes.size();
  if (state.tar_read > state.limits.bytes)
    return fail(EFBIG, fmt::format("is longer than {} as it is unpacked", sys::counted(state.limits.bytes, "byte")));
  // Against the bytes that were read, not the length that is said: pieces are read as they are needed.
  if (state.tar_read > state.limits.free_bytes && state.tar_read / state.limits.ratio > state.blob_read)
    return fail(EFBIG, fmt::format("is more than {} times longer as it is unpacked", state.limits.ratio));
  CGX_CHECK(state.tar_hash.add(bytes));
  return bytes;
}

Result<> LayerStream::check_blob() {
  State& state = *state_;
  while (!CGX_TRY(state.read_blob()).empty()) {
  }
  if (state.blob_read != state.descriptor.size)
    return fail(EBADMSG,
                fmt::format("the blob has {}, not {}", sys::counted(state.blob_read, "byte"), state.descriptor.size));
  const Digest blob = CGX_TRY(state.blob_hash.finish());
  if (blob != state.descriptor.digest) return fail(EBADMSG, "the blob's digest is " + blob.text());
  return {};
}

Result<> LayerStream::finish() {
  State& state = *state_;
  while (!state.ended) (void)CGX_TRY(next());
  // With what follows the packed data, which no filter has asked for.
  CGX_CHECK(check_blob());
  const Digest tar = CGX_TRY(state.tar_hash.finish());
  if (tar != state.diff_id)
    return fail(EBADMSG, "its DiffID is " + tar.text() + ", the configuration says " + state.diff_id.text());
  return {};
}

}  // namespace cgx::image
