// SPDX-License-Identifier: Apache-2.0
// The note on a group that `cgx exec` has made for one command: the process that removes it at the end. A name of a
// group is nobody's proof, and a number of a process is given again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "cgx/cgroupfs/cgroup.h"

namespace cgx::tool {

enum class Maker : std::uint8_t {
  none,     // no note: another program's group, or an older cgx's
  kept,     // somebody wants the group to stay
  unknown,  // of another pid namespace, or /proc or the group cannot be read
  lives,
  gone,
};

// Says that this process is the maker. EOPNOTSUPP: there are no notes for who has no rights, on v1.
[[nodiscard]] Result<> note_maker(const Cgroup& group);
[[nodiscard]] Maker maker_of(const Cgroup& group);
// Whether the note says so of this process. Not any more where somebody wants the group to stay, or has made it anew.
// Like directories_of(), opens no more than one directory at a time.
[[nodiscard]] Result<bool> is_maker(const Hierarchies& hierarchies, const std::string& group);
// In how many hierarchies the group is.
[[nodiscard]] std::size_t directories_of(const Hierarchies& hierarchies, const std::string& group);
// The group that a fresh one is made in: the root; for who may not write there, what was handed over to the caller.
[[nodiscard]] std::string above_fresh(const Hierarchies& hierarchies);

}  // namespace cgx::tool
