// SPDX-License-Identifier: Apache-2.0
#include "processes.h"

#include <cerrno>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/change/owner.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/harmless.h"
#include "cgx/sys/text.h"

#include "groups.h"

namespace cgx::tool {

Result<std::vector<Cgroup>> existing_groups(const Hierarchies& hierarchies, const std::vector<std::string>& names) {
  std::vector<Cgroup> groups;
  groups.reserve(names.size());
  for (const std::string& name : names) {
    groups.emplace_back(hierarchies, CGX_TRY(existing_name(hierarchies, name)));
  }
  for (const Cgroup& group : groups) CGX_CHECK(group.require());
  return groups;
}

Result<pid_t> parse_pid(std::string_view text) {
  const auto id = sys::parse_u64(text, 1, 4'194'304);
  if (!id) return bad_value(text, "is not a process id (1 to 4194304)");
  return static_cast<pid_t>(*id);
}

std::string command_of(pid_t id) {
  const auto text = sys::read_path(fmt::format("/proc/{}/comm", id));
  return text ? std::string(sys::trim(*text)) : "?";
}

std::string without_controls(std::string_view text) { return sys::harmless(text); }

std::string printable(std::string_view text) {
  return isatty(STDOUT_FILENO) == 1 ? without_controls(text) : std::string(text);
}

Result<> leave_to_systemd(const Cgroup& group, std::string_view verb) {
  const auto unit = systemd_unit_of(group.hierarchies(), group.name());
  if (!unit) return {};
  Error e = refuse_for_systemd(group.name(), *unit, nullptr, {});
  if (!verb.empty()) e.hint = fmt::format("systemctl {} {}", verb, *unit);
  return std::unexpected(std::move(e));
}

}  // namespace cgx::tool
