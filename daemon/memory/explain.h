// SPDX-License-Identifier: Apache-2.0
// Inside daemon/memory/: what would be done, for people; nothing is done.
#pragma once

#include "daemon/memory/memory.h"
#include "daemon/memory/thread.h"

namespace cgx::daemon::memory {

[[nodiscard]] std::vector<MemoryThread::Explained> explain(const Node& node,
                                                           const Program& program,
                                                           const Thread& thread);
[[nodiscard]] MemoryThread::Watched state_of(const Node& node, const Program& program);

}  // namespace cgx::daemon::memory
