// SPDX-License-Identifier: Apache-2.0
#include "waiting.h"

#include <algorithm>
#include <cerrno>
#include <chrono>

#include <poll.h>

namespace cgx::launcher {

Result<sys::Fd> if_there(Result<sys::Fd> process) {
  if (!process && process.error().code == ESRCH) return sys::Fd();
  return process;
}

Result<sys::Fd> open_monitor(const Known& known) {
  if (!known.monitored) return sys::Fd();
  return if_there(container::open_process(known.record.monitor, known.record.monitor_start));
}

Result<bool> ended_within(const sys::Fd& pidfd, std::int64_t ms) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::milliseconds(ms);
  while (true) {
    pollfd one{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    const int n = poll(&one, 1, ms < 0 ? -1 : static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (n > 0) return true;
    if (n == 0) return false;
    if (errno != EINTR) return fail_errno(errno, "poll");
  }
}

}  // namespace cgx::launcher
