// SPDX-License-Identifier: Apache-2.0
// IO of each block device. On v1 two parts of the kernel count: BFQ for the devices that it schedules, and
// blk-throttle, which in newer kernels does not count a device before it gets its first limit. What nobody counts is
// left out.
#include <array>

#include "cgx/model/stats/tables.h"

namespace cgx::stats {
namespace {

consteval StatSource v2_key(std::string_view key) {
  return {.controller = Controller::io, .file = "io.stat", .key = key, .format = StatFormat::io_stat};
}
consteval StatSource v1_bytes(std::string_view key) {
  return {.controller = Controller::io,
          .file = "blkio.throttle.io_service_bytes_recursive",
          .key = key,
          .format = StatFormat::blkio,
          .instead = "blkio.bfq.io_service_bytes_recursive"};
}
consteval StatSource v1_ios(std::string_view key) {
  return {.controller = Controller::io,
          .file = "blkio.throttle.io_serviced_recursive",
          .key = key,
          .format = StatFormat::blkio,
          .instead = "blkio.bfq.io_serviced_recursive"};
}
consteval Stat bytes(std::string_view name,
                     std::string_view metric,
                     std::string_view key,
                     std::string_view v1_key,
                     std::string_view doc) {
  return {.name = name,
          .metric = metric,
          .unit = StatUnit::bytes,
          .per_device = true,
          .v2 = v2_key(key),
          .v1 = v1_bytes(v1_key),
          .doc = doc};
}
consteval Stat ios(std::string_view name,
                   std::string_view metric,
                   std::string_view key,
                   std::string_view v1_key,
                   std::string_view doc) {
  return {.name = name, .metric = metric, .per_device = true, .v2 = v2_key(key), .v1 = v1_ios(v1_key), .doc = doc};
}

// clang-format off
constexpr std::array io_rows{
    bytes("io.rbytes", "io_read_bytes_total", "rbytes", "Read", "bytes read"),
    bytes("io.wbytes", "io_write_bytes_total", "wbytes", "Write", "bytes written"),
    ios("io.rios", "io_read_ops_total", "rios", "Read", "read requests"),
    ios("io.wios", "io_write_ops_total", "wios", "Write", "write requests"),
    bytes("io.dbytes", "io_discard_bytes_total", "dbytes", "Discard", "bytes discarded"),
    ios("io.dios", "io_discard_ops_total", "dios", "Discard", "discard requests"),
};
// clang-format on
static_assert(well_formed(io_rows));
static_assert(io_rows.size() <= most_device_stats);

}  // namespace
std::span<const Stat> io() { return io_rows; }
}  // namespace cgx::stats
