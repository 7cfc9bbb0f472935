// SPDX-License-Identifier: Apache-2.0
// The process of cgx that stays with a container: makes it, holds its streams and its terminal, writes its log, keeps
// its end, starts it again, and takes away what is to go. One for each container, without threads; it ends when the
// container has ended for good. What it makes it notes down first, so that `cgx gc` finds it whatever ends it.
#pragma once

#include "image.h"
#include "options.h"

namespace cgx::launcher {

struct MonitorPlan {
  RunOptions options;
  Image image;
  std::string id;      // its name
  std::string hex_id;  // 64 digits
  std::string run_root, data_root;
  int client = -1;  // a SEQPACKET socket to the command; it is told of the start
};
// Forks it; answers its pid. In the caller's session and with its standard error until the container runs.
[[nodiscard]] Result<pid_t> start_monitor(const MonitorPlan& plan);

}  // namespace cgx::launcher
