// SPDX-License-Identifier: Apache-2.0
// The note on a group that `cgx exec` has made for one command: `cgx gc` removes the group when its maker is gone.
#pragma once

#include <string_view>

#include "cgx/cgroupfs/cgroup.h"
#include "cgx/sys/xattr.h"

namespace cgx {

inline constexpr const char* maker_note = "exec";

// In place of the maker where somebody wants a group to stay whose name is one of a fresh group: without any note, `cgx
// gc` goes by the name.
inline constexpr std::string_view kept_note = "kept";
inline constexpr std::string_view fresh_prefix = "cgx-exec-";

inline bool is_named_fresh(std::string_view group) {
  return group.substr(group.rfind('/') + 1).starts_with(fresh_prefix);
}

// Takes the note away: somebody wants the group to stay. In each hierarchy, since the group may have been made in more
// of them than the note was put in.
inline void forget_maker(const Cgroup& group) {
  bool kept = !is_named_fresh(group.name());
  for (const Hierarchy* h : group.present()) {
    const auto dir = group.dir(*h);
    if (!dir) continue;
    // There may be no notes, or no rights.
    if (!kept && sys::set_note(*dir, maker_note, kept_note))
      kept = true;
    else if (const auto note = sys::get_note(*dir, maker_note); !note || *note)
      (void)sys::remove_note(*dir, maker_note);
  }
}

}  // namespace cgx
