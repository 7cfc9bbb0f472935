// SPDX-License-Identifier: Apache-2.0
#include "own_limits.h"

#include <signal.h>
#include <sys/resource.h>

#include "cgx/container/limits.h"

namespace cgx::tool {
namespace {

std::vector<container::Rlimit>& raised() {
  static std::vector<container::Rlimit> limits;
  return limits;
}

}  // namespace

void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  const rlimit higher{.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
  if (setrlimit(RLIMIT_NOFILE, &higher) != 0) return;  // then what it has must do
  raised() = {{.resource = RLIMIT_NOFILE, .type = "RLIMIT_NOFILE", .soft = limit.rlim_cur, .hard = limit.rlim_max}};
}

void ignore_file_limit_signal() { (void)signal(SIGXFSZ, SIG_IGN); }

const std::vector<container::Rlimit>& limits_before() { return raised(); }

Result<> restore_limits() { return container::set_rlimits(0, raised()); }

}  // namespace cgx::tool
