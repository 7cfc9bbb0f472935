// SPDX-License-Identifier: Apache-2.0
// What a group carries that is no kernel file, behind names that start with '@' so that plans can treat it as one:
//   @devices      device rules, a line each: a BPF program on the group (device_bpf.h)
//   @net.class, @net.prio, @net.rate   traffic class, priorities and rates (net_control.h, which also sets them)
//   @net.restore   writing what set_net() answered puts back what was there before
//   @note.KNOB    the number that the user gave for a knob which stores another one (an extended attribute)
#pragma once

#include <string>
#include <string_view>

#include "cgx/sys/result.h"

namespace cgx {

// ENODATA: nothing of that name is attached. ESTALE: device rules are in force that are not known, since another
// program has attached them under the name of cgx's. Who may not look at programs is told what was noted.
[[nodiscard]] Result<std::string> read_attached(int group_dir, std::string_view name);
// An empty text takes it away. A note that the file system or the user's rights do not allow is dropped: it only
// makes reading back exact.
[[nodiscard]] Result<> write_attached(int group_dir, std::string_view name, std::string_view text);

}  // namespace cgx
