// SPDX-License-Identifier: Apache-2.0
// The note on a group that `cgx exec` has made for one command: `cgx gc` removes the group when its maker is gone.
#pragma once

#include "cgx/cgroupfs/cgroup.h"
#include "cgx/sys/xattr.h"

namespace cgx {

inline constexpr const char* maker_note = "exec";

// Takes the note away: somebody wants the group to stay. In each hierarchy, since the group may have been made in more
// of them than the note was put in.
inline void forget_maker(const Cgroup& group) {
  for (const Hierarchy* h : group.present())
    if (const auto dir = group.dir(*h)) (void)sys::remove_note(*dir, maker_note);  // there are no notes, or no rights
}

}  // namespace cgx
