// SPDX-License-Identifier: Apache-2.0
// Who a group belongs to: systemd's units are changed through systemd, never behind its back.
#pragma once

#include <optional>
#include <string>

#include "cgx/cgroupfs/cgroup.h"

namespace cgx {

struct Desired;

// The unit (`web.service`) that `group` is or lies in, where systemd is the manager of this host and the unit has not
// delegated what is below it; nullopt: the group may be changed.
[[nodiscard]] std::optional<std::string> systemd_unit_of(const Hierarchies& hierarchies, std::string_view group);
// EPERM with the systemctl command to use, for a change of `knob` (nullptr: of the group itself) to `value`.
[[nodiscard]] Error refuse_for_systemd(std::string_view group,
                                       std::string_view unit,
                                       const Knob* knob,
                                       std::string_view value);
// refuse_for_systemd() where `desired` changes the group of a unit. A slice that was made for cgx is left to cgx in
// those files that systemd never writes.
[[nodiscard]] Result<> leave_to_systemd(const Hierarchies& hierarchies, const Desired& desired);

}  // namespace cgx
