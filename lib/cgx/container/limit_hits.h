// SPDX-License-Identifier: Apache-2.0
// Which limit killed a process of a group, or refused it one: from what the group, those below it and those above it
// counted before and after. The decisions are pure; read_*() reads the files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cgx/cgroupfs/cgroup.h"

namespace cgx::container {

inline constexpr std::uint64_t no_limit = ~std::uint64_t{0};

struct LimitReading {
  std::string file;                // memory.max
  std::uint64_t value = no_limit;  // what it allows
  std::uint64_t hits = 0;          // how often it was reached in vain, as far as the kernel counts that
  std::uint64_t peak = 0;          // the most that was in use; 0: not known
  std::uint64_t reached = 0;       // how often it was reached at all: in vain, or room was made
};

// One group at one time.
struct LevelReading {
  std::string group;
  bool inside = false;                 // the group itself, or one below it: its kills are the group's
  std::uint64_t count = 0;             // memory: processes killed, of this group alone; pids: processes refused
  std::vector<LimitReading> limits{};  // the one that stops a process first comes first
};

struct Readings {
  std::vector<LevelReading> levels;  // those below, the group, those above from the nearest on
  bool whole = false;                // up to the root of the hierarchy: nothing else of the host has a limit
  std::string unread{};              // the first file that could not be read, and why: then no limit is named
  std::string nodes{};               // of memory, where the group may not use all that the host has
  bool at_limit = true;              // the count is kept where the limit is, not where the process was
};

// Of memory, and of pids; no levels where the controller is not there. `below`: with the groups below.
[[nodiscard]] Readings read_memory(const Cgroup& group, bool below = true);
// Of the groups above it alone: the counts before of a group that has just been made.
[[nodiscard]] Readings read_memory_above(const Cgroup& group);
// How many processes of the group itself the kernel has killed for memory: one file. 0 where it does not say;
// an error, which names the file, where that cannot be read.
[[nodiscard]] Result<std::uint64_t> memory_kills(const Cgroup& group);
[[nodiscard]] Readings read_pids(const Cgroup& group);

struct Cause {
  std::uint64_t count = 0;   // processes killed or refused; 0: none, and the rest says nothing
  std::string group, limit;  // "memory.max 65536" and whose it is; empty: none of those that were read
  bool host = false;         // all were read, and none had it: the host had no more
  std::string nodes{};       // then: the memory nodes that it was bound to
  bool several = false;      // more than one of them may be the one
  std::string unread{};      // what could not be read, and why: then no limit is named, and there may be more kills

  [[nodiscard]] std::string unknown_text() const;  // of `unread`
  // "memory.max 65536 of web/db", "the memory of the host", "the memory of node 1 of the host (cpuset.mems)".
  [[nodiscard]] std::string memory_text() const;
};
[[nodiscard]] Cause memory_cause(const Readings& before, const Readings& after);
// For who looked at memory_kills() alone before: `after` has no groups below. A limit is named where it is the only one
// that can have been reached.
[[nodiscard]] Cause memory_cause(std::uint64_t kills_before, const Readings& after);
// The limits of memory that were reached meanwhile, whoever was killed then: "memory.max 65536 of web/db"; the nearest
// group's first. Empty: none was, as far as that is counted.
[[nodiscard]] std::vector<std::string> memory_limits_reached(const Readings& before, const Readings& after);
[[nodiscard]] Cause pids_cause(const Readings& before, const Readings& after);

}  // namespace cgx::container
