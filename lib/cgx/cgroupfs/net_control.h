// SPDX-License-Identifier: Apache-2.0
// Traffic class, rates and priorities of a group, which the program cgx-net keeps (it has netlink and the records; see
// its --help). Each function but attached_net() runs that program and blocks until it ends.
#pragma once

#include <string>
#include <string_view>

#include "cgx/model/controller.h"
#include "cgx/sys/result.h"

namespace cgx {

// Whether the group of `dir` has any. Costs one system call where no group of the host has.
[[nodiscard]] bool attached_net(int dir);

// `what` is "@net.class" (text: the number), "@net.prio" (`IF N`) or "@net.rate" (`IF BITS`). Answers a text that
// restore_net() takes to put back what was there.
[[nodiscard]] Result<std::string> set_net(int dir, std::string_view what, std::string_view text);
[[nodiscard]] Result<> restore_net(int dir, std::string_view undo);
// The name of the group's record, by which it is released once the group is gone.
[[nodiscard]] std::string net_key(int dir, Version version);
[[nodiscard]] Result<> release_net(const std::string& key);
// In the form of set_net(), a line each; ENODATA: none.
[[nodiscard]] Result<std::string> read_net(int dir, std::string_view what);

}  // namespace cgx
