// SPDX-License-Identifier: Apache-2.0
// Where a container's group is, and limits that annotations ask for.
#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/cgroupfs/device_node.h"
#include "cgx/cgroupfs/disk.h"
#include "cgx/cgroupfs/place.h"
#include "cgx/cgroupfs/presence.h"
#include "cgx/change/capture.h"
#include "cgx/container/resources.h"

namespace cgx::container {
namespace {

// Whether `group` itself, not one above it, limits what is in it.
Result<bool> limits_something(const Hierarchies& hierarchies, const Hierarchy& h, const std::string& name) {
  const Cgroup group(hierarchies, name);
  if (!CGX_TRY(is_there(group))) return false;
  Result<bool> limited = false;
  for_each_knob([&](const Knob& knob) {
    if (!limited || *limited || (knob.kind != Kind::limit && knob.name != "devices")) return;
    const auto home = home_of(hierarchies, knob);
    if (!home || home->hierarchy != &h || !configures(knob, *home->backing)) return;
    const auto now = read_knob(group, knob);
    if (!now && says_no_value(now.error())) return;
    const auto initial = initial_value_in(group, knob);
    if (!now || !initial)
      limited = std::unexpected(!now ? now.error() : initial.error());
    else
      // Device rules of somebody else's program are known to nobody (ESTALE), but there are some.
      limited = *now ? *initial && !same_setting(knob, **now, **initial) : knob.name == "devices";
  });
  return limited;
}

const Hierarchy* with_controllers(const Hierarchies& hierarchies, std::string_view label) {
  for (const Hierarchy& h : hierarchies.all())
    if (h.label() == label) return &h;
  return nullptr;
}

// One name where the bases are the same wherever a controller is: then it is a name from the root, as others know it.
Placement counted(const std::string& name, std::vector<Base> bases, const Hierarchies& hierarchies) {
  std::erase_if(bases, [](const Base& base) { return base.group.empty(); });
  const auto controls = std::ranges::count_if(
      bases, [&](const Base& base) { return with_controllers(hierarchies, base.hierarchy) != nullptr; });
  const bool same = static_cast<std::size_t>(controls) == hierarchies.all().size() &&
                    std::ranges::all_of(bases, [&](const Base& base) { return base.group == bases[0].group; });
  if (bases.empty() || !same) return {.group = name, .bases = std::move(bases)};
  return {.group = child_of(bases[0].group, name), .bases = {}};
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

std::vector<Placement> placements_below(const std::string& name,
                                        const std::vector<Base>& own,
                                        const Hierarchies& hierarchies) {
  std::vector<Placement> found{counted(name, own, hierarchies)};
  const Hierarchy* v2 = hierarchies.unified();
  const auto at = v2 == nullptr ? own.end() : std::ranges::find(own, v2->label(), &Base::hierarchy);
  if (at == own.end() || limits_something(hierarchies, *v2, at->group).value_or(true)) return found;
  std::vector<Base> beside = own;
  std::string& base = beside[static_cast<std::size_t>(at - own.begin())].group;
  base = parent_of(base);
  found.push_back(counted(name, std::move(beside), hierarchies));
  return found;
}

bool is_name_of_file(std::string_view name) {
  const auto controller = controller_of_file(name);
  if (!controller || name.find('.') != std::string_view::npos) return controller.has_value();
  return *controller == Controller::core && name != "cgroup";  // `tasks`, not `memory`
}

Result<std::vector<Placement>> placements_of(const std::string& cgroups_path,
                                             const std::string& id,
                                             const Hierarchies& hierarchies) {
  std::string name = CGX_TRY(name_of(cgroups_path, id));
  if (cgroups_path.starts_with('/')) return std::vector{Placement{.group = std::move(name), .bases = {}}};
  return placements_below(name, CGX_TRY(bases_of(hierarchies, 0)), hierarchies);
}

Result<bool> caller_is_limited(const Hierarchies& hierarchies) {
  for (const Base& base : CGX_TRY(bases_of(hierarchies, 0))) {
    const Hierarchy* h = with_controllers(hierarchies, base.hierarchy);
    if (h == nullptr) continue;
    for (std::string_view group = base.group; !group.empty(); group = parent_of(group))
      if (CGX_TRY(limits_something(hierarchies, *h, std::string(group)))) return true;
  }
  return false;
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
