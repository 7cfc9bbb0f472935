// SPDX-License-Identifier: Apache-2.0
// Processes. The kernel's pids controller counts threads as well.
#include <array>

#include "cgx/model/stats/tables.h"

namespace cgx::stats {
namespace {
constexpr Controller tasks = Controller::pids;

// clang-format off
constexpr std::array pids_rows{
    Stat{.name = "pids.current", .metric = "processes", .kind = StatKind::gauge,
         .v2 = number(tasks, "pids.current"), .v1 = number(tasks, "pids.current"), .doc = "processes and threads"},
    Stat{.name = "pids.peak", .metric = "max_processes", .kind = StatKind::gauge,
         .v2 = number(tasks, "pids.peak"), .v1 = number(tasks, "pids.peak"), .doc = "most processes and threads that there were"},
    // v2 counts the groups below too only since 6.11, and v1 never.
    Stat{.name = "pids.max_hits", .metric = "processes_limit_hits_total",
         .v2 = keyed(tasks, "pids.events", "max"), .v1 = keyed(tasks, "pids.events", "max", StatScale::base, StatScope::group),
         .doc = "how often a fork was refused at the limit"},
};
// clang-format on
static_assert(well_formed(pids_rows));

}  // namespace
std::span<const Stat> pids() { return pids_rows; }
}  // namespace cgx::stats
