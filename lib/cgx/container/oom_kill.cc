// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/oom_kill.h"

#include <array>

#include <fmt/format.h>

#include "cgx/cgroupfs/event.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

bool is_v1(const Cgroup& group) {
  const Hierarchy* h = group.hierarchies().of(Controller::memory);
  return h != nullptr && h->version() == Version::v1;
}

}  // namespace

std::uint64_t oom_kills(const Cgroup& group) {
  const auto text = group.read(Controller::memory, is_v1(group) ? "memory.oom_control" : "memory.events");
  if (!text) return 0;
  if (is_v1(group)) return OomControl::parse(*text).value_or(OomControl{}).oom_kill;
  return MemoryEvents::parse(*text).value_or(MemoryEvents{}).oom_kill;
}

std::string memory_limits(const Cgroup& group) {
  constexpr std::array<std::string_view, 2> v1_files{"memory.limit_in_bytes", "memory.memsw.limit_in_bytes"};
  constexpr std::array<std::string_view, 1> v2_files{"memory.max"};
  const bool v1 = is_v1(group);
  const std::span<const std::string_view> files = v1 ? std::span<const std::string_view>(v1_files) : v2_files;
  constexpr std::uint64_t unlimited = std::uint64_t{1} << 62U;  // v1 shows the largest number of pages
  for (std::string_view name = group.name(); !name.empty(); name = parent_of(name)) {
    const Cgroup here(group.hierarchies(), std::string(name));
    std::string found;
    for (const std::string_view file : files) {
      const auto text = here.read(Controller::memory, file);
      const auto limit = text ? sys::parse_u64(sys::trim(*text)) : Result<std::uint64_t>(0);
      if (!text || !limit || *limit >= unlimited) continue;  // "max"
      found += fmt::format("{}{} {}", found.empty() ? "" : ", ", file, *limit);
    }
    if (!found.empty()) return fmt::format("{} of {}", found, shown(name));
  }
  return {};
}

}  // namespace cgx::container
