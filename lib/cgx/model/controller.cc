// SPDX-License-Identifier: Apache-2.0
#include "cgx/model/controller.h"

#include <array>
#include <vector>

#include "cgx/sys/text.h"

namespace cgx {
namespace {

// clang-format off
constexpr std::array<ControllerRow, controller_count> table{{
    {Controller::core,       "core",       "",           "",        "groups, processes, freezing and killing on v2"},
    {Controller::cpu,        "cpu",        "cpu",        "cpu",     "CPU time: shares, quota, real-time bandwidth"},
    {Controller::cpuacct,    "cpuacct",    "cpuacct",    "",        "CPU time used; on v2 cpu.stat has it"},
    {Controller::cpuset,     "cpuset",     "cpuset",     "cpuset",  "which CPUs and memory nodes"},
    {Controller::memory,     "memory",     "memory",     "memory",  "memory and swap: limits, protection, OOM"},
    {Controller::io,         "io",         "blkio",      "io",      "block devices: weight, bytes and operations a second"},
    {Controller::devices,    "devices",    "devices",    "",        "which device nodes may be used; on v2 a BPF program"},
    {Controller::freezer,    "freezer",    "freezer",    "",        "stopping and continuing; on v2 cgroup.freeze"},
    {Controller::net_cls,    "net_cls",    "net_cls",    "",        "the traffic class of packets; on v2 a BPF program"},
    {Controller::net_prio,   "net_prio",   "net_prio",   "",        "the priority of packets; on v2 a BPF program"},
    {Controller::hugetlb,    "hugetlb",    "hugetlb",    "hugetlb", "huge pages"},
    {Controller::perf_event, "perf_event", "perf_event", "",        "performance counters by group"},
    {Controller::pids,       "pids",       "pids",       "pids",    "how many processes and threads"},
    {Controller::rdma,       "rdma",       "rdma",       "rdma",    "RDMA handles and objects"},
    {Controller::misc,       "misc",       "misc",       "misc",    "countable resources such as encryption keys"},
    {Controller::dmem,       "dmem",       "",           "dmem",    "device memory"},
}};
// clang-format on

static_assert([] {
  for (std::size_t i = 0; i < table.size(); ++i)
    if (static_cast<std::size_t>(table[i].id) != i) return false;  // row() indexes
  return true;
}());

}  // namespace

std::span<const ControllerRow> controllers() { return table; }

const ControllerRow& row(Controller controller) { return table[static_cast<std::size_t>(controller)]; }

std::optional<Controller> find_controller(std::string_view name) {
  for (const ControllerRow& r : table)
    if (!name.empty() && (name == r.name || name == r.v1_name)) return r.id;
  return {};
}

std::string ControllerSet::text(Version version, char separator) const {
  std::string out;
  for (const ControllerRow& r : table) {
    if (!has(r.id)) continue;
    const std::string_view name = version == Version::v1 && !r.v1_name.empty() ? r.v1_name : r.name;
    if (!out.empty()) out += separator;
    out += name;
  }
  return out;
}

Result<ControllerSet> ControllerSet::parse(std::string_view list) {
  ControllerSet set;
  for (const std::string_view name : sys::split(list, ',')) {
    const auto found = find_controller(name);
    if (!found) {
      auto error = bad_value(name, "is not a controller");
      std::vector<std::string_view> known;
      for (const ControllerRow& r : table) known.push_back(r.name);
      if (const std::string_view close = sys::nearest(name, known); !close.empty())
        error.error().hint = "did you mean " + std::string(close) + "?";
      return error;
    }
    set.add(*found);
  }
  return set;
}

}  // namespace cgx
