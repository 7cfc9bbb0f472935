// SPDX-License-Identifier: Apache-2.0
// Part of cgx-policy: where the rules of policies put a program that is about to be executed.
#pragma once

#include <span>
#include <string>

#include "cgx/sys/result.h"

namespace cgx::tool {

// `paths`: policies; none: /etc/cgx/policies.d, where it is there. `program` is looked for in PATH. The user, the
// groups and the group of control groups are those of this process, which its parent's are as well. Answers the group's
// name and a newline, or nothing where no rule applies. Fault::usage, with all that is wrong, where the policies cannot
// be read.
[[nodiscard]] Result<std::string> place(std::span<const std::string> paths, const std::string& program);

// `place [--policy PATH]... -- PROGRAM`: the words after `place`. Prints the answer; the exit status.
[[nodiscard]] int run_place(std::span<char* const> words);

}  // namespace cgx::tool
