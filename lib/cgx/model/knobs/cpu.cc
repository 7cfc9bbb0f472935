// SPDX-License-Identifier: Apache-2.0
// cpu and cpuacct (Documentation/scheduler/sched-bwc.rst, sched-rt-group.rst, cgroup-v1/cpuacct.rst).
#include <array>

#include "cgx/model/knobs/tables.h"

namespace cgx::knobs {
namespace {
using enum Controller;

// clang-format off
constexpr std::array cpu_rows{
    Knob{.name = "cpu.shares", .flag = "cpu-shares", .key = "cpu.shares", .format = Format::number, .kind = Kind::weight, .low = 2, .high = 262144,
         .v2 = {.controller = cpu, .files = {"cpu.weight"}, .encode = codec::put_shares_as_weight, .decode = codec::get_shares_from_weight,
                .fidelity = Fidelity::lossy, .note = "262143 shares share 10000 weights (1024 is 100); the number given is kept with the group",
                .initial = "1024"},
         .v1 = starts("1024", file_v1(cpu, "cpu.shares")), .doc = "share of CPU time under contention, 1024 by default", .property = "CPUWeight"},
    Knob{.name = "cpu.weight", .flag = "cpu-weight", .key = "cpu.weight", .format = Format::number, .kind = Kind::weight, .low = 1, .high = 10000,
         .v2 = starts("100", file_v2(cpu, "cpu.weight")),
         .v1 = {.controller = cpu, .files = {"cpu.shares"}, .encode = codec::put_weight_as_shares, .decode = codec::get_weight_from_shares,
                .fidelity = Fidelity::lossy, .note = "the share nearest to the weight (100 is 1024); the number given is kept with the group",
                .initial = "100"},
         .doc = "share of CPU time under contention, 100 by default", .property = "CPUWeight", .metric = "cpu_weight"},
    Knob{.name = "cpu.weight.nice", .format = Format::integer, .kind = Kind::weight,
         .v2 = starts(no_setting, file_v2(cpu, "cpu.weight.nice")), .v1 = not_on_v1, .doc = "cpu.weight as a nice value, -20 to 19"},
    Knob{.name = "cpu.max", .flag = "cpu-quota", .key = "cpu.quota", .format = Format::quota, .kind = Kind::limit,
         .v2 = {.controller = cpu, .files = {"cpu.max"}, .encode = codec::put_quota_v2, .decode = codec::get_quota_v2},
         .v1 = {.controller = cpu, .files = {"cpu.cfs_quota_us", "cpu.cfs_period_us"}, .encode = codec::put_quota_v1, .decode = codec::get_quota_v1},
         .doc = "most CPU time in each period: 150% or 1.5 of one CPU, or QUOTA/PERIOD in microseconds", .property = "CPUQuota", .metric = "cpu_limit_cpus"},
    Knob{.name = "cpu.max.burst", .flag = "cpu-burst", .key = "cpu.burst", .format = Format::usec, .kind = Kind::limit,
         .v2 = file_v2(cpu, "cpu.max.burst", "cpu.max"), .v1 = file_v1(cpu, "cpu.cfs_burst_us", "cpu.cfs_quota_us"),
         .doc = "unused quota that may be saved up and used above it, at most the quota"},
    Knob{.name = "cpu.idle", .flag = "cpu-idle", .key = "cpu.idle", .format = Format::flag, .kind = Kind::weight, .high = 1,
         .v2 = file_v2(cpu, "cpu.idle"), .v1 = file_v1(cpu, "cpu.idle"), .doc = "1 runs the group only when nothing else wants the CPU"},
    Knob{.name = "cpu.rt", .flag = "cpu-rt", .key = "cpu.rt", .format = Format::rt, .kind = Kind::limit,
         .v2 = none("cgroup v2 has no real-time bandwidth; real-time processes must stay in the root there"),
         .v1 = {.controller = cpu, .files = {"cpu.rt_runtime_us", "cpu.rt_period_us"}, .encode = codec::put_quota_v1, .decode = codec::get_quota_v1},
         .doc = "CPU time for real-time processes in each period, as 10ms/1s; 0 by default, so that none can join"},
    Knob{.name = "cpu.uclamp.min", .format = Format::percent, .kind = Kind::protection,
         .v2 = starts("0.00", file_v2(cpu, "cpu.uclamp.min")), .v1 = starts("0.00", file_v1(cpu, "cpu.uclamp.min")), .doc = "lowest utilisation the frequency is chosen for, percent"},
    Knob{.name = "cpu.uclamp.max", .format = Format::percent, .kind = Kind::limit,
         .v2 = starts("max", file_v2(cpu, "cpu.uclamp.max")), .v1 = starts("max", file_v1(cpu, "cpu.uclamp.max")), .doc = "highest utilisation the frequency is chosen for, percent"},
    Knob{.name = "cpu.stat", .format = Format::keyed, .kind = Kind::stat,
         .v2 = read_only(cpu, "cpu.stat"), .v1 = read_only(cpu, "cpu.stat"), .doc = "CPU time (v2) and throttling"},
    Knob{.name = "cpu.stat.local", .format = Format::keyed, .kind = Kind::stat,
         .v2 = read_only(cpu, "cpu.stat.local"), .v1 = read_only(cpu, "cpu.stat.local"), .doc = "time throttled by the group's own quota"},
    Knob{.name = "cpuacct.usage", .format = Format::number, .kind = Kind::stat,
         .v2 = none("v2 has cpu.stat"), .v1 = {.controller = cpuacct, .files = {"cpuacct.usage"}, .encode = codec::put_v1, .decode = codec::get_plain},
         .doc = "CPU time used, nanoseconds; writing 0 resets it"},
    Knob{.name = "cpuacct.usage_user", .format = Format::number, .kind = Kind::stat,
         .v2 = none("v2 has cpu.stat"), .v1 = read_only(cpuacct, "cpuacct.usage_user"), .doc = "CPU time in user mode, nanoseconds"},
    Knob{.name = "cpuacct.usage_sys", .format = Format::number, .kind = Kind::stat,
         .v2 = none("v2 has cpu.stat"), .v1 = read_only(cpuacct, "cpuacct.usage_sys"), .doc = "CPU time in kernel mode, nanoseconds"},
    Knob{.name = "cpuacct.stat", .format = Format::keyed, .kind = Kind::stat,
         .v2 = none("v2 has cpu.stat"), .v1 = read_only(cpuacct, "cpuacct.stat"), .doc = "user and system time in clock ticks"},
    Knob{.name = "cpuacct.usage_percpu", .format = Format::text, .kind = Kind::stat,
         .v2 = none("v2 counts no CPU apart"), .v1 = read_only(cpuacct, "cpuacct.usage_percpu"), .doc = "CPU time used by CPU, nanoseconds"},
    Knob{.name = "cpuacct.usage_percpu_user", .format = Format::text, .kind = Kind::stat,
         .v2 = none("v2 counts no CPU apart"), .v1 = read_only(cpuacct, "cpuacct.usage_percpu_user"), .doc = "user time by CPU, nanoseconds"},
    Knob{.name = "cpuacct.usage_percpu_sys", .format = Format::text, .kind = Kind::stat,
         .v2 = none("v2 counts no CPU apart"), .v1 = read_only(cpuacct, "cpuacct.usage_percpu_sys"), .doc = "system time by CPU, nanoseconds"},
    Knob{.name = "cpuacct.usage_all", .format = Format::text, .kind = Kind::stat,
         .v2 = none("v2 counts no CPU apart"), .v1 = read_only(cpuacct, "cpuacct.usage_all"), .doc = "a table of user and system time by CPU"},
};
// clang-format on
static_assert(well_formed(cpu_rows));

}  // namespace
std::span<const Knob> cpu() { return cpu_rows; }
}  // namespace cgx::knobs
