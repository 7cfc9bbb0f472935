// SPDX-License-Identifier: Apache-2.0
// Inside container/: making the process of a container: a member of its groups from its first instruction on, in its
// new namespaces, and gone when the launcher is gone.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "cgx/cgroupfs/cgroup.h"
#include "cgx/container/channel.h"
#include "cgx/container/launch.h"
#include "cgx/container/namespaces.h"
#include "cgx/sys/fd.h"

namespace cgx::container {

// The groups as descriptors, opened before the clone.
struct Membership {
  const Cgroup* group = nullptr;
  std::vector<sys::Fd> v1_tasks;
  sys::Fd v2_dir;    // the group's directory in cgroup2
  sys::Fd v2_procs;  // its cgroup.procs, where the process has to join by itself
};
// A process has a place in every hierarchy, and what a container has made in one of them is in the others nowhere:
// there it is in the nearest group above that is there, at most `top`, the container's (empty: in `group` or where it
// was).
// `apart`: groups that it is in instead, in those hierarchies; they have to be there.
[[nodiscard]] Result<Membership> membership_of(const Cgroup* group,
                                               std::string_view top = {},
                                               const std::vector<SubGroup>& apart = {});

struct BirthPlan {
  Membership groups;
  unsigned flags = 0;         // CLONE_NEW* of the process
  bool intermediate = false;  // by a process in between, in which `enter` is called
  // In the intermediate process: gets into the user namespace that the container's process is to be made from.
  std::function<Result<>()> enter;
  // Another directory of cgroup2, for a group that takes no processes, since there are groups with controllers below it
  // (EBUSY). None: it stays an error.
  std::function<sys::Fd()> fallback;
  // In the caller and back, around the clone; not with an intermediate process.
  std::function<Result<>()> before;
  std::function<Result<>()> after;
  // In the first process that there is, when it is in its groups, with the caller's rights still unless the clone made
  // a user namespace.
  std::function<Result<>()> placed;
  std::function<void()> main;  // does not return
};

struct Born {
  pid_t pid = -1;
  sys::Fd pidfd;
};

class Birth {
 public:
  // Blocks all signals until the end: the child begins without handlers that run in it.
  explicit Birth(BirthPlan& plan);
  Birth(const Birth&) = delete;
  Birth& operator=(const Birth&) = delete;
  ~Birth();

  // Makes the process, and a channel to it. An error of the intermediate process, or of joining, comes by the channel.
  [[nodiscard]] Result<Born> make();
  // Whether a process that has ended without a word is to be made once more: see birth.cc.
  [[nodiscard]] bool may_try_again();
  [[nodiscard]] const Channel& channel() const { return parent_; }
  [[nodiscard]] const Channel& childs() const { return child_; }
  [[nodiscard]] Progress* progress() const { return progress_.get(); }

 private:
  [[noreturn]] void first_process();
  [[noreturn]] void intermediate();
  [[nodiscard]] Result<> begin();
  Result<Born> clone_first();

  BirthPlan& plan_;
  Channel parent_, child_;
  SharedProgress progress_;
  bool by_itself_ = false;  // the process joins cgroup2 by cgroup.procs
};

// Kills and reaps.
void end_process(const Born& born);

}  // namespace cgx::container
