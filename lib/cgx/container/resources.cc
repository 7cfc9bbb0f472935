// SPDX-License-Identifier: Apache-2.0
// memory, cpu, pids and what has one file each; tables by device are in resources_tables.cc.
#include "cgx/container/resources.h"

#include <cerrno>

#include <fmt/format.h>

#include "cgx/container/resources_parts.h"
#include "cgx/model/convert.h"
#include "cgx/sys/text.h"

namespace cgx::container {

std::unexpected<Error> refuse(int code, std::string_view field, std::string value, std::string what) {
  Error e{.code = code, .what = std::move(what), .value = std::move(value)};
  e.knob = fmt::format("linux.resources.{}", field);
  return std::unexpected(std::move(e));
}

Result<> Collected::add(std::string_view knob, std::string_view field, Value value, std::string given) {
  const Knob* row = find_knob(knob);
  if (row == nullptr) return refuse(ENOTSUP, field, std::move(given), "has no row");
  if (const auto home = home_of(hierarchies, *row); !home)
    return refuse(ENOTSUP, field, std::move(given), home.error().what);
  result.limits.push_back({row, std::move(value), std::move(given), {}});
  return {};
}

Result<> Collected::number(std::string_view knob, std::string_view field, std::uint64_t n) {
  return add(knob, field, Value(n), n == sys::unlimited ? std::string("max") : std::to_string(n));
}

void Collected::note(std::string_view field, std::string_view why) {
  result.notes.push_back(fmt::format("linux.resources.{}: {}", field, why));
}

namespace {

bool on_v1(const Hierarchies& hierarchies, Controller controller) {
  const Hierarchy* h = hierarchies.of(controller);
  return h != nullptr && h->version() == Version::v1;
}

std::uint64_t bytes_or_unlimited(std::int64_t n) { return n < 0 ? sys::unlimited : static_cast<std::uint64_t>(n); }

// What this group has now, for values that come in halves.
template <class T>
std::optional<T> in_force(const Collected& all, std::string_view knob) {
  if (all.existing == nullptr) return {};
  const Knob* row = find_knob(knob);
  const auto value = row != nullptr ? read_knob(*all.existing, *row) : Result<std::optional<Value>>();
  if (!value || !*value) return {};
  const T* found = std::get_if<T>(&**value);
  return found != nullptr ? std::optional<T>(*found) : std::nullopt;
}

Result<> swap(Collected& all, const MemoryLimits& memory) {
  if (!memory.swap || *memory.swap == 0) {
    // Memory without a limit beside a limit of memory and swap there cannot be: both are lifted.
    const bool lifted = all.existing != nullptr && memory.limit && *memory.limit < 0;
    if (!lifted || !in_force<std::uint64_t>(all, "memory.memsw.limit_in_bytes")) return {};
    return all.number("memory.memsw.limit_in_bytes", "memory.swap", sys::unlimited);
  }
  if (*memory.swap > 0) {
    std::optional<std::uint64_t> limit = in_force<std::uint64_t>(all, "memory.max");
    if (memory.limit && *memory.limit != 0) limit = bytes_or_unlimited(*memory.limit);
    if (!limit || *limit == sys::unlimited)
      return refuse(EINVAL,
                    "memory.swap",
                    std::to_string(*memory.swap),
                    "is a limit of memory and swap together, and there is no limit of memory");
    if (static_cast<std::uint64_t>(*memory.swap) < *limit)
      return refuse(EINVAL,
                    "memory.swap",
                    std::to_string(*memory.swap),
                    fmt::format("is a limit of memory and swap together, below that of memory, {}", *limit));
  }
  // Without accounting of swap the kernel has no such file; where there can be no swap beside the limit, none is lost.
  const Hierarchy* h = all.hierarchies.of(Controller::memory);
  if (h != nullptr && h->version() == Version::v1) {
    const auto root = h->root();
    if (root && !sys::exists(*root, "memory.memsw.limit_in_bytes")) {
      if (*memory.swap > 0)
        return refuse(ENOTSUP,
                      "memory.swap",
                      std::to_string(*memory.swap),
                      "cannot be kept: this kernel counts no swap (swapaccount=1 on its command line turns it on)");
      all.note("memory.swap", "this kernel counts no swap, so that it is unlimited anyway");
      return {};
    }
  }
  return all.number("memory.memsw.limit_in_bytes", "memory.swap", bytes_or_unlimited(*memory.swap));
}

Result<> take_memory(Collected& all, const MemoryLimits& memory) {
  if (memory.limit && *memory.limit != 0)
    CGX_CHECK(all.number("memory.max", "memory.limit", bytes_or_unlimited(*memory.limit)));
  if (memory.reservation && *memory.reservation != 0)
    CGX_CHECK(all.number("memory.soft_limit_in_bytes", "memory.reservation", bytes_or_unlimited(*memory.reservation)));
  CGX_CHECK(swap(all, memory));
  if (memory.kernel && *memory.kernel != 0)
    all.note("memory.kernel", "kernels of today have no limit of kernel memory alone; it counts as memory");
  if (memory.kernel_tcp && *memory.kernel_tcp != 0) {
    if (on_v1(all.hierarchies, Controller::memory))
      CGX_CHECK(
          all.number("memory.kmem.tcp.limit_in_bytes", "memory.kernelTCP", bytes_or_unlimited(*memory.kernel_tcp)));
    else
      all.note("memory.kernelTCP", "cgroup v2 has no limit of TCP buffers alone; they count as memory");
  }
  if (memory.swappiness) {
    if (*memory.swappiness > 100)
      return refuse(EINVAL,
                    "memory.swappiness",
                    std::to_string(*memory.swappiness),
                    "is outside the valid memory swappiness range of 0 to 100");
    if (on_v1(all.hierarchies, Controller::memory))
      CGX_CHECK(all.number("memory.swappiness", "memory.swappiness", *memory.swappiness));
    else
      all.note("memory.swappiness", "cgroup v2 has no swappiness of a group");
  }
  if (memory.disable_oom_killer) {
    if (on_v1(all.hierarchies, Controller::memory)) {
      // Off is what a new group has.
      if (*memory.disable_oom_killer || all.existing != nullptr)
        CGX_CHECK(all.add("memory.oom",
                          "memory.disableOOMKiller",
                          Value(std::string(*memory.disable_oom_killer ? "pause" : "kill")),
                          *memory.disable_oom_killer ? "true" : "false"));
    } else if (*memory.disable_oom_killer) {
      all.note("memory.disableOOMKiller", "cgroup v2 cannot turn off the OOM killer");
    }
  }
  return {};
}

Result<> bandwidth(Collected& all, const CpuLimits& cpu) {
  const bool has_quota = cpu.quota && *cpu.quota != 0;
  const bool has_period = cpu.period && *cpu.period != 0;
  if (!has_quota && !has_period) return {};
  sys::Quota wanted = in_force<sys::Quota>(all, "cpu.max").value_or(sys::Quota{sys::unlimited, 100'000});
  if (has_quota) wanted.quota = bytes_or_unlimited(*cpu.quota);
  if (has_period) wanted.period = *cpu.period;
  return all.add("cpu.max",
                 has_quota ? "cpu.quota" : "cpu.period",
                 Value(wanted),
                 std::to_string(has_quota ? *cpu.quota : static_cast<std::int64_t>(*cpu.period)));
}

Result<> real_time(Collected& all, const CpuLimits& cpu) {
  const bool has_runtime = cpu.rt_runtime && *cpu.rt_runtime != 0;
  const bool has_period = cpu.rt_period && *cpu.rt_period != 0;
  if (!has_runtime && !has_period) return {};
  const Hierarchy* h = all.hierarchies.of(Controller::cpu);
  const char* field = has_runtime ? "cpu.realtimeRuntime" : "cpu.realtimePeriod";
  const std::string given = std::to_string(has_runtime ? *cpu.rt_runtime : static_cast<std::int64_t>(*cpu.rt_period));
  if (h != nullptr && h->version() == Version::v1) {
    const auto root = h->root();
    if (root && !sys::exists(*root, "cpu.rt_runtime_us"))
      return refuse(
          ENOTSUP, field, given, "needs a kernel with CONFIG_RT_GROUP_SCHED; this one has no cpu.rt_runtime_us");
  }
  sys::Quota wanted = in_force<sys::Quota>(all, "cpu.rt").value_or(sys::Quota{0, 1'000'000});
  if (has_runtime) wanted.quota = bytes_or_unlimited(*cpu.rt_runtime);
  if (has_period) wanted.period = *cpu.rt_period;
  return all.add("cpu.rt", field, Value(wanted), given);
}

Result<> take_cpu(Collected& all, const CpuLimits& cpu) {
  if (cpu.shares && *cpu.shares != 0) {
    if (*cpu.shares < 2)
      return refuse(EINVAL, "cpu.shares", std::to_string(*cpu.shares), "the minimum allowed cpu-shares is 2");
    if (*cpu.shares > 262144)
      return refuse(EINVAL, "cpu.shares", std::to_string(*cpu.shares), "the maximum allowed cpu-shares is 262144");
    CGX_CHECK(all.number("cpu.shares", "cpu.shares", *cpu.shares));
  }
  CGX_CHECK(bandwidth(all, cpu));
  if (cpu.burst && (*cpu.burst != 0 || all.existing != nullptr))
    CGX_CHECK(all.number("cpu.max.burst", "cpu.burst", *cpu.burst));
  if (cpu.idle && (*cpu.idle != 0 || all.existing != nullptr)) {
    if (*cpu.idle != 0 && *cpu.idle != 1)
      return refuse(EINVAL, "cpu.idle", std::to_string(*cpu.idle), "is neither 0 nor 1");
    CGX_CHECK(all.number("cpu.idle", "cpu.idle", static_cast<std::uint64_t>(*cpu.idle)));
  }
  CGX_CHECK(real_time(all, cpu));
  const auto list = [&](std::string_view knob, std::string_view field, const std::string& text) -> Result<> {
    if (text.empty()) return {};
    const auto ids = sys::IdSet::parse(text);
    if (!ids) return refuse(EINVAL, field, text, ids.error().what);
    return all.add(knob, field, Value(ids->text()), text);
  };
  CGX_CHECK(list("cpuset.cpus", "cpu.cpus", cpu.cpus));
  return list("cpuset.mems", "cpu.mems", cpu.mems);
}

}  // namespace

Result<Limits> limits_of(const Resources& resources, const Hierarchies& hierarchies, const Cgroup* existing) {
  Collected all{.hierarchies = hierarchies, .existing = existing, .result = {}};
  if (resources.memory) CGX_CHECK(take_memory(all, *resources.memory));
  if (resources.cpu) CGX_CHECK(take_cpu(all, *resources.cpu));
  // 0 is what old writers of the specification put where they meant nothing.
  if (resources.pids_limit && *resources.pids_limit != 0)
    CGX_CHECK(all.number("pids.max", "pids.limit", bytes_or_unlimited(*resources.pids_limit)));
  CGX_CHECK(take_tables(all, resources));
  CGX_CHECK(take_unified(all, resources.unified));
  if (existing == nullptr || !resources.devices.empty()) {
    const std::string text = CGX_TRY(device_rules_text(resources.devices));
    CGX_CHECK(all.add("devices", "devices", Value(text), "the rules of devices"));
  }
  return std::move(all.result);
}

}  // namespace cgx::container
