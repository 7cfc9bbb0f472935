// SPDX-License-Identifier: Apache-2.0
// Inside daemon/memory/: what stands in the state directory, so that no task waits for a daemon that is no more. A
// group is written down before its killer is turned off, its tripwire set, or it is frozen; and struck out after all is
// as it was.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cgx/cgroupfs/hierarchy.h"

#include "daemon/memory/node.h"

namespace cgx::daemon::memory {

struct Held {
  enum class What : std::uint8_t { oom, high, frozen };
  What what = What::oom;
  ino_t inode = 0;
  std::string before;  // of the file: oom_kill_disable, or memory.high
  std::string group;
};

// What is written down. A last line without its end was never acted on, and is left out; so is what makes no sense.
[[nodiscard]] Result<std::vector<Held>> read_held(const std::string& state_dir);
// In place of all that is written down of limits; on disk when it returns.
[[nodiscard]] Result<> write_held(const std::string& state_dir, std::span<const Held> held);

// Puts one back as it was, if it is still the same group: nobody waits in it then. False: there is no such group.
[[nodiscard]] Result<bool> give_back(const Hierarchies& hierarchies, const Held& held);

// v1: groups that are made below one whose killer is off have theirs off as well, and who runs into a limit there waits
// for nobody. Turns it on in all below `group` that `paused` does not answer for. Cheap where there are none below.
void free_children(const Cgroup& group, const std::function<bool(const std::string&)>& paused);

// Groups that the memory thread has frozen, noted by itself.
class FrozenLog {
 public:
  [[nodiscard]] static Result<FrozenLog> open(const std::string& state_dir);
  [[nodiscard]] int note(const Node& node);  // an errno; allocates nothing
  void thawed();                             // one of them; the last one empties the log
  void clear();

 private:
  sys::Fd fd_;
  unsigned count_ = 0;
};

}  // namespace cgx::daemon::memory
