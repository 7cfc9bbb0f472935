// SPDX-License-Identifier: Apache-2.0
// Sorts processes into groups by the rules of policies: what runs already, and from then on each process as it starts,
// executes or changes its user, as told by the kernel's process connector.
//
// Nothing is lost. When events come faster than they can be handled and the kernel's queue overflows, all of /proc is
// looked at anew. A child that is forked between the moment that its parent should be elsewhere and the moment that it
// is moved is born in the old group and may never execute anything: so each fork of a process that was looked at later
// than that fork is followed, and the child is looked at too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/policy/policy.h"

namespace cgx::daemon {

class Sorter {
 public:
  struct Options {
    std::size_t buffer = 0;  // bytes of the socket's queue; 0: 8 MiB
  };
  struct Stats {
    std::uint64_t events = 0;  // received, of forks, execs and changes of user
    std::uint64_t looked = 0;  // processes that were compared with the rules
    std::uint64_t moved = 0;
    std::uint64_t failed = 0;   // could not be moved; take_failures() says why
    std::uint64_t lost = 0;     // overflows of the queue
    std::uint64_t rescans = 0;  // times that all of /proc was looked at: after set_rules() and after overflows
  };

  // Starts a thread that waits for rules. Errors: EPERM, EPROTONOSUPPORT and ENOTSUP say what is missing to hear of
  // processes. What is mounted is taken from `hierarchies`, which need not live on.
  [[nodiscard]] static Result<std::unique_ptr<Sorter>> start(const Hierarchies& hierarchies, Options options);
  [[nodiscard]] static Result<std::unique_ptr<Sorter>> start(const Hierarchies& hierarchies) {
    return start(hierarchies, Options());
  }
  Sorter(const Sorter&) = delete;
  Sorter& operator=(const Sorter&) = delete;
  ~Sorter();  // stops; processes stay where they are

  // From now on these rules count, also for what runs already. Does not wait for that. Without rules the kernel is not
  // asked to tell of anything.
  void set_rules(std::vector<policy::Rule> rules);

  // All of these may be called from any thread.
  [[nodiscard]] Stats stats() const;
  // What went wrong since the last call, a sentence each, the same one once; at most some dozens.
  [[nodiscard]] std::vector<std::string> take_failures();

 private:
  class Thread;
  explicit Sorter(std::unique_ptr<Thread> thread);
  std::unique_ptr<Thread> thread_;
};

}  // namespace cgx::daemon
