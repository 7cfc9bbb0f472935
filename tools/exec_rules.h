// SPDX-License-Identifier: Apache-2.0
// Inside tools/: where `exec --by-rules` runs its command.
#pragma once

#include <optional>
#include <string>

#include "command.h"

namespace cgx::tool {

// The group that the rules of the policies name for the command of `call`; nullopt: no rule is about it. Runs
// cgx-policy, which has the library that reads policies. Fault::usage where the call has words or flags that make no
// sense with it.
[[nodiscard]] Result<std::optional<std::string>> group_by_rules(const Call& call);

}  // namespace cgx::tool
