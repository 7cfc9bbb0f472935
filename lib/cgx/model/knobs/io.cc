// SPDX-License-Identifier: Apache-2.0
// io and blkio (Documentation/admin-guide/cgroup-v1/blkio-controller.rst, block/bfq-iosched.rst, cgroup-v2.rst, "IO").
#include <array>

#include "cgx/model/knobs/tables.h"

namespace cgx::knobs {
namespace {

consteval Knob v1_stat(std::string_view name, std::string_view doc) {
  return {.name = name,
          .format = Format::text,
          .kind = Kind::stat,
          .v2 = none("v2 has io.stat"),
          .v1 = read_only(Controller::io, name),
          .doc = doc};
}
consteval Knob only_v2(std::string_view name, Format format, Kind kind, Backing backing, std::string_view doc) {
  return {.name = name, .format = format, .kind = kind, .v2 = backing, .v1 = not_on_v1, .doc = doc};
}

// clang-format off
constexpr std::array io_rows{
    Knob{.name = "io.weight", .flag = "io-weight", .key = "io.weight", .format = Format::io_weight, .kind = Kind::weight, .low = 1, .high = 10000,
         .v2 = {.controller = Controller::io, .files = {"io.weight", "io.bfq.weight"}, .encode = codec::put_io_weight, .decode = codec::get_io_weight, .initial = "100"},
         .v1 = {.controller = Controller::io, .files = {"blkio.weight", "blkio.bfq.weight"}, .encode = codec::put_io_weight, .decode = codec::get_io_weight, .initial = "100"},
         .doc = "share of disk time under contention, 1 to 10000 (1 to 1000 with BFQ), for all disks or DEV:N for one", .property = "IOWeight"},
    Knob{.name = "io.max", .flag = "io-max", .key = "io.max", .format = Format::io_max, .kind = Kind::limit,
         .v2 = table_file(Controller::io, "io.max"),
         .v1 = {.controller = Controller::io,
                .files = {"blkio.throttle.read_bps_device", "blkio.throttle.write_bps_device", "blkio.throttle.read_iops_device", "blkio.throttle.write_iops_device"},
                .encode = codec::put_io_max_v1, .decode = codec::get_io_max_v1},
         .doc = "most bytes (rbps, wbps) and operations (riops, wiops) a second on one disk"},
    Knob{.name = "io.latency", .flag = "io-latency", .key = "io.latency", .format = Format::io_latency, .kind = Kind::protection,
         .v2 = table_file(Controller::io, "io.latency"), .v1 = none("cgroup v1 has no io.latency"),
         .doc = "latency on one disk that other groups are slowed down for"},
    only_v2("io.prio.class", Format::text, Kind::control, starts("no-change", file_v2(Controller::io, "io.prio.class")), "IO priority class forced on the group"),
    only_v2("io.cost.qos", Format::text, Kind::control, starts(no_setting, file_v2(Controller::io, "io.cost.qos")), "quality of service of the cost model, at the root only"),
    only_v2("io.cost.model", Format::text, Kind::control, starts(no_setting, file_v2(Controller::io, "io.cost.model")), "parameters of the cost model, at the root only"),
    only_v2("io.stat", Format::text, Kind::stat, read_only(Controller::io, "io.stat"), "bytes and operations by disk"),
    Knob{.name = "blkio.reset_stats", .format = Format::number, .kind = Kind::command, .v2 = not_on_v2,
         .v1 = write_only(Controller::io, "blkio.reset_stats"), .doc = "writing a number resets the statistics"},
    v1_stat("blkio.throttle.io_service_bytes", "bytes by disk and direction"),
    v1_stat("blkio.throttle.io_service_bytes_recursive", "the same with the groups below"),
    v1_stat("blkio.throttle.io_serviced", "operations by disk and direction"),
    v1_stat("blkio.throttle.io_serviced_recursive", "the same with the groups below"),
    v1_stat("blkio.bfq.io_service_bytes", "bytes by disk and direction, counted by BFQ"),
    v1_stat("blkio.bfq.io_service_bytes_recursive", "the same with the groups below"),
    v1_stat("blkio.bfq.io_serviced", "operations by disk and direction, counted by BFQ"),
    v1_stat("blkio.bfq.io_serviced_recursive", "the same with the groups below"),
};
// clang-format on
static_assert(well_formed(io_rows));

}  // namespace
std::span<const Knob> io() { return io_rows; }
}  // namespace cgx::knobs
