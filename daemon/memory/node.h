// SPDX-License-Identifier: Apache-2.0
// Inside daemon/memory/: one group as the memory thread knows it: files that are open since the policy was loaded, and
// what is known and going on. Reading and writing allocate nothing.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cgx/cgroupfs/cgroup.h"
#include "cgx/sys/fd.h"

#include "daemon/memory/io.h"
#include "daemon/memory/run.h"

namespace cgx::daemon::memory {

// The files of a group. All but those of the freezer are in the hierarchy of the memory controller; what a group or a
// kernel does not have is not valid. Open for reading by any thread (pread).
struct Files {
  sys::Fd dir;
  sys::Fd events;  // v1 memory.oom_control, for writing too; v2 memory.events
  sys::Fd local;   // v2 memory.events.local
  sys::Fd usage, limit, memsw, high;
  sys::Fd failcnt, memsw_failcnt;
  sys::Fd freezer;  // v1 freezer.state, v2 cgroup.freeze
};

class Node : public std::enable_shared_from_this<Node> {
 public:
  // ---- fixed ----
  std::string name;
  Version version = Version::v1;
  Version freezer_version = Version::v1;
  ino_t inode = 0;          // of its directory in the memory hierarchy
  ino_t freezer_inode = 0;  // of the one with the freezer
  std::string place;        // its path in the lines of the memory hierarchy in /proc/PID/cgroup, with the colon before
  bool registered = false;  // false: a group above a watched one, which is looked at only
  Files files;
  Source source{.kind = Source::Kind::memory, .node = this, .pressure = nullptr};
  Source threshold_source{.kind = Source::Kind::threshold, .node = this, .pressure = nullptr};

  // ---- set by the memory thread when a policy takes effect ----
  sys::Fd event;  // v1: the eventfd of memory.oom_control
  Node* parent = nullptr;
  std::vector<Node*> children;
  std::shared_ptr<const Program> program;

  // ---- what is going on; the memory thread's alone ----
  Run run;
  bool busy = false;         // in the list of those with something to do later
  Micros settle_at = never;  // look again for what the kernel tells no event of
  unsigned settles = 0;
  Micros waits_since = never;  // v1: tasks have waited since then, in no run
  std::uint64_t oom_kill = 0, oom_local = 0, high_local = 0, max_local = 0;  // as read last
  std::uint64_t failcnt = 0;                                                 // at the last sweep
  std::uint64_t failcnt_told = 0, failcnt_next = 0;  // accounted for, by an event or by age; and what will be by age
  Micros failcnt_acted = 0;
  bool full_seen = false;  // at the limit at the last sweep
  bool counts = true;      // counts_failures(), as seen some seconds ago
  Micros oom_told = 0;
  Micros rearm_at = never;     // when the kernel's killer is turned off again after a release
  std::uint64_t own_high = 0;  // v2: memory.high as it was before
  Micros thaw_at = never;
  bool frozen = false;  // by us

  // ---- for other threads ----
  std::atomic<bool> armed{false};   // the kernel's killer is off, or the tripwire is set
  std::atomic<bool> paused{false};  // tasks wait for us
  std::atomic<bool> gone{false};
  std::atomic<std::uint64_t> base_limit{0};    // before the first raise that has not been lowered again
  std::atomic<std::uint64_t> raised_limit{0};  // what it was raised to
  std::atomic<Micros> lower_at{0};             // when it is lowered again
  std::atomic<bool> retired{false};            // no policy names it any more
  std::atomic<std::uint64_t> wire{0};          // v2: memory.high as the tripwire; 0: not armed
  std::atomic<std::uint64_t> mark{0};          // v1: the threshold that is registered; 0: none
  sys::Fd threshold;                           // its eventfd; the slow worker's alone

  [[nodiscard]] bool pauses() const { return program != nullptr && program->mode == policy::OomMode::pause; }
};

// v1 memory.oom_control.
struct OomState {
  int code = 0;
  bool disabled = false, under_oom = false;
  std::uint64_t oom_kill = 0;
};
[[nodiscard]] OomState read_oom(const Node& node);
// v2 memory.events or memory.events.local.
struct Counts {
  int code = 0;
  std::uint64_t high = 0, max = 0, oom = 0, oom_kill = 0;
};
[[nodiscard]] Counts read_counts(int fd);

// v1: against limit_in_bytes. v2: against memory.high where it is lower than memory.max.
[[nodiscard]] Fill read_fill(const Node& node);
// Memory of files that can be reclaimed, of the group and those below.
[[nodiscard]] std::uint64_t reclaimable(const Node& node);
// v1: charges that have failed. Memory and swap are charged first, and kernels since 6.13 do not count what fails
// there: where the two limits are the same, nothing is counted.
[[nodiscard]] Number read_failures(const Node& node);
[[nodiscard]] bool counts_failures(const Node& node);
// v1: how far below its limit the group is, if it has ever been at it; else sys::unlimited.
[[nodiscard]] std::uint64_t gap_to_limit(const Node& node);
// What a limit of the groups above allows; sys::unlimited where none does.
[[nodiscard]] std::uint64_t limit_above(const Node& node);
// The group at or above `node` that is topmost under OOM (v1); nullptr: none.
[[nodiscard]] Node* oom_root(Node& node);
// v1: whether tasks may have to wait for what is left. Each CPU charges ahead, `charged_ahead` in all at most, and
// gives it back when the group is at its limit: late, and without waking who waits already.
[[nodiscard]] bool has_no_room(const Fill& fill, std::uint64_t charged_ahead);
// v1: tasks have waited for a second and nobody acted: those that were only woken would have run. There may seem to be
// room, since what the kernel had charged ahead, for other things too, has come back.
[[nodiscard]] bool stuck(const Node& node, Micros now);

// Raises limit, and memory plus swap by as much, in the order that the kernel takes; v2: memory.high too, where it is a
// tripwire or the policy's. An errno, and which file it was.
struct Written {
  int code = 0;
  std::string_view file;
};
[[nodiscard]] Written write_limit(Node& node, std::uint64_t from, std::uint64_t to);
// Turns the kernel's own killer off (v1).
[[nodiscard]] int disable_killer(const Node& node, bool disable);
[[nodiscard]] int freeze(const Node& node, bool frozen);
// Told to freeze, by whomever.
[[nodiscard]] bool is_frozen(const Node& node);
// The kernel's name of the limit; `fill` with that of memory and swap, where that is what is short.
[[nodiscard]] std::string_view limit_file(const Node& node);
[[nodiscard]] std::string_view limit_file(const Node& node, const Fill& fill);

}  // namespace cgx::daemon::memory
