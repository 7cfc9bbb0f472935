// SPDX-License-Identifier: Apache-2.0
#include "remove.h"

namespace cgx::launcher {

// TODO: its layer, its log and its group are left.
Result<> remove_container(Known&& known) { return known.entry.remove(); }

}  // namespace cgx::launcher
