// SPDX-License-Identifier: Apache-2.0
// What one cgx does to groups, another one must see whole: a group is a directory in each hierarchy, made and removed
// one after another, and which controllers a v2 group gives to its children is shared by all of them. Who makes or
// removes groups or enables controllers holds this lock alone, who relies on what is there holds it shared. It binds
// only programs that use this library.
#pragma once

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/sys/fd.h"

namespace cgx {

class TreeLock {
 public:
  enum class How : std::uint8_t { shared, alone };
  // Waits until it is free, 30 s at most (ETIMEDOUT names the holder): root for an flock(2) on /run/cgx/tree.lock that
  // no other can open; others, and root without /run/cgx, for one on the root of cgroup2, else of the first hierarchy.
  // The kernel releases it when this object or the process ends, also at execve. Asking for less changes nothing; to
  // get more, the shared lock is given up first. Errors: the errno of flock.
  [[nodiscard]] Result<> take(const Hierarchies& hierarchies, How how);
  void release();
  [[nodiscard]] bool alone() const { return fd_.valid() && how_ == How::alone; }

 private:
  sys::Fd fd_;
  How how_ = How::shared;
};

}  // namespace cgx
