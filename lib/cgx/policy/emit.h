// SPDX-License-Identifier: Apache-2.0
// Policies become the text of a policy file, in one canonical form: what load_text() reads back are the same values.
// Pure.
#pragma once

#include <string>

#include "cgx/policy/policy.h"

namespace cgx::policy {

// A whole file. Groups stand side by side under their whole names (`web/api`), limits in the order of the rows of
// knobs, sizes as `2G` where that is exact; a limit without a knob goes to `raw`. EILSEQ: a name or text is not UTF-8,
// which no YAML can hold.
[[nodiscard]] Result<std::string> emit(const Policies& policies);

}  // namespace cgx::policy
