// SPDX-License-Identifier: Apache-2.0
// Tells when one of the given files and directories may have changed: also where an editor replaces a file by renaming
// another one over it, and where a directory, or one above it, goes away and comes again.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "cgx/sys/fd.h"

namespace cgx::daemon {

class FilesWatch {
 public:
  // Absolute paths, which need not be there. EMFILE: fs.inotify.max_user_instances or the limit of descriptors.
  [[nodiscard]] static Result<FilesWatch> open(std::vector<std::string> paths);

  [[nodiscard]] int fd() const { return inotify_.get(); }  // readable when there is something
  // Takes what waits; whether any of it concerns the paths. Watches what has come to be since.
  [[nodiscard]] bool read();
  // What the watching lacks (ENOSPC: fs.inotify.max_user_watches); empty: nothing.
  [[nodiscard]] const std::string& lacks() const { return lacks_; }

 private:
  struct Directory {
    std::vector<std::string> names;  // entries that count
    bool policies = false;           // every policy does
  };
  FilesWatch(std::vector<std::string> paths, sys::Fd inotify)
      : paths_(std::move(paths)), inotify_(std::move(inotify)) {}
  void
  look();  // watches every directory on the way to the paths and what links lead to, and the directories that they are
  void add(const std::string& dir, const std::string& name);
  void add_way(const std::string& path);  // every directory on it, for the entry that leads on
  void add_links(std::string path);       // where a symbolic link leads, from link to link

  std::vector<std::string> paths_;
  sys::Fd inotify_;
  std::unordered_map<int, Directory> directories_;  // by watch descriptor
  std::string lacks_;
};

}  // namespace cgx::daemon
