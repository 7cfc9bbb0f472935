// SPDX-License-Identifier: Apache-2.0
// `linux.resources`: config-linux.md, "Control groups". Whether a number makes sense is for the knobs to say; here it
// has to be of the type of the specification.
#include <algorithm>

#include "cgx/container/spec_fill.h"

namespace cgx::container {
namespace {

Result<> fill(MemoryLimits& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  CGX_CHECK(json::fill(to.limit, from["limit"]));
  CGX_CHECK(json::fill(to.reservation, from["reservation"]));
  CGX_CHECK(json::fill(to.swap, from["swap"]));
  CGX_CHECK(json::fill(to.kernel, from["kernel"]));
  CGX_CHECK(json::fill(to.kernel_tcp, from["kernelTCP"]));
  CGX_CHECK(json::fill(to.swappiness, from["swappiness"]));
  CGX_CHECK(json::fill(to.disable_oom_killer, from["disableOOMKiller"]));
  CGX_CHECK(json::fill(to.use_hierarchy, from["useHierarchy"]));
  return json::fill(to.check_before_update, from["checkBeforeUpdate"]);
}

Result<> fill(CpuLimits& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  CGX_CHECK(json::fill(to.shares, from["shares"]));
  CGX_CHECK(json::fill(to.quota, from["quota"]));
  CGX_CHECK(json::fill(to.burst, from["burst"]));
  CGX_CHECK(json::fill(to.period, from["period"]));
  CGX_CHECK(json::fill(to.rt_runtime, from["realtimeRuntime"]));
  CGX_CHECK(json::fill(to.rt_period, from["realtimePeriod"]));
  CGX_CHECK(json::fill(to.idle, from["idle"]));
  CGX_CHECK(json::fill(to.cpus, from["cpus"]));
  return json::fill(to.mems, from["mems"]);
}

Result<> fill_network(Resources& to, const json::Value& from) {
  if (!from.there()) return {};
  CGX_CHECK(from.expect(json::Kind::object));
  CGX_CHECK(json::fill(to.net_class_id, from["classID"]));
  const json::Value priorities = from["priorities"];
  if (!priorities.there()) return {};
  CGX_CHECK(priorities.expect(json::Kind::list));
  for (const json::Value item : priorities) {
    CGX_CHECK(item.expect(json::Kind::object));
    auto& [name, priority] = to.net_priorities.emplace_back();
    CGX_CHECK(json::need(name, item["name"]));
    CGX_CHECK(json::need(priority, item["priority"]));
  }
  return {};
}

Result<> fill_rdma(std::vector<RdmaLimit>& to, const json::Value& from) {
  if (!from.there()) return {};
  CGX_CHECK(from.expect(json::Kind::object));
  for (const json::Value device : from) {
    CGX_CHECK(device.expect(json::Kind::object));
    RdmaLimit limit{.device = std::string(device.key()), .handles = {}, .objects = {}};
    CGX_CHECK(json::fill(limit.handles, device["hcaHandles"]));
    CGX_CHECK(json::fill(limit.objects, device["hcaObjects"]));
    if (!limit.handles && !limit.objects) return device.wrong("has neither hcaHandles nor hcaObjects");
    to.push_back(std::move(limit));
  }
  return {};
}

// A number of a device, of which -1 and none mean any.
Result<> fill_any(std::optional<std::int64_t>& to, const json::Value& from) {
  if (!from.there()) return {};
  constexpr std::int64_t most = 0xfffff;
  CGX_CHECK(json::fill_within(to.emplace(), from, std::int64_t{-1}, most));
  if (*to == -1) to.reset();
  return {};
}

// Files of the group's own directory: what has a slash in it, or is the directory, is elsewhere.
Result<> check_unified(const json::Value& files) {
  for (const json::Value file : files)
    if (file.key().empty() || file.key().starts_with('.') || file.key().contains('/'))
      return file.wrong("is of no name of a file");
  return {};
}

}  // namespace

static Result<> fill(DeviceRule& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  CGX_CHECK(json::fill(to.allow, from["allow"]));
  const json::Value type = from["type"];
  std::string word;
  CGX_CHECK(json::fill(word, type));
  if (!word.empty()) {
    if (word != "a" && word != "b" && word != "c") return type.wrong("is not a, b or c");
    to.type = word[0];
  }
  CGX_CHECK(fill_any(to.major, from["major"]));
  CGX_CHECK(fill_any(to.minor, from["minor"]));
  const json::Value access = from["access"];
  CGX_CHECK(json::fill(to.access, access));
  if (to.access.find_first_not_of("rwma") != std::string::npos) return access.wrong("is not made of r, w and m");
  return {};
}

static Result<> fill(HugepageLimit& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  CGX_CHECK(json::need(to.page_size, from["pageSize"]));
  const std::size_t digits = to.page_size.find_first_not_of("0123456789");
  const std::string_view unit = std::string_view(to.page_size).substr(std::min(digits, to.page_size.size()));
  if (digits == 0 || (unit != "KB" && unit != "MB" && unit != "GB"))
    return from["pageSize"].wrong("is no size of pages, as 2MB");
  return json::need(to.limit, from["limit"]);
}

Result<> fill(Resources& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  CGX_CHECK(json::fill(to.devices, from["devices"]));
  if (const json::Value memory = from["memory"]; memory.there()) CGX_CHECK(fill(to.memory.emplace(), memory));
  if (const json::Value cpu = from["cpu"]; cpu.there()) CGX_CHECK(fill(to.cpu.emplace(), cpu));
  if (const json::Value pids = from["pids"]; pids.there()) {
    CGX_CHECK(pids.expect(json::Kind::object));
    CGX_CHECK(json::fill(to.pids_limit, pids["limit"]));
  }
  if (const json::Value io = from["blockIO"]; io.there()) CGX_CHECK(fill(to.block_io.emplace(), io));
  CGX_CHECK(json::fill(to.hugepages, from["hugepageLimits"]));
  CGX_CHECK(fill_rdma(to.rdma, from["rdma"]));
  CGX_CHECK(fill_network(to, from["network"]));
  CGX_CHECK(json::fill(to.unified, from["unified"]));
  return check_unified(from["unified"]);
}

Result<Resources> read_resources(std::string_view text) {
  const json::Tree tree = CGX_TRY(json::parse(text));
  Resources resources;
  CGX_CHECK(fill(resources, json::Value(tree, 0)));
  return resources;
}

}  // namespace cgx::container
