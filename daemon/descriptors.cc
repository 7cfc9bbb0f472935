// SPDX-License-Identifier: Apache-2.0
#include "daemon/descriptors.h"

#include <algorithm>

#include <sys/resource.h>

namespace cgx::daemon {
namespace {

constexpr std::size_t infinite = 200'000;

}  // namespace

Descriptors Descriptors::share(std::size_t limit, std::size_t hierarchies, bool metrics) {
  // A transaction keeps sixteen groups open (fewer where the limit is low), and all else takes some 48.
  const std::size_t own = std::min(limit / 2, 48 + 20 * hierarchies);
  const std::size_t groups = limit - own;
  const std::size_t kept = metrics ? groups / 3 : 0;
  return {.limit = limit, .watched = groups - kept, .metrics = kept};
}

std::size_t descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  return limit.rlim_cur == RLIM_INFINITY ? infinite : static_cast<std::size_t>(limit.rlim_cur);
}

}  // namespace cgx::daemon
