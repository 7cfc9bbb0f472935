// SPDX-License-Identifier: Apache-2.0
// pause, resume, update: a container's group while it runs.
#include <cerrno>
#include <optional>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/resources.h"
#include "cgx/sys/text.h"

#include "container.h"

namespace cgx::oci {
namespace {

Result<> needs_group(const State& state, std::string_view for_what) {
  if (!state.group.empty()) return {};
  return fail(ENOTSUP, fmt::format("cannot {} a container that has no cgroup of its own", for_what));
}

template <class T>
Result<> take(const Invocation& call, std::string_view flag, std::optional<T>& into) {
  if (!call.has(flag)) return {};
  constexpr bool is_signed = std::is_signed_v<T>;
  const std::string_view text = call.get(flag);
  // A number with a suffix is a size, as 512M.
  const auto n = [&]() -> Result<T> {
    if constexpr (is_signed) {
      if (text == "-1" || text == "max") return T{-1};
      const std::uint64_t size = CGX_TRY(sys::parse_size(text));
      return static_cast<T>(size);
    } else {
      return static_cast<T>(CGX_TRY(sys::parse_u64(text, 0, std::numeric_limits<T>::max())));
    }
  }();
  if (!n) return fail(EINVAL, fmt::format("invalid value for {}: {}", flag, text));
  into = *n;
  return {};
}

Result<container::Resources> resources_of(const Invocation& call) {
  if (call.has("resources")) {
    const std::string file(call.get("resources"));
    const auto text = file == "-" ? sys::read_all(STDIN_FILENO) : sys::read_path(file);
    if (!text) return fail(text.error().code, fmt::format("open {}: {}", file, errno_text(text.error().code)));
    return container::read_resources(*text);
  }
  for (const char* flag : {"l3-cache-schema", "mem-bw-schema"})
    if (call.has(flag)) return fail(ENOTSUP, fmt::format("--{} is not supported: Intel RDT is not used here", flag));
  container::Resources resources;
  container::CpuLimits cpu;
  container::MemoryLimits memory;
  container::BlockIoLimits io;
  CGX_CHECK(take(call, "blkio-weight", io.weight));
  CGX_CHECK(take(call, "cpu-period", cpu.period));
  CGX_CHECK(take(call, "cpu-quota", cpu.quota));
  CGX_CHECK(take(call, "cpu-burst", cpu.burst));
  CGX_CHECK(take(call, "cpu-share", cpu.shares));
  CGX_CHECK(take(call, "cpu-rt-period", cpu.rt_period));
  CGX_CHECK(take(call, "cpu-rt-runtime", cpu.rt_runtime));
  CGX_CHECK(take(call, "cpu-idle", cpu.idle));
  cpu.cpus = call.get("cpuset-cpus");
  cpu.mems = call.get("cpuset-mems");
  CGX_CHECK(take(call, "kernel-memory", memory.kernel));
  CGX_CHECK(take(call, "kernel-memory-tcp", memory.kernel_tcp));
  CGX_CHECK(take(call, "memory", memory.limit));
  CGX_CHECK(take(call, "memory-reservation", memory.reservation));
  CGX_CHECK(take(call, "memory-swap", memory.swap));
  CGX_CHECK(take(call, "pids-limit", resources.pids_limit));
  resources.cpu = std::move(cpu);
  resources.memory = memory;
  resources.block_io = std::move(io);
  return resources;
}

}  // namespace

Result<int> run_pause(const Invocation& call) {
  const Container container = CGX_TRY(find_container(call, call.words[0], Store::How::look));
  if (container.status != Status::running && container.status != Status::created)
    return fail(EINVAL, fmt::format("container not running or created: {}", status_word(container.status)));
  CGX_CHECK(needs_group(container.state, "pause"));
  const Hierarchies hierarchies = CGX_TRY(container::hierarchies_of(container.state));
  CGX_CHECK(freeze(Cgroup(hierarchies, container.state.group), in_seconds(10)));
  return 0;
}

Result<int> run_resume(const Invocation& call) {
  const Container container = CGX_TRY(find_container(call, call.words[0], Store::How::look));
  const auto not_paused = [] { return fail(EINVAL, "container not paused"); };
  if (container.status == Status::stopped || container.state.group.empty()) return not_paused();
  const Hierarchies hierarchies = CGX_TRY(container::hierarchies_of(container.state));
  const Cgroup group(hierarchies, container.state.group);
  // A container that was paused before it was started is `created`.
  if (!CGX_TRY(frozen(group))) return not_paused();
  CGX_CHECK(thaw(group, in_seconds(10)));
  return 0;
}

Result<int> run_update(const Invocation& call) {
  const Container container = CGX_TRY(find_container(call, call.words[0], Store::How::change));
  if (container.status == Status::stopped) return fail(ESRCH, "container not running");
  CGX_CHECK(needs_group(container.state, "update"));
  const container::Resources resources = CGX_TRY(resources_of(call));
  const Hierarchies hierarchies = CGX_TRY(container::hierarchies_of(container.state));
  const Cgroup group(hierarchies, container.state.group);
  const container::Limits limits = CGX_TRY(container::limits_of(resources, hierarchies, &group));
  for (const std::string& note : limits.notes) call.log->warning(note);
  if (limits.limits.empty()) return 0;
  if (!container.state.systemd_scope.empty()) {
    CGX_CHECK(set_scope_limits(container.state, limits.limits));
    return 0;
  }
  Transaction transaction(hierarchies);
  // Unless the specification asks for a look first, a lower limit counts, whatever the kernel has to do for it.
  const bool careful = resources.memory && resources.memory->check_before_update.value_or(false);
  auto applied = transaction.apply({.group = container.state.group, .limits = limits.limits, .force = !careful});
  if (!applied && applied.error().code == EINVAL) {
    // One bounds the other: the flag is this command's.
    Error& e = applied.error();
    if (e.knob == "memory.limit_in_bytes") e.hint = "give --memory-swap too";
    if (e.knob == "memory.memsw.limit_in_bytes") e.hint = "give --memory too";
  }
  CGX_CHECK(applied);
  for (const std::string& note : transaction.notes()) call.log->debug(note);
  transaction.commit();
  return 0;
}

}  // namespace cgx::oci
