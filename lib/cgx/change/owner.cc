// SPDX-License-Identifier: Apache-2.0
#include "cgx/change/owner.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/change/plan.h"
#include "cgx/change/slice.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

bool is_unit(std::string_view part) {
  return part.ends_with(".slice") || part.ends_with(".service") || part.ends_with(".scope");
}

// Whether the directory has systemd's mark. `user.*` can be set by the owner of a directory, who may be anybody that
// the unit was given to: of others' directories only `trusted.*` is believed, which root alone can set.
bool has_mark(int dir) {
  std::array<char, 2> value{};
  const auto is_set = [&](const char* name) {
    return fgetxattr(dir, name, value.data(), value.size()) == 1 && value[0] == '1';
  };
  if (is_set("trusted.delegate")) return true;
  struct stat st{};
  return fstat(dir, &st) == 0 && (st.st_uid == 0 || st.st_uid == geteuid()) && is_set("user.delegate");
}

// systemd marks what it has delegated with an attribute on the unit's directory, in the tree that it tracks by.
bool delegated(const Hierarchies& hierarchies, std::string_view unit_group) {
  const auto marked = [&](const Hierarchy& h) {
    const auto root = h.root();
    if (!root) return false;
    const auto dir = sys::open_beneath(*root, unit_group, O_RDONLY | O_DIRECTORY);
    return dir && has_mark(dir->get());
  };
  if (const Hierarchy* u = hierarchies.unified(); u != nullptr && marked(*u)) return true;
  for (const Hierarchy& h : hierarchies.named())
    if (h.mount().name == "systemd" && marked(h)) return true;
  return false;
}

bool systemd_writes(const Hierarchies& hierarchies, const Limit& limit) {
  for (const Version version : {Version::v2, Version::v1}) {
    const Knob* knob = limit.knob != nullptr ? limit.knob : knob_of_file(limit.file, version);
    if (knob == nullptr) continue;
    const auto home = home_of(hierarchies, *knob);
    if (home && home->hierarchy->version() == version && systemd_sets(*knob, version)) return true;
  }
  return false;
}

}  // namespace

std::optional<std::string> systemd_unit_of(const Hierarchies& hierarchies, std::string_view group) {
  // Only names that end like a unit's can be systemd's: no look at the host for the others.
  std::string unit;
  std::string unit_group;
  bool managed = false;
  std::size_t end = 0;
  while (end < group.size()) {
    const std::size_t slash = std::min(group.find('/', end), group.size());
    const std::string_view part = group.substr(end, slash - end);
    if (is_unit(part)) {
      unit = part;
      unit_group = group.substr(0, slash);
      // sd_booted(3) looks for the same directory.
      if (!managed && access("/run/systemd/system", F_OK) != 0) return {};
      managed = true;
    } else if (managed && delegated(hierarchies, unit_group)) {
      return {};
    }
    end = slash + 1;
  }
  if (!managed) return {};
  return unit;
}

Error refuse_for_systemd(std::string_view group, std::string_view unit, const Knob* knob, std::string_view value) {
  Error e{.code = EPERM,
          .what = fmt::format("belongs to systemd's unit {}, which would overwrite the change", unit),
          .group = std::string(group)};
  if (knob != nullptr) e.knob = knob->name;
  if (knob != nullptr && !knob->property.empty())
    e.hint = fmt::format("systemctl set-property --runtime {} {}={}", unit, knob->property, value);
  else if (knob != nullptr)
    e.hint = fmt::format("systemd has no property for it; set Delegate=yes in {} and use a group below it", unit);
  else
    e.hint = fmt::format("set Delegate=yes in {} and use a group below it, or systemd-run --slice", unit);
  return e;
}

Result<> leave_to_systemd(const Hierarchies& hierarchies, const Desired& desired) {
  const auto unit = systemd_unit_of(hierarchies, desired.group);
  if (!unit) return {};
  const Limit* first = desired.limits.empty() ? nullptr : &desired.limits.front();
  if (desired.existing != Existing::refuse && !desired.owner && is_marked_slice(hierarchies, desired.group)) {
    const auto theirs =
        std::ranges::find_if(desired.limits, [&](const Limit& limit) { return systemd_writes(hierarchies, limit); });
    if (theirs == desired.limits.end()) return {};
    first = &*theirs;
  }
  return std::unexpected(refuse_for_systemd(
      desired.group, *unit, first != nullptr ? first->knob : nullptr, first != nullptr ? first->given : std::string()));
}

}  // namespace cgx
