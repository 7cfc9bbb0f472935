// SPDX-License-Identifier: Apache-2.0
// A layer: whatever the tar is, nothing is made beside its root, no mark of overlayfs comes of an entry's attributes,
// and all of it can be removed again. Without devices, as the fuzzer may be root.
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgx/image/paths.h"
#include "cgx/image/tar.h"
#include "cgx/sys/remove_tree.h"

#include "fuzz.h"

namespace {

using namespace cgx::image;

class Bytes : public Source {
 public:
  explicit Bytes(std::string_view all) : rest_(std::as_bytes(std::span(all))) {}
  cgx::Result<std::span<const std::byte>> next() override {
    const auto piece = rest_.first(std::min<std::size_t>(rest_.size(), 700));  // across blocks
    rest_ = rest_.subspan(piece.size());
    return piece;
  }

 private:
  std::span<const std::byte> rest_;
};

// Removed when the fuzzer ends; a crash leaves it.
struct Scratch {
  std::string path = "/dev/shm/cgx-test-fuzz-layer-XXXXXX";
  cgx::sys::Fd dir;
  Scratch() {
    FUZZ_CHECK(mkdtemp(path.data()) != nullptr);
    dir.reset(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    FUZZ_CHECK(dir.valid());
  }
  ~Scratch() { std::filesystem::remove_all(path); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

}  // namespace

void cgx::fuzz::one(std::string_view input) {
  static const Scratch scratch;
  FUZZ_CHECK(mkdirat(scratch.dir.get(), "fs", 0755) == 0);
  {
    const sys::Fd root(openat(scratch.dir.get(), "fs", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    LayerTree tree(root.get(), {.opaque = Opaque::user, .devices = false, .entries = 100});
    Bytes bytes(input);
    const auto unpacked = unpack_tar(bytes, tree);
    if (!unpacked) FUZZ_CHECK(!unpacked.error().what.empty() && unpacked.error().code != 0);
    if (unpacked) FUZZ_CHECK(tree.report().entries <= 100);
  }
  FUZZ_CHECK(cgx::sys::remove_tree(scratch.dir.get(), "fs"));
  FUZZ_CHECK(std::filesystem::is_empty(scratch.path));
}
