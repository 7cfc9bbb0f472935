// SPDX-License-Identifier: Apache-2.0
// devices, net_cls, net_prio, hugetlb, perf_event (no files), pids, rdma, misc, dmem.
#include <array>

#include "cgx/model/knobs/tables.h"

namespace cgx::knobs {
namespace {
using enum Controller;

consteval Backing pattern(std::string_view file) {
  return {.controller = hugetlb, .files = {file}, .encode = codec::put_hugetlb, .decode = codec::get_hugetlb};
}
consteval Backing pattern_read_only(std::string_view file) {
  return {.controller = hugetlb, .files = {file}, .decode = codec::get_hugetlb};
}
consteval Knob v2_stat(std::string_view name, Controller c, std::string_view doc) {
  return {
      .name = name, .format = Format::keyed, .kind = Kind::stat, .v2 = read_only(c, name), .v1 = not_on_v1, .doc = doc};
}
consteval Knob both(std::string_view name, Controller c, Format format, std::string_view doc) {
  return {.name = name,
          .format = format,
          .kind = Kind::stat,
          .v2 = read_only(c, name),
          .v1 = read_only(c, name),
          .doc = doc};
}

// clang-format off
constexpr std::array others_rows{
    Knob{.name = "devices", .flag = "device", .key = "devices", .format = Format::device_rules, .kind = Kind::control,
         .v2 = {.controller = devices, .files = {"@devices"}, .encode = codec::put_devices, .decode = codec::get_devices, .initial = "allow a"},
         .v1 = {.controller = devices, .files = {"devices.allow", "devices.deny", "devices.list"}, .encode = codec::put_devices, .decode = codec::get_devices, .initial = parents},
         .doc = "which devices may be read, written or made: allow|deny TYPE MAJ:MIN rwm, deny a, or NODE:rw; on v2 a BPF program", .property = "DeviceAllow"},
    Knob{.name = "net_cls.classid", .flag = "net-class", .key = "net.class", .format = Format::classid, .kind = Kind::control, .high = 0xffffffff,
         .v2 = noted({.controller = net_cls, .files = {"@net.class"}, .encode = codec::put_v2, .decode = codec::get_plain}, Fidelity::exact, "a BPF program sets the class"),
         .v1 = starts(parents, file_v1(net_cls, "net_cls.classid")), .doc = "traffic class of the group's packets, MAJ:MIN in hexadecimal as in tc"},
    Knob{.name = "net_prio.ifpriomap", .flag = "net-prio", .key = "net.prio", .format = Format::if_count, .kind = Kind::weight, .high = 0xffffffff,
         .v2 = table_file(net_prio, "@net.prio"), .v1 = starts(parents, table_file(net_prio, "net_prio.ifpriomap")), .doc = "priority of the group's packets on an interface"},
    Knob{.name = "net.rate", .flag = "net-rate", .key = "net.rate", .format = Format::if_rate, .kind = Kind::limit,
         .v2 = table_file(net_cls, "@net.rate"), .v1 = table_file(net_cls, "@net.rate"), .doc = "most traffic that the group sends through an interface (tc, HTB)"},
    Knob{.name = "hugetlb.*.max", .flag = "hugetlb", .key = "hugetlb", .format = Format::hugetlb, .kind = Kind::limit,
         .v2 = pattern("hugetlb.*.max"), .v1 = pattern("hugetlb.*.limit_in_bytes"), .doc = "most memory in huge pages of a size, as 2M=64M"},
    Knob{.name = "hugetlb.*.rsvd.max", .format = Format::hugetlb, .kind = Kind::limit,
         .v2 = pattern("hugetlb.*.rsvd.max"), .v1 = pattern("hugetlb.*.rsvd.limit_in_bytes"), .doc = "most memory reserved in huge pages of a size"},
    Knob{.name = "hugetlb.*.current", .format = Format::hugetlb, .kind = Kind::stat,
         .v2 = pattern_read_only("hugetlb.*.current"), .v1 = pattern_read_only("hugetlb.*.usage_in_bytes"), .doc = "memory in huge pages of a size"},
    Knob{.name = "hugetlb.*.rsvd.current", .format = Format::hugetlb, .kind = Kind::stat,
         .v2 = pattern_read_only("hugetlb.*.rsvd.current"), .v1 = pattern_read_only("hugetlb.*.rsvd.usage_in_bytes"), .doc = "memory reserved in huge pages of a size"},
    Knob{.name = "hugetlb.*.max_usage_in_bytes", .format = Format::hugetlb, .kind = Kind::stat,
         .v2 = not_on_v2, .v1 = pattern_read_only("hugetlb.*.max_usage_in_bytes"), .doc = "most memory that was in huge pages of a size"},
    Knob{.name = "hugetlb.*.failcnt", .format = Format::hugetlb, .kind = Kind::stat,
         .v2 = not_on_v2, .v1 = pattern_read_only("hugetlb.*.failcnt"), .doc = "how often the limit of a size was met"},
    Knob{.name = "pids.max", .flag = "pids", .key = "pids.max", .format = Format::count, .kind = Kind::limit, .high = 4194304,
         .v2 = file_v2(pids, "pids.max"), .v1 = {.controller = pids, .files = {"pids.max"}, .encode = codec::put_v2, .decode = codec::get_plain},
         .doc = "most processes and threads; fork fails above it", .property = "TasksMax", .metric = "pids_limit"},
    both("pids.current", pids, Format::number, "processes and threads now"),
    both("pids.peak", pids, Format::number, "most processes and threads that there were"),
    both("pids.events", pids, Format::keyed, "how often fork failed at the limit"),
    v2_stat("pids.events.local", pids, "the same for this group alone"),
    Knob{.name = "rdma.max", .flag = "rdma", .key = "rdma", .format = Format::dev_key_count, .kind = Kind::limit,
         .v2 = table_file(rdma, "rdma.max"), .v1 = table_file(rdma, "rdma.max"), .doc = "most handles (hca_handle) and objects (hca_object) of an RDMA device"},
    both("rdma.current", rdma, Format::text, "handles and objects in use"),
    Knob{.name = "misc.max", .flag = "misc", .key = "misc", .format = Format::key_count, .kind = Kind::limit,
         .v2 = table_file(misc, "misc.max"), .v1 = table_file(misc, "misc.max"), .doc = "most of a countable resource (see misc.capacity at the root)"},
    both("misc.current", misc, Format::keyed, "resources in use"),
    both("misc.capacity", misc, Format::keyed, "resources that the machine has, at the root"),
    v2_stat("misc.peak", misc, "most resources that were in use"),
    v2_stat("misc.events", misc, "how often limits were met"),
    v2_stat("misc.events.local", misc, "the same for this group alone"),
    Knob{.name = "dmem.max", .format = Format::text, .kind = Kind::limit, .v2 = starts(no_setting, file_v2(dmem, "dmem.max")), .v1 = not_on_v1, .doc = "most device memory by region"},
    Knob{.name = "dmem.low", .format = Format::text, .kind = Kind::protection, .v2 = starts(no_setting, file_v2(dmem, "dmem.low")), .v1 = not_on_v1, .doc = "device memory given up last, by region"},
    Knob{.name = "dmem.min", .format = Format::text, .kind = Kind::protection, .v2 = starts(no_setting, file_v2(dmem, "dmem.min")), .v1 = not_on_v1, .doc = "device memory never given up, by region"},
    v2_stat("dmem.current", dmem, "device memory in use by region"),
    v2_stat("dmem.capacity", dmem, "device memory of the machine by region, at the root"),
};
// clang-format on
static_assert(well_formed(others_rows));

}  // namespace
std::span<const Knob> others() { return others_rows; }
}  // namespace cgx::knobs
