// SPDX-License-Identifier: Apache-2.0
// Memory events of groups, and what policies say is done about them. A thread of its own waits for the kernel to tell,
// and acts within microseconds; two more do what may block. Whatever becomes of this program, no task waits for ever:
// what is paused or frozen stands in the state directory before it is.
//
// v1: eventfds on memory.oom_control, memory.usage_in_bytes and memory.pressure_level; `oom: pause` turns the kernel's
// killer off. v2: memory.events and PSI; `oom: pause` is emulated by memory.high a little below memory.max, and by
// freezing. All functions may be called from any thread but the three inside; watch() and the destructor block for
// milliseconds.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/policy/policy.h"

#include "daemon/decision.h"

namespace cgx::daemon {

// Of a group whose limit an action has raised, and that has not been lowered again: bytes.
struct Raised {
  std::uint64_t from = 0;  // before the first raise; 0: not known
  std::uint64_t to = 0;
  bool operator==(const Raised&) const = default;
};
using RaisedLimits = std::map<std::string, Raised>;  // by group

class MemoryThread {
 public:
  struct Options {
    std::string state_dir = "/run/cgx";                 // made where it is missing
    bool lock_memory = true;                            // mlockall of the whole program
    bool fifo = false;                                  // real-time priority for the memory thread
    unsigned kills_per_hour = 60;                       // of all policies together; 0: no bound
    std::size_t decisions = 1024;                       // room for those that take() has not fetched; a kilobyte each
    std::size_t descriptors = SIZE_MAX;                 // files of groups have numbers below it
    bool thresholds = true;                             // v1: raise already when memory in use comes close to the limit
    void (*stopper)(std::string_view where) = nullptr;  // for tests: called on the memory thread at each step
  };
  // `hierarchies` must outlive it. What an earlier run had frozen is let go; what it had paused stays so until watch()
  // takes it over, or gives it back. Errors: the state directory cannot be written, no descriptors are left.
  [[nodiscard]] static Result<std::unique_ptr<MemoryThread>> start(const Hierarchies& hierarchies, Options options);
  MemoryThread(const MemoryThread&) = delete;
  MemoryThread& operator=(const MemoryThread&) = delete;
  // Stops; gives back every group that it had paused or frozen, and ends programs that still run.
  ~MemoryThread();

  // Watches the groups of the policies, and those named besides (observed only), in place of what was watched before.
  // Groups that stay keep their eventfds: nothing is missed. A run of actions that is under way ends as it began.
  // Groups that are not there yet are taken up within a second of their making. Answers what cannot be done, or is done
  // in another way (warnings); the rest is done. `raised`: limits that an earlier run has raised. Where the policy has
  // a raise that decays they are lowered again, the time counted from now on; a group that was watched before is left
  // out.
  std::vector<policy::Problem> watch(const policy::Policies& policies,
                                     std::span<const std::string> also,
                                     const RaisedLimits& raised = {});

  [[nodiscard]] int fd() const;  // readable when decisions wait; owned by it
  // Moves out what has been decided, oldest first, with growing ids; answers how many were lost for want of room since
  // the last call. Lines that programs print come as decisions with the result "output".
  std::size_t take(std::vector<Decision>& out);
  // Grows while the memory thread lives, at least every 500 ms.
  [[nodiscard]] std::uint64_t heartbeat() const;
  // What could not be had at the start: "memory is not locked: ..."
  [[nodiscard]] std::vector<std::string> notes() const;

  struct Watched {
    std::string group, mode;                 // "kernel", "pause", "group"; "observe" without a policy
    bool under_oom = false, paused = false;  // paused: tasks wait for this program
    bool acting = false;                     // this program knows of the shortage that they wait in
    std::uint64_t oom = 0, oom_kill = 0;     // the kernel's counters; v1 has failcnt in place of oom
    std::uint64_t limit = 0, usage = 0;      // bytes; no limit: sys::unlimited
    std::uint64_t base_limit = 0;            // where a raise is in force: the limit that it began from; else 0
  };
  [[nodiscard]] std::vector<Watched> watched() const;  // reads four files of each
  [[nodiscard]] std::size_t watching() const;          // how many they are

  struct Explained {
    std::string step;     // "raise", "kill", ..., "release"
    std::string what;     // "memory.limit_in_bytes 64M -> 80M"
    pid_t victim = 0;     // who would be killed now
    std::string command;  // of the victim, or of a program
  };
  // What would be done about an OOM in the group now, without doing it. ENOENT: it is not watched.
  [[nodiscard]] Result<std::vector<Explained>> explain(const std::string& group) const;
  // Gives it back to the kernel's killer now. When the shortage is over it is paused at its limit again.
  [[nodiscard]] Result<> release(const std::string& group);

 private:
  struct Parts;
  explicit MemoryThread(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// `cgxd --release`: gives back what the state directory says is paused or frozen, after a SIGKILL; answers the groups.
// Nothing of it may be in use by a running cgxd. All are tried; the error is the first one.
[[nodiscard]] Result<std::vector<std::string>> release_paused(const Hierarchies& hierarchies,
                                                              const std::string& state_dir);

}  // namespace cgx::daemon
