// SPDX-License-Identifier: Apache-2.0
// Files of every hierarchy, and the freezer (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/cgroups.rst).
#include <array>

#include "cgx/model/knobs/tables.h"

namespace cgx::knobs {
namespace {
using enum Controller;

// clang-format off
constexpr std::array core_rows{
    Knob{.name = "cgroup.type", .format = Format::word, .kind = Kind::control, .words = "domain|threaded|domain threaded|domain invalid",
         .v2 = starts("domain", file_v2(core, "cgroup.type")), .v1 = not_on_v1, .doc = "domain or threaded; writing \"threaded\" cannot be undone"},
    Knob{.name = "cgroup.controllers", .format = Format::text, .kind = Kind::stat,
         .v2 = read_only(core, "cgroup.controllers"), .v1 = not_on_v1, .doc = "controllers that the parent gives to this group"},
    Knob{.name = "cgroup.subtree_control", .format = Format::text, .kind = Kind::control,
         .v2 = starts(no_setting, file_v2(core, "cgroup.subtree_control")), .v1 = not_on_v1, .doc = "controllers given to the children"},
    Knob{.name = "cgroup.max.depth", .format = Format::count, .kind = Kind::limit,
         .v2 = file_v2(core, "cgroup.max.depth"), .v1 = not_on_v1, .doc = "most levels of groups below this one"},
    Knob{.name = "cgroup.max.descendants", .format = Format::count, .kind = Kind::limit,
         .v2 = file_v2(core, "cgroup.max.descendants"), .v1 = not_on_v1, .doc = "most groups below this one"},
    Knob{.name = "cgroup.freeze", .format = Format::flag, .kind = Kind::control, .high = 1,
         .v2 = starts(no_setting, file_v2(core, "cgroup.freeze")), .v1 = none("v1 has freezer.state (cgx freeze does both)"),
         .doc = "1 stops all processes of the subtree"},
    Knob{.name = "freezer.state", .format = Format::word, .kind = Kind::control, .words = "FROZEN|THAWED|FREEZING",
         .v2 = none("v2 has cgroup.freeze (cgx freeze does both)"), .v1 = starts(no_setting, file_v1(freezer, "freezer.state")),
         .doc = "FROZEN stops all processes of the subtree, THAWED lets them go on"},
    Knob{.name = "freezer.self_freezing", .format = Format::flag, .kind = Kind::stat, .high = 1,
         .v2 = not_on_v2, .v1 = read_only(freezer, "freezer.self_freezing"), .doc = "1 where this group itself was frozen"},
    Knob{.name = "freezer.parent_freezing", .format = Format::flag, .kind = Kind::stat, .high = 1,
         .v2 = not_on_v2, .v1 = read_only(freezer, "freezer.parent_freezing"), .doc = "1 where a group above was frozen"},
    Knob{.name = "cgroup.kill", .format = Format::flag, .kind = Kind::command, .low = 1, .high = 1,
         .v2 = write_only(core, "cgroup.kill"), .v1 = none("v1 has no such file (cgx kill does it)"),
         .doc = "writing 1 kills the whole subtree"},
    Knob{.name = "cgroup.events", .format = Format::keyed, .kind = Kind::stat,
         .v2 = read_only(core, "cgroup.events"), .v1 = not_on_v1, .doc = "whether it is populated and whether it is frozen; changes wake poll(2)"},
    Knob{.name = "cgroup.stat", .format = Format::keyed, .kind = Kind::stat,
         .v2 = read_only(core, "cgroup.stat"), .v1 = not_on_v1, .doc = "descendants, living and dying"},
    Knob{.name = "cgroup.stat.local", .format = Format::keyed, .kind = Kind::stat,
         .v2 = read_only(core, "cgroup.stat.local"), .v1 = not_on_v1, .doc = "time spent frozen"},
    Knob{.name = "cgroup.pressure", .format = Format::flag, .kind = Kind::control, .high = 1,
         .v2 = starts("1", file_v2(core, "cgroup.pressure")), .v1 = not_on_v1, .doc = "0 stops the accounting of pressure"},
    Knob{.name = "cpu.pressure", .format = Format::text, .kind = Kind::stat,
         .v2 = read_only(core, "cpu.pressure"), .v1 = not_on_v1, .doc = "stall information of the CPU"},
    Knob{.name = "memory.pressure", .format = Format::text, .kind = Kind::stat,
         .v2 = read_only(core, "memory.pressure"), .v1 = not_on_v1, .doc = "stall information of memory"},
    Knob{.name = "io.pressure", .format = Format::text, .kind = Kind::stat,
         .v2 = read_only(core, "io.pressure"), .v1 = not_on_v1, .doc = "stall information of IO"},
    Knob{.name = "irq.pressure", .format = Format::text, .kind = Kind::stat,
         .v2 = read_only(core, "irq.pressure"), .v1 = not_on_v1, .doc = "stall information of interrupts"},
    Knob{.name = "cgroup.clone_children", .format = Format::flag, .kind = Kind::control, .high = 1,
         .v2 = not_on_v2, .v1 = starts(parents, file_v1(core, "cgroup.clone_children")), .doc = "1 copies cpuset values to new children"},
    Knob{.name = "notify_on_release", .format = Format::flag, .kind = Kind::control, .high = 1,
         .v2 = none("v2 has cgroup.events (cgx events does both)"), .v1 = starts(parents, file_v1(core, "notify_on_release")),
         .doc = "1 runs the release agent when the group becomes empty"},
    Knob{.name = "release_agent", .format = Format::text, .kind = Kind::control,
         .v2 = not_on_v2, .v1 = starts(no_setting, file_v1(core, "release_agent")), .doc = "the program that is run, at the root only"},
};
// clang-format on
static_assert(well_formed(core_rows));

}  // namespace
std::span<const Knob> core() { return core_rows; }
}  // namespace cgx::knobs
