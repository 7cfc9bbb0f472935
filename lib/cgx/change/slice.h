// SPDX-License-Identifier: Apache-2.0
// Groups as slices of systemd, on a host where systemd is the manager of the groups: which slice a group is, which of
// its values systemd writes, and the mark that tells a slice made for cgx from the others. No D-Bus: asking systemd is
// the daemon's work.
#pragma once

#include <string>
#include <string_view>

#include "cgx/cgroupfs/cgroup.h"

namespace cgx {

// Whether systemd is PID 1 here (sd_booted(3)). One access(2).
[[nodiscard]] bool systemd_is_manager();

struct Slice {
  std::string unit;   // "web-api.slice"
  std::string group;  // where systemd puts it: "web.slice/web-api.slice"
};
// The slice of a group: each part escaped as systemd-escape(1) does (`a-b` is `a\x2db`), parts joined by `-`. Refused
// (Fault::usage): the root, systemd's own slices (system, user, machine, init), names of units, and what is too long.
[[nodiscard]] Result<Slice> slice_of(std::string_view group);

// Whether systemd writes this knob's file where it is in a hierarchy of `version`: there is a property for it, and what
// others write would be overwritten at the next daemon-reload. Files that are not so, systemd never touches.
[[nodiscard]] bool systemd_sets(const Knob& knob, Version version);

// The mark of slices that were made for cgx (a note at the directory). What systemd does not set may be written in
// them.
[[nodiscard]] Result<> mark_slice(const Hierarchies& hierarchies, const std::string& group);
[[nodiscard]] bool is_marked_slice(const Hierarchies& hierarchies, const std::string& group);

}  // namespace cgx
