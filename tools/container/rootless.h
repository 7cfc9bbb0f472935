// SPDX-License-Identifier: Apache-2.0
// Without root: this process becomes root of a user namespace of its own, in which all of a container is made. Its root
// is the caller; with ranges in /etc/subuid and /etc/subgid there are other users too. Kernel: user_namespaces(7).
#pragma once

#include "cgx/container/launch.h"

#include "record.h"

namespace cgx::launcher {

using container::in_user_namespace;

// Keeps the directories of containers as the caller has them, and enters. Nothing to do for root.
[[nodiscard]] Result<> enter_own_namespace();
// The one of a container that runs, for what is done to its processes and groups. Nothing to do for root.
[[nodiscard]] Result<> enter_namespace_of(const Known& known);

}  // namespace cgx::launcher
