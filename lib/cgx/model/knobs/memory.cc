// SPDX-License-Identifier: Apache-2.0
// memory: what is set (Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst, "Memory").
#include <array>

#include "cgx/model/knobs/tables.h"

namespace cgx::knobs {
namespace {
using enum Controller;

// clang-format off
constexpr std::array memory_rows{
    Knob{.name = "memory.max", .flag = "mem", .key = "memory.max", .format = Format::size, .kind = Kind::limit,
         .v2 = file_v2(memory, "memory.max"), .v1 = file_v1(memory, "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
         .doc = "most memory; what cannot be reclaimed above it is killed", .property = "MemoryMax", .metric = "memory_limit_bytes"},
    Knob{.name = "memory.high", .flag = "mem-high", .key = "memory.high", .format = Format::size, .kind = Kind::limit,
         .v2 = file_v2(memory, "memory.high"), .v1 = none("cgroup v1 has no memory.high; --mem-soft sets memory.soft_limit_in_bytes"),
         .doc = "memory above which the group is slowed down and reclaimed", .property = "MemoryHigh", .metric = "memory_high_bytes"},
    Knob{.name = "memory.low", .flag = "mem-low", .key = "memory.low", .format = Format::size, .kind = Kind::protection,
         .v2 = file_v2(memory, "memory.low"), .v1 = none("cgroup v1 has no memory.low; --mem-soft sets memory.soft_limit_in_bytes"),
         .doc = "memory that is reclaimed only when nothing else is left", .property = "MemoryLow", .metric = "memory_low_bytes"},
    Knob{.name = "memory.min", .flag = "mem-min", .key = "memory.min", .format = Format::size, .kind = Kind::protection,
         .v2 = file_v2(memory, "memory.min"), .v1 = none("cgroup v1 has no memory.min"), .doc = "memory that is never reclaimed", .property = "MemoryMin", .metric = "memory_min_bytes"},
    Knob{.name = "memory.soft_limit_in_bytes", .flag = "mem-soft", .key = "memory.soft", .format = Format::size, .kind = Kind::protection,
         .v2 = noted(file_v2(memory, "memory.low"), Fidelity::lossy, "v2 has no soft limit; memory.low protects the same amount"),
         .v1 = starts("max", file_v1(memory, "memory.soft_limit_in_bytes")), .doc = "memory to which the group is reclaimed first when the host runs short", .metric = "memory_soft_limit_bytes"},
    Knob{.name = "memory.memsw.limit_in_bytes", .flag = "memsw", .key = "memory.memsw", .format = Format::size, .kind = Kind::limit,
         .v2 = {.controller = memory, .files = {"memory.swap.max"}, .encode = codec::put_memsw_v2, .decode = codec::get_memsw_v2,
                .fidelity = Fidelity::lossy, .note = "v2 limits swap alone: memory.swap.max is memsw minus memory.max"},
         .v1 = file_v1(memory, "memory.memsw.limit_in_bytes"), .doc = "most memory and swap together"},
    Knob{.name = "memory.swap.max", .flag = "swap", .key = "memory.swap", .format = Format::size, .kind = Kind::limit,
         .v2 = file_v2(memory, "memory.swap.max"),
         .v1 = {.controller = memory, .files = {"memory.memsw.limit_in_bytes"}, .encode = codec::put_swap_v1, .decode = codec::get_swap_v1,
                .fidelity = Fidelity::lossy, .note = "v1 limits memory and swap together: their sum is written"},
         .doc = "most swap", .property = "MemorySwapMax", .metric = "memory_swap_limit_bytes"},
    Knob{.name = "memory.swap.high", .format = Format::size, .kind = Kind::limit,
         .v2 = file_v2(memory, "memory.swap.high"), .v1 = not_on_v1, .doc = "swap above which the group is slowed down"},
    Knob{.name = "memory.zswap.max", .format = Format::size, .kind = Kind::limit,
         .v2 = file_v2(memory, "memory.zswap.max"), .v1 = not_on_v1, .doc = "most compressed swap in memory"},
    Knob{.name = "memory.zswap.writeback", .format = Format::flag, .kind = Kind::control, .high = 1,
         .v2 = starts("1", file_v2(memory, "memory.zswap.writeback")), .v1 = not_on_v1, .doc = "0 keeps compressed swap from the disk"},
    Knob{.name = "memory.swappiness", .flag = "swappiness", .key = "memory.swappiness", .format = Format::number, .kind = Kind::control, .high = 200,
         .v2 = none("cgroup v2 has no swappiness of a group; --swap 0 keeps it from swapping"),
         .v1 = starts(parents, file_v1(memory, "memory.swappiness")), .doc = "how readily memory is swapped rather than cache dropped, 0 to 200"},
    Knob{.name = "memory.oom", .flag = "oom", .key = "memory.oom", .format = Format::word, .kind = Kind::control, .words = "kill|pause|group",
         .v2 = {.controller = memory, .files = {"memory.oom.group"}, .encode = codec::put_oom_v2, .decode = codec::get_oom_v2, .initial = "kill"},
         .v1 = {.controller = memory, .files = {"memory.oom_control"}, .encode = codec::put_oom_v1, .decode = codec::get_oom_v1, .initial = parents},
         .doc = "what happens at the limit: kill one process, pause until the limit is raised (v1), or kill the whole group (v2)"},
    Knob{.name = "memory.use_hierarchy", .format = Format::flag, .kind = Kind::control, .high = 1,
         .v2 = not_on_v2, .v1 = starts("1", file_v1(memory, "memory.use_hierarchy")), .doc = "always 1 on kernels of today"},
    Knob{.name = "memory.move_charge_at_immigrate", .format = Format::number, .kind = Kind::control, .high = 3,
         .v2 = not_on_v2, .v1 = file_v1(memory, "memory.move_charge_at_immigrate"), .doc = "charges that follow a moved process; gone from newer kernels"},
    Knob{.name = "memory.kmem.limit_in_bytes", .format = Format::size, .kind = Kind::limit,
         .v2 = not_on_v2, .v1 = starts(no_setting, file_v1(memory, "memory.kmem.limit_in_bytes")), .doc = "kernel memory; newer kernels take it and do nothing"},
    Knob{.name = "memory.kmem.tcp.limit_in_bytes", .format = Format::size, .kind = Kind::limit,
         .v2 = not_on_v2, .v1 = file_v1(memory, "memory.kmem.tcp.limit_in_bytes"), .doc = "most memory of TCP buffers"},
    Knob{.name = "memory.force_empty", .format = Format::number, .kind = Kind::command,
         .v2 = none("v2 has memory.reclaim"), .v1 = write_only(memory, "memory.force_empty"), .doc = "writing 0 reclaims as much as possible"},
    Knob{.name = "memory.reclaim", .format = Format::text, .kind = Kind::command,
         .v2 = write_only(memory, "memory.reclaim"), .v1 = none("v1 has memory.force_empty"), .doc = "reclaims the number of bytes that is written"},
};
// clang-format on
static_assert(well_formed(memory_rows));

}  // namespace
std::span<const Knob> memory() { return memory_rows; }
}  // namespace cgx::knobs
