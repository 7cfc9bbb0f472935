// SPDX-License-Identifier: Apache-2.0
// A directory of unpacked layers, shared by all images and callers:
//
//   STORE/layers/sha256/HEX/fs          a layer, to be a lower directory of overlayfs; HEX is its DiffID
//   STORE/layers/sha256/HEX/layer.json  what is to be known of it
//   STORE/layers/tmp/HEX                the same while it is made, or removed
//   STORE/layers/lock/HEX               held (fcntl(2), open file description) by who makes or removes it
//   STORE/layers/lock/store             shared by who unpacks, exclusive by who prunes
//
// STORE/layers is 0700: files of layers may be setuid, and old. A layer appears by one rename when all of it is on the
// disk, and disappears by one. What a SIGKILL leaves is in tmp/, where nobody takes it for a layer; the lock of its
// maker is gone with it. A launcher that holds lock/store shared, from before it unpacks until it has written down
// which layers it uses, cannot lose one to a prune in between.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "cgx/image/digest.h"
#include "cgx/image/layout.h"
#include "cgx/image/stream.h"
#include "cgx/image/tree.h"

namespace cgx::image {

struct UnpackOptions {
  Opaque opaque = Opaque::trusted;
  Limits limits;
  bool devices = true;                      // false: as where they cannot be made
  bool sync = true;                         // false: after a power cut there may be layers with empty files
  const std::atomic<bool>* stop = nullptr;  // set: ends with EINTR
};

struct Layer {
  Digest diff_id;
  std::string path;          // absolute, of `fs`
  bool unpacked = false;     // now, by this call
  bool root_opaque = false;  // hides all layers below it
  std::vector<std::string> warnings;
};

class Store {
 public:
  // Made where it is missing. `path` is kept as an absolute one.
  [[nodiscard]] static Result<Store> open(const std::string& path);

  // While the answer lives, prune() waits; or the other way round. Blocks.
  [[nodiscard]] Result<sys::Fd> share() const;
  // The layer, unpacked if it is not there yet. Waits where somebody else is unpacking it. Errors name the layer;
  // nothing is left of it then.
  [[nodiscard]] Result<Layer> layer(const Layout& layout,
                                    const Descriptor& descriptor,
                                    const Digest& diff_id,
                                    const UnpackOptions& options);

  // Paths of what has been removed: what nobody is making any more.
  [[nodiscard]] Result<std::vector<std::string>> clean();
  // All layers but these. Waits for all who unpack.
  [[nodiscard]] Result<std::vector<Digest>> prune(const std::vector<Digest>& keep);

 private:
  [[nodiscard]] Result<sys::Fd> lock(const std::string& name, short type, bool wait) const;
  [[nodiscard]] Result<Layer> find(const Digest& diff_id, const UnpackOptions& options) const;
  [[nodiscard]] Result<> unpack(const Layout& layout,
                                const Descriptor& descriptor,
                                const Digest& diff_id,
                                const UnpackOptions& options) const;

  std::string path_;  // of layers/
  sys::Fd layers_, ready_, temporary_, locks_;
};

// One layer into `root`, an empty directory: what Store::layer() does, without the store. For tests.
[[nodiscard]] Result<TreeReport> unpack_layer(
    int root, int blob, const Descriptor& descriptor, const Digest& diff_id, const UnpackOptions& options);

}  // namespace cgx::image
