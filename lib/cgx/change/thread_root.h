// SPDX-License-Identifier: Apache-2.0
// cgroup2 gives no controller of domains (memory, io) to the groups below one that has processes. A controller that can
// share among threads (cpu, cpuset, pids, perf_event) it does give, and makes the group "domain threaded" by that: no
// group below takes a process any more. Only who has made a group below threaded wants that.
#pragma once

#include "cgx/change/plan.h"

namespace cgx {

// Whether it is `step`, which enables controllers, that can make `group` so: the root cannot become that, and what is
// so already was made so on purpose.
[[nodiscard]] Result<bool> is_plain_domain(const Cgroup& group, const Step& step);
// Before it is written: EBUSY, explained, where processes are in a plain domain.
[[nodiscard]] Result<> check_no_processes(const Cgroup& group, const Step& step);
// The same after it was written to a plain domain: a process may have come meanwhile.
[[nodiscard]] Result<> check_still_domain(const Cgroup& group, const Step& step);

// Why no process can join a group below a "domain threaded" one, and what ends that; empty: it is not that.
[[nodiscard]] std::string why_invalid_domain(const Cgroup& group, std::string& hint);

}  // namespace cgx
