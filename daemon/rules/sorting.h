// SPDX-License-Identifier: Apache-2.0
// Inside daemon/: what is done about one process: which rule is its, and the move into the group that the rule names.
// Single threaded; the thread around it is in sorter.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cgx/policy/users.h"

#include "daemon/rules/process.h"
#include "daemon/rules/targets.h"

namespace cgx::daemon {

class Sorting {
 public:
  enum class Outcome : std::uint8_t {
    left,  // no rule, or it is there already
    moved,
    gone,    // it ended before it could be looked at or moved
    failed,  // see failures()
  };

  // `hierarchies` must outlive it.
  [[nodiscard]] static Result<std::unique_ptr<Sorting>> make(const Hierarchies& hierarchies);

  // Forgets what it knew of users and groups.
  void set_rules(std::vector<policy::Rule> rules);
  [[nodiscard]] const std::vector<policy::Rule>& rules() const { return rules_; }

  // Moves the process to where its rule says. Never: init, this process and its children, threads of the kernel. All
  // hierarchies of the group or, where one refuses, none.
  Outcome sort(pid_t pid);
  // Calls `each` with the number of every process, until it answers false.
  template <class Each>
  Result<> each_process(const Each& each) const {
    for (const std::string& name : CGX_TRY(sys::list_dir(proc_.get(), ".", sys::Entries::directories)))
      if (const auto pid = number(name); pid != 0 && !each(pid)) return {};
    return {};
  }
  void sweep(std::chrono::steady_clock::time_point now) { targets_.sweep(now); }
  // What went wrong since the last call, a sentence each, the same one once; at most some dozens.
  [[nodiscard]] std::vector<std::string> take_failures();

 private:
  Sorting(const Hierarchies& hierarchies, sys::Fd proc);
  [[nodiscard]] static pid_t number(std::string_view name);
  [[nodiscard]] Result<Process> open(pid_t pid);
  Outcome move(const Process& process, const std::string& group, bool by_template, bool again);
  Outcome look_again(pid_t pid);
  void put_back(const Process& process, const std::vector<const Hierarchy*>& moved_in) const;
  void failed(const Process& process, const Error& error);

  const Hierarchies* hierarchies_;
  sys::Fd proc_;
  pid_t self_;
  std::vector<policy::Rule> rules_;
  policy::HostNames names_;
  Targets targets_;
  std::vector<std::string> failures_;
};

}  // namespace cgx::daemon
