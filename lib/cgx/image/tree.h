// SPDX-License-Identifier: Apache-2.0
// Inside image/: a layer as it is written: a lower directory of overlayfs (Documentation/filesystems/overlayfs.rst).
// What a tar says with names, `.wh.NAME` and `.wh..wh..opq`, becomes a character device 0:0 and an attribute. Nothing
// outside of the root is reached, and no device or attribute of a tar can be taken for such a mark.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "cgx/image/paths.h"

namespace cgx::image {

// Which attribute marks a directory that hides what is below it: overlayfs mounted with `userxattr` reads another one.
enum class Opaque : std::uint8_t { trusted, user };

struct Attributes {
  std::uint32_t mode = 0;  // 07777
  std::int64_t uid = 0, gid = 0;
  std::int64_t mtime = 0;
  long mtime_nsec = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;
};

// What was left out, and what the mount has to know.
struct TreeReport {
  std::uint64_t entries = 0;  // also directories that no entry spoke of
  std::uint64_t opaque = 0;   // directories
  bool root_opaque = false;   // overlayfs does not look for the mark there: layers below are not to be mounted
  std::uint64_t devices = 0;  // that could not be made
  std::uint64_t sockets = 0;
  std::uint64_t xattrs = 0;
  std::string xattr;  // the first one
};

// Attributes of a tar that a layer may have: `user.*` and security.capability, but none of overlayfs. Pure.
[[nodiscard]] bool may_have_xattr(std::string_view name);

struct TreeOptions {
  Opaque opaque = Opaque::trusted;
  bool devices = true;  // false: as where they cannot be made
  std::uint64_t entries = 0;
};

// Each function is one entry, and takes away what an earlier one made of the same name. Errors are of the entry: the
// caller adds its name.
class LayerTree {
 public:
  // `root` is empty, and outlives the tree.
  LayerTree(int root, const TreeOptions& options);

  // Whether the name is a mark, which has been done then.
  [[nodiscard]] Result<bool> mark(const std::vector<std::string>& parts);

  [[nodiscard]] Result<> directory(const std::vector<std::string>& parts, const Attributes& attributes);
  // The content is written between the two calls.
  [[nodiscard]] Result<sys::Fd> begin_file(const std::vector<std::string>& parts);
  [[nodiscard]] Result<> end_file(const sys::Fd& file, std::uint64_t size, const Attributes& attributes);
  [[nodiscard]] Result<> symlink(const std::vector<std::string>& parts, const std::string& target, const Attributes& a);
  [[nodiscard]] Result<> hard_link(const std::vector<std::string>& parts, const std::vector<std::string>& target);
  // S_IFCHR, S_IFBLK, S_IFIFO.
  [[nodiscard]] Result<> node(const std::vector<std::string>& parts, mode_t type, dev_t device, const Attributes& a);
  void socket() { ++report_.sockets; }
  // Times of directories, which change with each entry made in them.
  [[nodiscard]] Result<> finish();
  [[nodiscard]] const TreeReport& report() const { return report_; }

 private:
  struct Place {
    int parent = -1;  // of parent_
    std::string name;
  };
  [[nodiscard]] Result<Place> place_of(const std::vector<std::string>& parts);
  template <class Make>
  [[nodiscard]] Result<bool> make(const Place& place, Make create);
  [[nodiscard]] Result<> take_away(int parent, const std::string& name);
  [[nodiscard]] Result<> make_opaque(int directory);
  [[nodiscard]] Result<> hide(const Place& place, const std::string& name);
  [[nodiscard]] Result<> count();
  [[nodiscard]] Result<> set_xattrs(int fd, const Attributes& attributes);

  struct Time {
    std::string path;
    std::int64_t seconds = 0;
    long nanoseconds = 0;
  };
  int root_;
  TreeOptions options_;
  TreeReport report_;
  sys::Fd parent_;  // the directory of the last entry, as the next one is mostly in it too
  std::string parent_path_;
  bool parent_known_ = false;
  bool hid_ = false;  // make_directory_in() took a whiteout away
  std::vector<Time> times_;
  std::size_t times_bytes_ = 0;
};

}  // namespace cgx::image
