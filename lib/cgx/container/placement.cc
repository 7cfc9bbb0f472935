// SPDX-License-Identifier: Apache-2.0
// Where a container's group is, and limits that annotations ask for.
#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/cgroupfs/device_node.h"
#include "cgx/cgroupfs/disk.h"
#include "cgx/cgroupfs/place.h"
#include "cgx/container/resources.h"

namespace cgx::container {
namespace {

std::string common(const std::string& a, const std::string& b) {
  std::string_view top = a;
  while (!top.empty() && !lies_in(b, top)) top = parent_of(top);
  return std::string(top);
}

// A container has one name in all hierarchies; so it is below what its maker's groups have in common.
Result<std::string> own_group(const Hierarchies& hierarchies) {
  std::optional<std::string> top;
  for (const Place& place : CGX_TRY(places_of(hierarchies, 0))) {
    if (place.group.starts_with("..")) return std::string();  // outside of this cgroup namespace
    top = top ? common(*top, place.group) : place.group;
  }
  return top.value_or(std::string());
}

// On cgroup2 a group with processes, as its maker's is, can give its children no controllers: there the container is
// beside its maker's group.
bool needs_room(const Hierarchies& hierarchies) {
  const Hierarchy* v2 = hierarchies.unified();
  return v2 != nullptr && std::ranges::any_of(std::array{Controller::cpu, Controller::memory, Controller::pids},
                                              [&](Controller c) { return hierarchies.of(c) == v2; });
}

Result<std::string> name_of(const std::string& cgroups_path, const std::string& id) {
  const auto bad = [&](std::string_view what) {
    Error e{.code = EINVAL, .what = std::string(what), .knob = "linux.cgroupsPath", .value = cgroups_path};
    return std::unexpected(std::move(e));
  };
  // Engines write doubled slashes where a part is empty.
  std::string path;
  for (const char c : cgroups_path.empty() ? id : cgroups_path)
    if (c != '/' || (!path.empty() && path.back() != '/')) path += c;
  while (path.ends_with('/')) path.pop_back();
  if (path.empty()) return bad("is the root, which a container cannot have");
  const auto name = parse_group_name(path);
  if (!name) return bad(name.error().what);
  if (name->empty()) return bad("is the root, which a container cannot have");
  return *name;
}

bool may_be_annotated(const Knob& knob) {
  if (knob.name == "devices" || knob.name == "net_cls.classid") return false;
  switch (knob.kind) {
    case Kind::limit:
    case Kind::protection:
    case Kind::weight:
    case Kind::control:
      return true;
    case Kind::stat:
    case Kind::command:
      break;
  }
  return false;
}

}  // namespace

Result<std::string> group_of(const std::string& cgroups_path, const std::string& id, const Hierarchies& hierarchies) {
  std::string name = CGX_TRY(name_of(cgroups_path, id));
  if (cgroups_path.starts_with('/')) return name;
  const std::string own = CGX_TRY(own_group(hierarchies));
  return child_of(needs_room(hierarchies) ? parent_of(own) : own, name);
}

Result<std::string> group_below(const std::string& cgroups_path,
                                const std::string& id,
                                const Hierarchies& hierarchies) {
  std::string name = CGX_TRY(name_of(cgroups_path, id));
  if (cgroups_path.starts_with('/')) return name;
  return child_of(CGX_TRY(own_group(hierarchies)), name);
}

Result<std::vector<Limit>> annotated_limits(const Pairs& annotations, const std::vector<Limit>& beside) {
  constexpr std::string_view prefix = "org.cgx.";
  constexpr std::string_view limit_prefix = "org.cgx.limit.";
  const DeviceNames names{.disk = disk_of, .node = device_node};
  std::vector<Limit> limits;
  for (const auto& [key, text] : annotations) {
    if (!key.starts_with(prefix)) continue;
    const auto refuse_it = [&](int code, std::string what) {
      Error e{.code = code, .what = std::move(what), .knob = fmt::format("annotation {}", key), .value = text};
      return std::unexpected(std::move(e));
    };
    if (!key.starts_with(limit_prefix)) return refuse_it(EINVAL, "is no annotation that cgx-oci knows");
    const std::string flag = key.substr(limit_prefix.size());
    const Knob* knob = flag.starts_with('-') ? nullptr : find_knob(flag);
    if (knob == nullptr || knob->flag.empty() || knob->flag != flag) return refuse_it(EINVAL, "names no limit");
    if (!may_be_annotated(*knob)) return refuse_it(EINVAL, "is not for annotations");
    // Two rows may be the same file: shares and weight.
    const auto same = [&](const Limit& limit) {
      const Knob* other = limit.knob != nullptr ? limit.knob : knob_of_file(limit.file, Version::v2);
      return other == knob || (other != nullptr && ((knob->v1.present() && other->v1.files[0] == knob->v1.files[0]) ||
                                                    (knob->v2.present() && other->v2.files[0] == knob->v2.files[0])));
    };
    if (std::ranges::any_of(beside, same)) return refuse_it(EINVAL, "is set by linux.resources already");
    auto value = parse_value(*knob, text, names);
    if (!value) return refuse_it(EINVAL, value.error().what);
    limits.push_back({knob, std::move(*value), text, {}});
  }
  return limits;
}

}  // namespace cgx::container
