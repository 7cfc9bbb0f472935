// SPDX-License-Identifier: Apache-2.0
#include "cgx/policy/snapshot.h"

#include <cerrno>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "cgx/cgroupfs/walk.h"
#include "cgx/change/capture.h"
#include "cgx/change/owner.h"
#include "cgx/policy/document.h"
#include "cgx/policy/emit.h"
#include "cgx/policy/policy.h"
#include "cgx/policy/users.h"
#include "cgx/sys/harmless.h"
#include "cgx/sys/text.h"

namespace cgx::policy {
namespace {

constexpr std::size_t most_named = 20;  // of the groups that are left out

// Visible ASCII as it is, every other byte as \xff.
std::string escaped_name(std::string_view name) {
  std::string text;
  for (const char c : name)
    text +=
        c > ' ' && c < 0x7f && c != '\\' ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return text;
}

// A comment that names the groups that are not in the snapshot; none where `names` is empty.
std::string left_out(std::string_view why,
                     const std::vector<std::string>& names,
                     std::string (*escape)(std::string_view)) {
  if (names.empty()) return {};
  std::string text = fmt::format("# Left out, {}:\n", why);
  for (std::size_t i = 0; i < names.size() && i < most_named; ++i) text += fmt::format("#   {}\n", escape(names[i]));
  if (names.size() > most_named) text += fmt::format("#   and {} more\n", names.size() - most_named);
  return text;
}

// The files that a knob without a key is in, as they are.
void add_raw(const Cgroup& group, const Knob& knob, GroupPolicy& policy) {
  const auto home = home_of(group.hierarchies(), knob);
  if (!home) return;
  const auto add = [&](std::string file) {
    const auto text = group.read(*home->hierarchy, file);
    if (!text) return;
    std::string key = "raw." + file;
    policy.limits.push_back(
        {{nullptr, std::string(), std::string(sys::trim(*text)), std::move(file)}, std::move(key), {}});
  };
  const std::string_view file = home->backing->files[0];
  const std::size_t star = file.find('*');
  if (star == std::string_view::npos) return add(std::string(file));
  const auto now = read_knob(group, knob);
  if (!now || !*now) return;
  for (const TableRow& r : std::get<Table>(**now)) {
    if (r.fields[0].second == sys::unlimited) continue;
    std::string one(file);
    add(one.replace(star, 1, r.key));
  }
}

GroupPolicy policy_of(const Cgroup& group, Desired found) {
  GroupPolicy policy;
  policy.name = group.name();
  for (Limit& l : found.limits) {
    const Knob& knob = *l.knob;
    // A cpuset of v1 is empty until somebody fills it, or once its last CPU is offline. Nobody can ask for that.
    if (knob.format == Format::list && knob.kind == Kind::limit && std::get<std::string>(l.value).empty()) continue;
    if (knob.name == "memory.oom" && std::get<std::string>(l.value) == "pause") {
      policy.oom = OomMode::pause;
    } else if (knob.name == "memory.oom" && std::get<std::string>(l.value) == "group") {
      policy.oom = OomMode::group;
      policy.limits.push_back({std::move(l), std::string(knob.key), {}});
    } else if (knob.key.empty()) {
      add_raw(group, knob, policy);
    } else {
      policy.limits.push_back({std::move(l), std::string(knob.key), {}});
    }
  }
  if (found.owner) {
    policy.owner = found.owner;
    HostNames names;
    policy.owner_text = fmt::format("{}:{}",
                                    names.user_name(found.owner->uid).value_or(std::to_string(found.owner->uid)),
                                    names.group_name(found.owner->gid).value_or(std::to_string(found.owner->gid)));
  }
  return policy;
}

}  // namespace

Result<std::string> snapshot(const Hierarchies& hierarchies, std::string_view group) {
  const Cgroup top(hierarchies, std::string(group));
  CGX_CHECK(top.require());
  std::vector<std::string> names;
  if (!group.empty()) names.emplace_back(group);
  for (Listed& below : CGX_TRY(walk(top, Depth::all))) names.push_back(std::move(below.name));
  const Capture capture(hierarchies);
  Policies policies;
  std::vector<std::string> systemd;
  std::vector<std::string> unwritable;
  std::vector<std::string> hidden;
  for (const std::string& name : names) {
    if (systemd_unit_of(hierarchies, name)) {
      systemd.push_back(name);
      continue;
    }
    if (!is_utf8(name)) {
      unwritable.push_back(name);
      continue;
    }
    const Cgroup one(hierarchies, name);
    auto found = capture.of(one);
    if (!found && found.error().code == ENOENT) continue;  // removed meanwhile
    if (!found && found.error().code == EXDEV && name != group) {
      hidden.push_back(name);
      continue;
    }
    if (!found) return std::unexpected(found.error());
    policies.groups.push_back(policy_of(one, *std::move(found)));
  }
  // One that is hidden in all of its hierarchies was not found.
  for (Covered& covered : CGX_TRY(covered_in(top)))
    if (covered.name != group && std::ranges::find(names, covered.name) == names.end() &&
        std::ranges::find(hidden, covered.name) == hidden.end())
      hidden.push_back(std::move(covered.name));
  std::string text = fmt::format("# {} of this host ({}), by cgx snapshot.\n",
                                 group.empty() ? "The groups" : fmt::format("The group {}", group),
                                 hierarchies.layout());
  text += left_out("since their names are not UTF-8, which a policy file cannot hold", unwritable, escaped_name);
  text += left_out("since another file system is mounted over their directory", hidden, sys::harmless);
  text += left_out(fmt::format("since systemd owns {}", systemd.size() == 1 ? "it" : "them"), systemd, sys::harmless);
  return text + CGX_TRY(emit(policies));
}

}  // namespace cgx::policy
