// SPDX-License-Identifier: Apache-2.0
// memory: what is counted.
#include <array>

#include "cgx/model/knobs/tables.h"

namespace cgx::knobs {
namespace {
using enum Controller;

consteval Knob both(
    std::string_view name, std::string_view v2, std::string_view v1, Format format, std::string_view doc) {
  return {.name = name,
          .format = format,
          .kind = Kind::stat,
          .v2 = read_only(memory, v2),
          .v1 = read_only(memory, v1),
          .doc = doc};
}
consteval Knob only_v2(std::string_view name, Format format, std::string_view doc) {
  return {
      .name = name, .format = format, .kind = Kind::stat, .v2 = read_only(memory, name), .v1 = not_on_v1, .doc = doc};
}
consteval Knob only_v1(std::string_view name, Format format, std::string_view doc) {
  return {
      .name = name, .format = format, .kind = Kind::stat, .v2 = not_on_v2, .v1 = read_only(memory, name), .doc = doc};
}
// v1's peaks and fail counts are reset by writing 0.
consteval Knob resettable(std::string_view name, Format format, std::string_view doc) {
  return {.name = name, .format = format, .kind = Kind::stat, .v2 = not_on_v2, .v1 = file_v1(memory, name), .doc = doc};
}

// clang-format off
constexpr std::array memory_stats_rows{
    both("memory.current", "memory.current", "memory.usage_in_bytes", Format::size, "memory in use, caches included"),
    both("memory.peak", "memory.peak", "memory.max_usage_in_bytes", Format::size, "most memory that was in use"),
    both("memory.stat", "memory.stat", "memory.stat", Format::keyed, "memory by kind"),
    both("memory.numa_stat", "memory.numa_stat", "memory.numa_stat", Format::text, "memory by kind and node"),
    only_v2("memory.events", Format::keyed, "how often low, high, max, oom and oom_kill happened in the subtree"),
    only_v2("memory.events.local", Format::keyed, "the same for this group alone"),
    only_v2("memory.swap.current", Format::size, "swap in use"),
    only_v2("memory.swap.peak", Format::size, "most swap that was in use"),
    only_v2("memory.swap.events", Format::keyed, "how often swap limits were met"),
    only_v2("memory.zswap.current", Format::size, "compressed swap in memory"),
    only_v1("memory.memsw.usage_in_bytes", Format::size, "memory and swap in use"),
    only_v1("memory.kmem.usage_in_bytes", Format::size, "kernel memory in use"),
    only_v1("memory.kmem.tcp.usage_in_bytes", Format::size, "memory of TCP buffers in use"),
    resettable("memory.failcnt", Format::number, "how often the limit was met; writing 0 resets it"),
    resettable("memory.memsw.failcnt", Format::number, "how often the limit of memory and swap was met"),
    resettable("memory.memsw.max_usage_in_bytes", Format::size, "most memory and swap that was in use"),
    resettable("memory.kmem.failcnt", Format::number, "how often the limit of kernel memory was met"),
    resettable("memory.kmem.max_usage_in_bytes", Format::size, "most kernel memory that was in use"),
    resettable("memory.kmem.tcp.failcnt", Format::number, "how often the limit of TCP buffers was met"),
    resettable("memory.kmem.tcp.max_usage_in_bytes", Format::size, "most memory of TCP buffers that was in use"),
    only_v1("memory.kmem.slabinfo", Format::text, "kernel objects"),
};
// clang-format on
static_assert(well_formed(memory_stats_rows));

}  // namespace
std::span<const Knob> memory_stats() { return memory_stats_rows; }
}  // namespace cgx::knobs
