// SPDX-License-Identifier: Apache-2.0
// Inside daemon/: the groups that rules lead to, with their files open.
#pragma once

#include <chrono>
#include <list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "cgx/cgroupfs/cgroup.h"

namespace cgx::daemon {

class Targets {
 public:
  struct File {
    const Hierarchy* hierarchy = nullptr;
    sys::Fd procs;  // of cgroup.procs, for writing
  };
  // A group, in the hierarchies where it is.
  struct Target {
    std::string name;
    std::vector<File> files;
  };

  // `hierarchies` must outlive it.
  explicit Targets(const Hierarchies& hierarchies);

  // The group of that name, made where it is missing: in the hierarchies where the nearest group above it is, in all
  // where there is none. `by_rule`: the name came out of a template; if the group has to be made, it is removed again
  // later. Errors: what the Transaction says; ENOSPC where `most_made` groups have been made already. The pointer lives
  // until the next call. May block for the TreeLock where a group is made.
  [[nodiscard]] Result<Target*> open(const std::string& name, bool by_template);
  // The group was removed underneath, or files are short: what is kept of it, or of all, is opened anew.
  void forget(const std::string& name);
  void forget_all();
  // Removes groups made for templates that have been empty in two calls running, at least a minute apart; a call
  // within a minute of the last does nothing. Without it every user that ever came would leave a group.
  void sweep(std::chrono::steady_clock::time_point now);

  static constexpr std::size_t most_made = 10'000;

 private:
  [[nodiscard]] Result<> make(const std::string& name);
  [[nodiscard]] Result<Target> open_files(const std::string& name) const;
  [[nodiscard]] bool occupied(const std::string& name) const;

  const Hierarchies* hierarchies_;
  std::size_t most_open_;   // groups; each has a descriptor a hierarchy
  std::list<Target> open_;  // the one used last in front
  std::map<std::string, std::list<Target>::iterator> by_name_;
  struct Made {
    bool was_empty = false;
  };
  std::map<std::string, Made> made_;
  std::chrono::steady_clock::time_point swept_{};
};

}  // namespace cgx::daemon
