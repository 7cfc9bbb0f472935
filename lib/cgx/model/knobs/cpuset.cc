// SPDX-License-Identifier: Apache-2.0
// cpuset (Documentation/admin-guide/cgroup-v1/cpusets.rst and cgroup-v2.rst, "Cpuset").
#include <array>

#include "cgx/model/knobs/tables.h"

namespace cgx::knobs {
namespace {
using enum Controller;

consteval Knob v1_flag(std::string_view name,
                       std::string_view doc,
                       std::string_view on_v2,
                       std::string_view initial = {}) {
  return {.name = name,
          .format = Format::flag,
          .kind = Kind::control,
          .high = 1,
          .v2 = none(on_v2),
          .v1 = starts(initial, file_v1(cpuset, name)),
          .doc = doc};
}

// clang-format off
constexpr std::array cpuset_rows{
    Knob{.name = "cpuset.cpus", .flag = "cpus", .key = "cpuset.cpus", .format = Format::list, .kind = Kind::limit,
         .v2 = file_v2(cpuset, "cpuset.cpus"), .v1 = starts(parents, file_v1(cpuset, "cpuset.cpus")), .doc = "the CPUs that the group may use", .property = "AllowedCPUs"},
    Knob{.name = "cpuset.mems", .flag = "mems", .key = "cpuset.mems", .format = Format::list, .kind = Kind::limit,
         .v2 = file_v2(cpuset, "cpuset.mems"), .v1 = starts(parents, file_v1(cpuset, "cpuset.mems")), .doc = "the memory nodes that the group may use", .property = "AllowedMemoryNodes"},
    Knob{.name = "cpuset.cpus.effective", .format = Format::list, .kind = Kind::stat,
         .v2 = read_only(cpuset, "cpuset.cpus.effective"), .v1 = read_only(cpuset, "cpuset.effective_cpus"), .doc = "the CPUs that are really there for it"},
    Knob{.name = "cpuset.mems.effective", .format = Format::list, .kind = Kind::stat,
         .v2 = read_only(cpuset, "cpuset.mems.effective"), .v1 = read_only(cpuset, "cpuset.effective_mems"), .doc = "the nodes that are really there for it"},
    Knob{.name = "cpuset.cpus.exclusive", .format = Format::list, .kind = Kind::control,
         .v2 = file_v2(cpuset, "cpuset.cpus.exclusive"), .v1 = none("v1 has cpuset.cpu_exclusive"), .doc = "CPUs kept for a partition"},
    Knob{.name = "cpuset.cpus.exclusive.effective", .format = Format::list, .kind = Kind::stat,
         .v2 = read_only(cpuset, "cpuset.cpus.exclusive.effective"), .v1 = not_on_v1, .doc = "CPUs that are really kept"},
    Knob{.name = "cpuset.cpus.partition", .format = Format::word, .kind = Kind::control, .words = "member|root|isolated",
         .v2 = starts("member", file_v2(cpuset, "cpuset.cpus.partition")), .v1 = none("v1 has cpuset.cpu_exclusive and cpuset.sched_load_balance"),
         .doc = "member, root (own scheduling domain) or isolated (no load balancing)"},
    v1_flag("cpuset.cpu_exclusive", "1 keeps the CPUs from sibling groups", "v2 has cpuset.cpus.partition"),
    v1_flag("cpuset.mem_exclusive", "1 keeps the nodes from sibling groups", "cgroup v2 has no such file"),
    v1_flag("cpuset.mem_hardwall", "1 keeps kernel allocations for users on the nodes", "cgroup v2 has no such file"),
    v1_flag("cpuset.memory_migrate", "1 moves pages when the nodes change", "v2 always moves pages"),
    v1_flag("cpuset.memory_spread_page", "1 spreads page cache over the nodes", "cgroup v2 has no such file", parents),
    v1_flag("cpuset.memory_spread_slab", "1 spreads kernel objects over the nodes", "cgroup v2 has no such file", parents),
    v1_flag("cpuset.memory_pressure_enabled", "1 counts memory pressure, at the root only", "v2 has memory.pressure", no_setting),
    v1_flag("cpuset.sched_load_balance", "0 stops load balancing over the CPUs", "v2 has cpuset.cpus.partition (isolated)", "1"),
    Knob{.name = "cpuset.memory_pressure", .format = Format::number, .kind = Kind::stat,
         .v2 = none("v2 has memory.pressure"), .v1 = read_only(cpuset, "cpuset.memory_pressure"), .doc = "direct reclaims a second, times 1000"},
    Knob{.name = "cpuset.sched_relax_domain_level", .format = Format::integer, .kind = Kind::control,
         .v2 = not_on_v2, .v1 = starts("-1", file_v1(cpuset, "cpuset.sched_relax_domain_level")), .doc = "how far the scheduler looks for idle CPUs, -1 to 5"},
};
// clang-format on
static_assert(well_formed(cpuset_rows));

}  // namespace
std::span<const Knob> cpuset() { return cpuset_rows; }
}  // namespace cgx::knobs
