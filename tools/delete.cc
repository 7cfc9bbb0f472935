// SPDX-License-Identifier: Apache-2.0
// delete: everything that could be in the way is looked at before the first group goes.
#include <algorithm>
#include <cerrno>
#include <optional>
#include <span>

#include <signal.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/spared.h"
#include "cgx/change/explain.h"
#include "cgx/change/owner.h"
#include "cgx/sys/count.h"
#include "cgx/sys/json.h"

#include "groups.h"

namespace cgx::tool {
namespace {

// `first`: the groups that the same call removes before this one.
Result<> check(const Call& call, const Cgroup& group, std::span<const std::string> first) {
  CGX_CHECK(group.require());
  if (group.name().empty()) return bad_value("/", "is the root, which cannot be removed");
  if (const auto unit = systemd_unit_of(group.hierarchies(), group.name())) {
    Error e = refuse_for_systemd(group.name(), *unit, nullptr, "");
    e.hint = fmt::format("systemctl stop {}", *unit);
    return std::unexpected(std::move(e));
  }
  auto children = CGX_TRY(children_of(group));
  std::erase_if(children, [&](const std::string& child) {
    return std::ranges::find(first, fmt::format("{}/{}", group.name(), child)) != first.end();
  });
  if (!children.empty() && !call.on("recursive"))
    return std::unexpected(Error{.code = EBUSY,
                                 .what = fmt::format("has {} below it ({}{})",
                                                     sys::counted(children.size(), "group"),
                                                     children.front(),
                                                     children.size() > 1 ? ", ..." : ""),
                                 .group = group.name(),
                                 .hint = fmt::format("cgx delete -r {}", group.name())});
  if (call.on("kill") || call.on("to")) return {};
  const auto ids = CGX_TRY(children.empty() ? tasks_of(group) : tasks_below(group));
  if (ids.empty()) return {};
  std::string list;
  for (std::size_t i = 0; i < ids.size() && i < 8; ++i) {
    const auto comm = sys::read_path(fmt::format("/proc/{}/comm", ids[i]));
    list += fmt::format("{}{} ({})", i == 0 ? "" : ", ", ids[i], comm ? comm->substr(0, comm->find('\n')) : "?");
  }
  if (ids.size() > 8) list += fmt::format(" and {} more", ids.size() - 8);
  return std::unexpected(Error{.code = EBUSY,
                               .what = fmt::format("has processes in it: {}", list),
                               .group = group.name(),
                               .hint = "--kill kills them, --to NAME moves them"});
}

// --to, which must be outside of all that goes.
Result<std::optional<std::string>> target_of(const Call& call, const std::vector<std::string>& names) {
  if (!call.on("to")) return std::optional<std::string>{};
  if (call.on("kill"))
    return located(Result<std::optional<std::string>>(bad_value("--to", "and --kill exclude each other")), "");
  std::string to = CGX_TRY(located(parse_group_name(call.get("to")), "", "--to"));
  for (const std::string& name : names)
    if (to == name || (to.starts_with(name) && to[name.size()] == '/'))
      return located(Result<std::optional<std::string>>(bad_value(to, "is removed by the same call")), "", "--to");
  return std::optional(std::move(to));
}

Result<> empty_it(const Call& call, const Cgroup& group, const std::optional<std::string>& to) {
  if (to) {
    const Cgroup target(group.hierarchies(), *to);
    const std::vector<pid_t> ids = CGX_TRY(tasks_below(group));
    CGX_CHECK(check_spared(target, ids));
    for (const pid_t id : ids)
      if (const auto moved = attach(target, id); !moved && moved.error().code != ESRCH)
        return std::unexpected(explain_attach(target, moved.error(), id));
  }
  if (call.on("kill")) {
    const auto killed = kill_all(group, SIGKILL, CGX_TRY(deadline_of(call)));
    if (!killed) return std::unexpected(killed.error());
  }
  return {};
}

Result<std::string> dry_run(const Call& call, const Cgroup& group, const std::optional<std::string>& to) {
  std::vector<std::string> names = CGX_TRY(groups_below(group));
  names.insert(names.begin(), group.name());
  std::string text;
  if (call.on("kill"))
    for (const pid_t id : CGX_TRY(tasks_below(group))) text += fmt::format("kill -KILL {}\n", id);
  if (to) {
    const Cgroup target(group.hierarchies(), *to);
    for (const pid_t id : CGX_TRY(tasks_below(group)))
      for (const Hierarchy* h : target.present()) text += fmt::format("{} <- {}\n", h->path(*to, "cgroup.procs"), id);
  }
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    const Cgroup below(group.hierarchies(), *name);
    for (const Version version : {Version::v2, Version::v1})
      for (const Hierarchy* h : below.present())
        if (h->version() == version) text += fmt::format("rmdir {}\n", h->path(*name));
  }
  return text;
}

}  // namespace

Result<int> run_delete(const Call& call) {
  std::vector<std::string> names = CGX_TRY(names_of(call));
  (void)CGX_TRY(deadline_of(call));
  const std::optional<std::string> to = CGX_TRY(target_of(call, names));
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  for (std::string& name : names) name = existing_group(hierarchies, std::move(name));
  if (to) CGX_CHECK(Cgroup(hierarchies, *to).require());
  std::vector<Cgroup> groups;
  for (std::size_t i = 0; i < names.size(); ++i) {
    CGX_CHECK(check(call, groups.emplace_back(hierarchies, names[i]), std::span(names).first(i)));
    // Each holds a descriptor a hierarchy, of which a process has a thousand.
    if (names.size() > 8) groups.back().forget();
  }
  if (call.dry_run) {
    std::string text;
    for (const std::string& name : names) text += CGX_TRY(dry_run(call, Cgroup(hierarchies, name), to));
    print_steps(call, text);
    return 0;
  }
  for (Cgroup& group : groups) {
    CGX_CHECK(empty_it(call, group, to));
    if (const auto gone = remove_group(group, call.on("recursive") ? Below::remove : Below::keep); !gone)
      return std::unexpected(explain_remove(group, gone.error()));
    group.forget();
  }
  if (call.json) {
    sys::JsonWriter json;
    json.open_object().key("removed").open_array();
    for (const std::string& name : names) json.string(name);
    json.close_array().close_object();
    print(json.take() + "\n");
  }
  return 0;
}

}  // namespace cgx::tool
