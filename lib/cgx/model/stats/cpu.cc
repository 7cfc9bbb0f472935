// SPDX-License-Identifier: Apache-2.0
// CPU time and throttling. cgroup2 has CPU time in cpu.stat of every group, whether the cpu controller is there or
// not; the keys of throttling come with the controller. Both versions count throttling of a group's own quota.
#include <array>

#include "cgx/model/stats/tables.h"

namespace cgx::stats {
namespace {
using enum Controller;
using enum StatScale;
constexpr auto own = StatScope::group;

consteval Stat row(
    std::string_view name, std::string_view metric, StatUnit unit, StatSource v2, StatSource v1, std::string_view doc) {
  return {.name = name, .metric = metric, .unit = unit, .v2 = v2, .v1 = v1, .doc = doc};
}
consteval StatSource quota(std::string_view key, StatScale scale = base) {
  return keyed(Controller::cpu, "cpu.stat", key, scale, own);
}

// cpuacct.stat is scaled by the kernel so that its sum is the exact run time; cpuacct.usage_user is what the timer
// tick happened to meet, so that short work is lost in it.
// clang-format off
constexpr std::array cpu_rows{
    row("cpu.usage_usec", "cpu_usage_seconds_total", StatUnit::usec, keyed(cpuacct, "cpu.stat", "usage_usec"),
        number(cpuacct, "cpuacct.usage", nsec), "CPU time used"),
    row("cpu.user_usec", "cpu_user_seconds_total", StatUnit::usec, keyed(cpuacct, "cpu.stat", "user_usec"),
        keyed(cpuacct, "cpuacct.stat", "user", ticks), "CPU time in user mode (v1 counts in steps of 10ms)"),
    row("cpu.system_usec", "cpu_system_seconds_total", StatUnit::usec, keyed(cpuacct, "cpu.stat", "system_usec"),
        keyed(cpuacct, "cpuacct.stat", "system", ticks), "CPU time in the kernel (v1 counts in steps of 10ms)"),
    row("cpu.nr_periods", "cpu_periods_total", StatUnit::count, quota("nr_periods"), quota("nr_periods"),
        "periods of the CPU quota in which the group was runnable"),
    row("cpu.nr_throttled", "cpu_throttled_periods_total", StatUnit::count, quota("nr_throttled"), quota("nr_throttled"),
        "periods in which the group was throttled"),
    row("cpu.throttled_usec", "cpu_throttled_seconds_total", StatUnit::usec, quota("throttled_usec"), quota("throttled_time", nsec),
        "time for which the group's run queues were throttled, summed over the CPUs"),
    row("cpu.nr_bursts", "cpu_bursts_total", StatUnit::count, quota("nr_bursts"), quota("nr_bursts"),
        "periods in which the group used more than its quota, from what it had saved"),
    row("cpu.burst_usec", "cpu_burst_seconds_total", StatUnit::usec, quota("burst_usec"), quota("burst_time", nsec),
        "CPU time used above the quota in such periods"),
};
// clang-format on
static_assert(well_formed(cpu_rows));

}  // namespace
std::span<const Stat> cpu() { return cpu_rows; }
}  // namespace cgx::stats
