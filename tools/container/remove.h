// SPDX-License-Identifier: Apache-2.0
// The end of a container.
#pragma once

#include "record.h"

namespace cgx::launcher {

// Takes away all that is left of a container that does not run: group, layer, log, record. `known` was found with
// Store::How::change. `by_monitor`: the caller is its monitor, which has its layer.
[[nodiscard]] Result<> remove_container(Known&& known, bool by_monitor = false);
// The same for one whose run.json or exit.json cannot be read, after its processes were killed. Fails where state.json
// cannot be read either: nobody knows which processes are its own.
[[nodiscard]] Result<> remove_damaged(const std::string& id);
// The command that removes one whose files are damaged (EBADMSG), for a hint; empty where that cannot be told.
[[nodiscard]] std::string hint_at_damaged(const std::string& id);
// The group above those of containers, where it has become empty.
[[nodiscard]] Result<> remove_left_group(const State& state);

}  // namespace cgx::launcher
