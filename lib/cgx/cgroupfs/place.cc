// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/place.h"

#include <algorithm>
#include <cerrno>
#include <optional>

#include <fmt/format.h>

#include "cgx/cgroupfs/presence.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

// `12:cpu,cpuacct:/web` names controllers, `0::/web` the unified hierarchy, `1:name=systemd:/` a named one.
bool names(std::string_view list, const Hierarchy& h) {
  if (h.version() == Version::v2) return list.empty();
  if (h.controllers().empty()) return list == h.label();
  for (const std::string_view name : sys::split(list, ',')) {
    const auto c = find_controller(name);
    if (c && row(*c).v1_name == name && h.controllers().has(*c)) return true;
  }
  return false;
}

// The kernel's path as a name from the mount's root; nullopt: not beneath what is mounted.
std::optional<std::string> beneath_mount(std::string_view path, std::string_view mount_root) {
  if (mount_root != "/") {
    if (!path.starts_with(mount_root)) return {};
    path.remove_prefix(mount_root.size());
    if (!path.empty() && path.front() != '/') return {};
  }
  while (path.starts_with('/')) path.remove_prefix(1);
  return std::string(path);
}

}  // namespace

std::vector<Place> parse_places(std::string_view proc_cgroup, std::span<const Hierarchy> hierarchies) {
  std::vector<Place> places;
  for (const std::string_view line : sys::lines(proc_cgroup)) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view list = line.substr(first + 1, second - first - 1);
    for (const Hierarchy& h : hierarchies) {
      if (!names(list, h)) continue;
      if (auto group = beneath_mount(line.substr(second + 1), h.mount().root))
        places.push_back({&h, *std::move(group)});
    }
  }
  return places;
}

std::vector<Place> parse_places(std::string_view proc_cgroup, const Hierarchies& hierarchies) {
  return parse_places(proc_cgroup, hierarchies.all());
}

namespace {

Result<std::string> read_places(pid_t pid) {
  auto text = sys::read_path(pid == 0 ? "/proc/self/cgroup" : fmt::format("/proc/{}/cgroup", pid));
  // ESRCH: it went between open and read.
  if (!text && (text.error().code == ENOENT || text.error().code == ESRCH))
    return fail(ESRCH, "there is no such process");
  return text;
}

}  // namespace

Result<std::vector<Place>> places_of(const Hierarchies& hierarchies, pid_t pid) {
  return parse_places(CGX_TRY(read_places(pid)), hierarchies);
}

std::vector<const Hierarchy*> parse_unnamed(std::string_view proc_cgroup, const Hierarchies& hierarchies) {
  const std::vector<Place> places = parse_places(proc_cgroup, hierarchies);
  std::vector<const Hierarchy*> unnamed;
  for (const std::string_view line : sys::lines(proc_cgroup)) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    for (const Hierarchy& h : hierarchies.all()) {
      if (!names(line.substr(first + 1, second - first - 1), h)) continue;
      const auto place = std::ranges::find(places, &h, &Place::hierarchy);
      if (place == places.end() || is_outside(place->group)) unnamed.push_back(&h);
    }
  }
  return unnamed;
}

bool is_outside(std::string_view group) { return group == ".." || group.starts_with("../"); }

Error cannot_be_named(std::string value) {
  return {.code = ENOENT,
          .what = "its group cannot be named from here: it is outside of this cgroup namespace, or of what is mounted",
          .value = std::move(value),
          .hint = "run cgx in the cgroup namespace that the mounts are of, mostly the host's"};
}

Result<std::vector<const Hierarchy*>> unnamed_of(const Hierarchies& hierarchies, pid_t pid) {
  return parse_unnamed(CGX_TRY(read_places(pid)), hierarchies);
}

std::vector<Base> parse_bases(std::string_view proc_cgroup, const Hierarchies& hierarchies) {
  std::vector<Base> bases;
  for (const auto& list : {hierarchies.all(), hierarchies.named()})
    for (Place& place : parse_places(proc_cgroup, list))
      if (!place.group.empty() && !is_outside(place.group))
        bases.push_back({.hierarchy = place.hierarchy->label(), .group = std::move(place.group)});
  return bases;
}

Result<std::vector<Base>> bases_of(const Hierarchies& hierarchies, pid_t pid) {
  return parse_bases(CGX_TRY(read_places(pid)), hierarchies);
}

bool lies_in(std::string_view group, std::string_view top) {
  if (top.empty()) return true;
  return group.starts_with(top) && (group.size() == top.size() || group[top.size()] == '/');
}

Result<std::optional<ControllerSet>> controllers_above(const Hierarchies& hierarchies, std::string_view group) {
  for (std::string_view above = parent_of(group); !above.empty(); above = parent_of(above)) {
    const Cgroup there(hierarchies, std::string(above));
    if (!CGX_TRY(is_there(there))) continue;
    const auto& present = there.present();
    if (present.size() == hierarchies.all().size()) return std::optional<ControllerSet>();
    ControllerSet set;
    for (const ControllerRow& row : controllers())
      if (std::ranges::find(present, hierarchies.of(row.id)) != present.end()) set.add(row.id);
    return std::optional(set);
  }
  return std::optional<ControllerSet>();
}

}  // namespace cgx
