// SPDX-License-Identifier: Apache-2.0
// Groups that come and go, and writes to the v1 files that have no event of their own: one inotify descriptor for any
// number of groups. The kernel tells of mkdir and rmdir on the parent directory only, in every hierarchy by itself.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <sys/types.h>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/sys/fd.h"

namespace cgx {

struct TreeEvent {
  enum class Change : std::uint8_t {
    appeared,  // is new, is now in one more hierarchy, or has got or lost controllers (v2)
    written,   // freezer.state, cgroup.procs or tasks of a v1 group was written
    removed,   // from the last hierarchy that it was in
  };
  std::chrono::system_clock::time_point time;
  std::string_view group;  // valid until the next read()
  Change change = Change::removed;
  bool first = false;  // appeared: in no other hierarchy before
};

class TreeWatch {
 public:
  enum class Depth : std::uint8_t { group, below };

  // EMFILE: fs.inotify.max_user_instances, or the limit of descriptors, is reached. `hierarchies` must outlive it.
  [[nodiscard]] static Result<TreeWatch> open(const Hierarchies& hierarchies);

  // Tells of `group`'s removal from now on; with Depth::below also of all groups below it, those that are there (listed
  // in groups(), no `appeared` comes for them) and those to come. A group is not there: nothing is added. Its directory
  // is known by inode, so that a later group of that name is another one. Takes some 10 us a group and hierarchy.
  // Left out: groups whose name is longer than a path may be, which only somebody makes who wants to be in the way, and
  // directories that something else is mounted over. A group that cannot be watched keeps no other from it: the error
  // is the first one. ENOSPC: fs.inotify.max_user_watches is reached.
  [[nodiscard]] Result<> add(const std::string& group, Depth depth);
  // Tells when `group`, or one of those above it, is made in any hierarchy, by `appeared`; not when that goes. Who is
  // told of one above calls it again: what is below that one is told of only then.
  [[nodiscard]] Result<> await(const std::string& group);
  // Those being watched, with those below where asked for.
  [[nodiscard]] std::vector<std::string> groups() const;

  [[nodiscard]] int fd() const { return inotify_.get(); }
  [[nodiscard]] short poll_events() const;
  // Does not block. What was lost in an overflow of the queue is found by looking at every group again.
  [[nodiscard]] Result<std::vector<TreeEvent>> read();
  // Why the last read() could not watch a group that came; the others are watched all the same.
  [[nodiscard]] const std::optional<Error>& trouble() const { return trouble_; }

 private:
  struct Directory {
    const Hierarchy* hierarchy;
    std::string group;
    bool below = false;    // new directories in it are watched too
    bool control = false;  // its cgroup.subtree_control rather than the directory
  };
  struct Group {
    std::vector<ino_t> inodes;  // by hierarchy, 0 where it is not
    Depth depth;
    bool written;  // these two are told of at the end of read(), once
    bool enabled;
  };
  using Groups = std::map<std::string, Group, std::less<>>;

  TreeWatch(const Hierarchies& hierarchies, sys::Fd inotify)
      : hierarchies_(&hierarchies), inotify_(std::move(inotify)) {}

  Result<> watch_dir(const Hierarchy& h, const std::string& group, int dir, bool below);
  Result<int> add_inotify(const std::string& group, const std::string& path, std::uint32_t mask);
  static std::vector<std::string_view> above(const Hierarchy& h, std::string_view group);
  Result<std::vector<ino_t>> watch_above(const Hierarchy& h, std::string_view group);
  Result<> add_in(const Hierarchy& h, const std::string& group, Depth depth);
  Result<bool> enter(const Hierarchy& h, const std::string& group, Depth depth, std::vector<TreeEvent>* events);
  void note_made(const std::string& group, std::vector<TreeEvent>& events) const;
  void note_write(const Directory& directory, std::string_view file);
  void look_again(std::vector<TreeEvent>& events);
  void note(const Error& error);
  void leave(const Hierarchy& h, Groups::iterator group, std::vector<TreeEvent>& events);
  [[nodiscard]] Result<ino_t> inode(const Hierarchy& h, std::string_view group) const;

  const Hierarchies* hierarchies_;
  sys::Fd inotify_;
  std::unordered_map<int, Directory> directories_;  // by watch descriptor
  Groups groups_;
  std::set<std::string, std::less<>> awaited_;
  std::optional<Error> trouble_;
  std::vector<Groups::node_type> left_;  // keeps the names that the last read() told of
};

}  // namespace cgx
