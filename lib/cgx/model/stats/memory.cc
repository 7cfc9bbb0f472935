// SPDX-License-Identifier: Apache-2.0
// Memory. v1's memory.stat has each number twice: of the group alone, and `total_` with the groups below as v2 has it.
#include <array>

#include "cgx/model/stats/tables.h"

namespace cgx::stats {
namespace {
constexpr Controller mem = Controller::memory;

consteval StatSource in_stat(std::string_view key) { return keyed(mem, "memory.stat", key); }
consteval StatSource event(std::string_view key) { return keyed(mem, "memory.events", key); }
consteval StatSource oom_control(std::string_view key) {
  return keyed(mem, "memory.oom_control", key, StatScale::base, StatScope::group);
}
consteval Stat bytes(
    std::string_view name, std::string_view metric, StatSource v2, StatSource v1, std::string_view doc) {
  return {
      .name = name, .metric = metric, .kind = StatKind::gauge, .unit = StatUnit::bytes, .v2 = v2, .v1 = v1, .doc = doc};
}
consteval Stat events(std::string_view name,
                      std::string_view metric,
                      StatSource v2,
                      StatSource v1,
                      std::string_view doc,
                      std::string_view event = {}) {
  return {.name = name, .metric = metric, .v2 = v2, .v1 = v1, .doc = doc, .event = event};
}

// clang-format off
constexpr std::array memory_rows{
    bytes("memory.current", "memory_usage_bytes", number(mem, "memory.current"), number(mem, "memory.usage_in_bytes"),
          "memory in use, caches included"),
    bytes("memory.peak", "memory_max_usage_bytes", number(mem, "memory.peak"), number(mem, "memory.max_usage_in_bytes"),
          "most memory that was in use"),
    bytes("memory.anon", "memory_anon_bytes", in_stat("anon"), in_stat("total_rss"), "anonymous memory (heaps, stacks)"),
    bytes("memory.file", "memory_file_bytes", in_stat("file"), in_stat("total_cache"), "page cache, shared memory included"),
    bytes("memory.kernel", "memory_kernel_bytes", in_stat("kernel"), number(mem, "memory.kmem.usage_in_bytes"), "memory of the kernel for the group"),
    bytes("memory.swap", "memory_swap_bytes", number(mem, "memory.swap.current"), in_stat("total_swap"), "swap in use"),
    bytes("memory.swap_peak", "memory_max_swap_bytes", number(mem, "memory.swap.peak"), not_counted, "most swap that was in use"),
    bytes("memory.zswap", "memory_zswap_bytes", in_stat("zswap"), not_counted, "memory that compressed swap takes"),
    bytes("memory.shmem", "memory_shmem_bytes", in_stat("shmem"), in_stat("total_shmem"), "shared memory and tmpfs"),
    bytes("memory.file_mapped", "memory_file_mapped_bytes", in_stat("file_mapped"), in_stat("total_mapped_file"), "page cache mapped by processes"),
    bytes("memory.file_dirty", "memory_file_dirty_bytes", in_stat("file_dirty"), in_stat("total_dirty"), "page cache to be written"),
    bytes("memory.file_writeback", "memory_file_writeback_bytes", in_stat("file_writeback"), in_stat("total_writeback"), "page cache being written"),
    bytes("memory.inactive_anon", "memory_inactive_anon_bytes", in_stat("inactive_anon"), in_stat("total_inactive_anon"), "anonymous memory not used lately"),
    bytes("memory.active_anon", "memory_active_anon_bytes", in_stat("active_anon"), in_stat("total_active_anon"), "anonymous memory used lately"),
    bytes("memory.inactive_file", "memory_inactive_file_bytes", in_stat("inactive_file"), in_stat("total_inactive_file"), "page cache not used lately"),
    bytes("memory.active_file", "memory_active_file_bytes", in_stat("active_file"), in_stat("total_active_file"), "page cache used lately"),
    bytes("memory.unevictable", "memory_unevictable_bytes", in_stat("unevictable"), in_stat("total_unevictable"), "memory that cannot be reclaimed"),
    bytes("memory.slab", "memory_slab_bytes", in_stat("slab"), not_counted, "kernel objects"),
    bytes("memory.sock", "memory_sock_bytes", in_stat("sock"), not_counted, "network buffers"),
    events("memory.limit_hits", "memory_limit_hits_total", event("max"), number(mem, "memory.failcnt", StatScale::base, StatScope::group),
           "how often usage met the limit", "max"),
    events("memory.high_hits", events_metric, event("high"), not_counted, "how often usage met memory.high and was throttled", "high"),
    events("memory.low_hits", events_metric, event("low"), not_counted, "how often memory below memory.low was reclaimed all the same", "low"),
    events("memory.oom", "oom_total", event("oom"), not_counted, "how often the limit could not be kept by reclaim", "oom"),
    events("memory.oom_kill", "oom_kill_total", event("oom_kill"), oom_control("oom_kill"), "processes that the OOM killer killed", "oom_kill"),
    Stat{.name = "memory.under_oom", .metric = "under_oom", .kind = StatKind::gauge, .v1 = oom_control("under_oom"),
         .doc = "1 while processes wait at the limit"},
    events("memory.pgfault", "memory_page_faults_total", in_stat("pgfault"), in_stat("total_pgfault"), "page faults"),
    events("memory.pgmajfault", "memory_major_page_faults_total", in_stat("pgmajfault"), in_stat("total_pgmajfault"), "page faults that waited for a disk"),
    events("memory.refault_anon", "memory_refaults_anon_total", in_stat("workingset_refault_anon"), in_stat("total_workingset_refault_anon"),
           "pages swapped in again soon after they went"),
    events("memory.refault_file", "memory_refaults_file_total", in_stat("workingset_refault_file"), in_stat("total_workingset_refault_file"),
           "pages of files read again soon after they went"),
};
// clang-format on
static_assert(well_formed(memory_rows));

}  // namespace
std::span<const Stat> memory() { return memory_rows; }
}  // namespace cgx::stats
