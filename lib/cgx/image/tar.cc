// SPDX-License-Identifier: Apache-2.0
#include "cgx/image/tar.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <optional>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <archive_entry.h>

#include "cgx/image/archive.h"

namespace cgx::image {
namespace {

constexpr std::size_t hole_bytes = 4U << 10U;  // pieces are 64 KiB and begin anywhere
constexpr std::uint64_t most_major = 0xfff, most_minor = 0xfffff;

struct TarInput {
  Source* source = nullptr;
  std::optional<Error> problem;

  static la_ssize_t on_read(archive* reader, void* data, const void** bytes) {
    auto* self = static_cast<TarInput*>(data);
    auto piece = self->source->next();
    if (!piece) {
      archive_set_error(reader, piece.error().code, "%s", piece.error().what.c_str());
      self->problem = std::move(piece).error();
      return -1;
    }
    if (piece->empty()) return self->fill_up(bytes);
    self->total += piece->size();
    *bytes = piece->data();
    return static_cast<la_ssize_t>(piece->size());
  }

  // Some writers end the tar with the last byte of its last file. The digest says that it is what they wrote.
  la_ssize_t fill_up(const void** bytes) {
    static constexpr std::array<std::byte, 512> zeros{};
    const std::size_t missing = (zeros.size() - total % zeros.size()) % zeros.size();
    total += missing;
    *bytes = zeros.data();
    return static_cast<la_ssize_t>(missing);
  }
  std::uint64_t total = 0;
};

bool all_zero(std::span<const char> bytes) {
  return bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

Result<> write_at(int file, std::span<const char> bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "cannot be written");
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

// Runs of zeros stay holes: a file of them costs what it costs in the tar.
Result<> write_block(int file, std::span<const char> bytes, std::uint64_t offset) {
  if (offset > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max()) - bytes.size())
    return fail_errno(EFBIG, "cannot be written");
  while (!bytes.empty()) {
    // Up to the next zeros, by whole blocks of the file.
    std::size_t data = 0;
    std::size_t zeros = 0;
    while (data < bytes.size()) {
      const std::size_t size = std::min<std::size_t>(bytes.size() - data, hole_bytes - (offset + data) % hole_bytes);
      if (size == hole_bytes && all_zero(bytes.subspan(data, size))) {
        zeros = size;
        break;
      }
      data += size;
    }
    CGX_CHECK(write_at(file, bytes.first(data), offset));
    bytes = bytes.subspan(data + zeros);
    offset += data + zeros;
  }
  return {};
}

class Entries {
 public:
  Entries(Source& from, LayerTree& to) : tree_(to) { input_.source = &from; }

  Result<> run() {
    reader_ = CGX_TRY(Reader::make());
    archive* tar = reader_.get();
    if (archive_read_support_format_tar(tar) != ARCHIVE_OK ||
        archive_read_append_filter(tar, ARCHIVE_FILTER_NONE) != ARCHIVE_OK ||
        archive_read_open2(tar, &input_, nullptr, TarInput::on_read, nullptr, nullptr) != ARCHIVE_OK)
      return refused();
    while (true) {
      archive_entry* entry = nullptr;
      const int status = archive_read_next_header(tar, &entry);
      if (status == ARCHIVE_EOF) return tree_.finish();
      if (status == ARCHIVE_RETRY || status == ARCHIVE_FATAL) return refused();
      const char* name = archive_entry_pathname(entry);
      const std::string path = name != nullptr ? name : "";
      // A name that is not of this locale is as it should be; other warnings are of headers that are wrong.
      if (status == ARCHIVE_WARN && reader_.message().find("can't be converted") == std::string::npos)
        return located_entry(refused(), path);
      if (auto done = unpack(entry, path); !done) return located_entry(std::move(done), path);
    }
  }

 private:
  [[nodiscard]] Result<> refused() const {
    if (input_.problem) return std::unexpected(*input_.problem);
    return fail(EBADMSG, "is no tar that can be read: " + reader_.message());
  }

  // What comes from the layer, not from the entry, has no name of an entry.
  [[nodiscard]] Result<> located_entry(Result<> result, const std::string& path) const {
    if (!input_.problem) result.error().value = path.empty() ? "." : path;
    return result;
  }

  static Attributes attributes_of(archive_entry* entry) {
    Attributes a;
    a.mode = archive_entry_perm(entry) & 07777U;
    a.uid = archive_entry_uid(entry);
    a.gid = archive_entry_gid(entry);
    a.mtime = archive_entry_mtime(entry);
    a.mtime_nsec = archive_entry_mtime_nsec(entry);
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    archive_entry_xattr_reset(entry);
    while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK)
      if (name != nullptr) a.xattrs.emplace_back(name, std::string(static_cast<const char*>(value), size));
    return a;
  }

  Result<> unpack(archive_entry* entry, const std::string& path) {
    const auto parts = CGX_TRY(path_parts(path));
    if (CGX_TRY(tree_.mark(parts))) return {};
    if (const char* target = archive_entry_hardlink(entry); target != nullptr) {
      const auto to = path_parts(target);
      if (!to)
        return fail(to.error().code, "is a hard link to \"" + std::string(target) + "\", which " + to.error().what);
      return tree_.hard_link(parts, *to);
    }
    const Attributes a = attributes_of(entry);
    switch (archive_entry_filetype(entry)) {
      case AE_IFDIR:
        return tree_.directory(parts, a);
      case AE_IFREG:
        return file(entry, parts, a);
      case AE_IFLNK: {
        const char* target = archive_entry_symlink(entry);
        return tree_.symlink(parts, target != nullptr ? target : "", a);
      }
      case AE_IFIFO:
        return tree_.node(parts, S_IFIFO, 0, a);
      case AE_IFCHR:
      case AE_IFBLK: {
        // Numbers that the kernel has no bits for would become others: 4096:0 would be 0:0.
        const std::uint64_t major = archive_entry_rdevmajor(entry);
        const std::uint64_t minor = archive_entry_rdevminor(entry);
        if (major > most_major || minor > most_minor) return fail(EINVAL, "is a device whose number is out of range");
        const dev_t device = makedev(static_cast<unsigned>(major), static_cast<unsigned>(minor));
        return tree_.node(parts, archive_entry_filetype(entry) == AE_IFCHR ? S_IFCHR : S_IFBLK, device, a);
      }
      case AE_IFSOCK:
        tree_.socket();  // nobody listens in an image
        return {};
      default:
        return fail(EINVAL, "is of a kind that a layer cannot have");
    }
  }

  Result<> file(archive_entry* entry, const std::vector<std::string>& parts, const Attributes& a) {
    const la_int64_t size = archive_entry_size(entry);
    if (size < 0) return fail(EINVAL, "has a negative size");
    const sys::Fd file = CGX_TRY(tree_.begin_file(parts));
    while (true) {
      const void* bytes = nullptr;
      std::size_t count = 0;
      la_int64_t offset = 0;
      const int status = archive_read_data_block(reader_.get(), &bytes, &count, &offset);
      if (status == ARCHIVE_EOF) break;
      if (status != ARCHIVE_OK) return refused();
      if (count == 0) continue;
      // The map of a sparse file may say anything.
      if (offset < 0 || offset > size || count > static_cast<std::uint64_t>(size - offset))
        return fail(EBADMSG, "has data behind its end");
      CGX_CHECK(write_block(file.get(), {static_cast<const char*>(bytes), count}, static_cast<std::uint64_t>(offset)));
    }
    return tree_.end_file(file, static_cast<std::uint64_t>(size), a);
  }

  LayerTree& tree_;
  TarInput input_;
  Reader reader_;
};

}  // namespace

Result<> unpack_tar(Source& from, LayerTree& to) { return Entries(from, to).run(); }

}  // namespace cgx::image
