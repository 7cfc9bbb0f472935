// SPDX-License-Identifier: Apache-2.0
#include "daemon/slices.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/cgroupfs/presence.h"
#include "cgx/change/slice.h"
#include "cgx/sys/text.h"

namespace cgx::daemon {
namespace {

using policy::Change;

constexpr std::string_view slices_file = "slices";

std::string keys_of(const policy::GroupPolicy& group) {
  std::string keys;
  for (const policy::PolicyLimit& limit : group.limits) keys += (keys.empty() ? "" : ",") + limit.key;
  return keys;
}

std::string text_of(const Limit& limit, const Value& value) {
  return limit.knob != nullptr ? exact(*limit.knob, value) : limit.given;
}

}  // namespace

Slices::Slices(const Hierarchies& hierarchies,
               const StateDir& state,
               std::unique_ptr<SystemdManager> systemd,
               std::string_view made)
    : hierarchies_(&hierarchies), state_(&state), systemd_(std::move(systemd)) {
  for (const std::string_view line : sys::lines(made)) {
    const std::size_t blank = line.find(' ');
    made_.emplace(line.substr(0, blank), blank == std::string_view::npos ? "" : line.substr(blank + 1));
  }
}

Result<std::unique_ptr<Slices>> Slices::connect(const Hierarchies& hierarchies, const StateDir& state) {
  const std::string made = CGX_TRY(state.read(slices_file));
  auto systemd = CGX_TRY(SystemdManager::connect());
  return std::unique_ptr<Slices>(new Slices(hierarchies, state, std::move(systemd), made));
}

std::string Slices::place(const std::string& group) {
  const auto slice = slice_of(group);
  return slice ? slice->group : group;
}

policy::Policies Slices::placed(policy::Policies policies) {
  for (policy::GroupPolicy& group : policies.groups) {
    group.name = place(group.name);
    const auto place_action = [](policy::Action& action) {
      std::string* named = nullptr;
      if (auto* const freeze = std::get_if<policy::Freeze>(&action.what)) named = &freeze->group;
      if (auto* const thaw = std::get_if<policy::Thaw>(&action.what)) named = &thaw->group;
      if (auto* const set = std::get_if<policy::Set>(&action.what)) named = &set->group;
      if (named != nullptr && !named->empty()) *named = place(*named);
    };
    for (policy::Action& action : group.on_oom) place_action(action);
    for (policy::PressureRule& rule : group.on_pressure)
      for (policy::Action& action : rule.actions) place_action(action);
  }
  return policies;
}

Result<> Slices::compare(const policy::GroupPolicy& group, std::vector<Change>& changes) const {
  const Slice slice = CGX_TRY(slice_of(group.name));
  const Cgroup cgroup(*hierarchies_, slice.group);
  if (!CGX_TRY(is_there(cgroup)) || !is_marked_slice(*hierarchies_, slice.group)) {
    changes.push_back({.sign = Change::Sign::add, .group = group.name});
    return {};
  }
  for (const policy::PolicyLimit& wanted : group.limits) {
    if (wanted.limit.knob == nullptr) {
      const auto controller = controller_of_file(wanted.limit.file);
      const auto now = controller ? cgroup.read(*controller, wanted.limit.file) : fail(ENOENT, "");
      if (!now && !says_no_value(now.error())) return std::unexpected(now.error());
      if (now && sys::trim(*now) == sys::trim(wanted.limit.given)) continue;
      changes.push_back({Change::Sign::modify, group.name, wanted.key, now.value_or(""), wanted.limit.given});
      continue;
    }
    const auto now = read_knob(cgroup, *wanted.limit.knob);
    if (!now && !says_no_value(now.error())) return located(Result<>(std::unexpected(now.error())), group.name);
    if (now && *now && **now == wanted.limit.value) continue;
    changes.push_back({Change::Sign::modify,
                       group.name,
                       wanted.key,
                       now && *now ? text_of(wanted.limit, **now) : "",
                       text_of(wanted.limit, wanted.limit.value)});
  }
  // What is no longer named goes back.
  const auto made = made_.find(group.name);
  if (made == made_.end()) return {};
  for (const std::string_view key : sys::split(made->second, ','))
    if (!key.empty() && std::ranges::none_of(group.limits, [&](const auto& limit) { return limit.key == key; }))
      changes.push_back({.sign = Change::Sign::modify, .group = group.name, .key = std::string(key)});
  return {};
}

Result<std::vector<Change>> Slices::plan(const policy::Policies& wanted) const {
  std::vector<Change> changes;
  for (const policy::GroupPolicy& group : wanted.groups) CGX_CHECK(compare(group, changes));
  for (auto made = made_.rbegin(); made != made_.rend(); ++made)  // children before parents
    if (wanted.find(made->first) == nullptr) changes.push_back({.sign = Change::Sign::remove, .group = made->first});
  return changes;
}

Result<> Slices::put(const policy::GroupPolicy& group) {
  std::vector<Limit> limits;
  for (const policy::PolicyLimit& limit : group.limits) limits.push_back(limit.limit);
  return systemd_->put(*hierarchies_, group.name, limits, group.description);
}

std::string Slices::group_at(const std::string& place) const {
  for (const auto& [name, keys] : made_)
    if (Slices::place(name) == place) return name;
  return {};
}

std::string Slices::unit_of(const std::string& place) const {
  const std::string group = group_at(place);
  if (group.empty()) return {};
  const auto slice = slice_of(group);
  return slice ? slice->unit : std::string();
}

Result<> Slices::changed(const std::string& place, std::span<const Limit> limits) {
  const std::string unit = unit_of(place);
  if (unit.empty()) return {};
  const Divided divided = CGX_TRY(located(divide(*hierarchies_, limits), place));
  if (!divided.properties.empty()) CGX_CHECK(located(systemd_->set_properties(unit, divided.properties), place));
  if (divided.files.empty()) return {};
  Transaction transaction(*hierarchies_);
  CGX_CHECK(transaction.apply({.group = place, .limits = divided.files}));
  transaction.commit();
  return {};
}

Result<> Slices::attach(const std::string& place, pid_t pid) {
  return located(systemd_->attach(group_at(place), {&pid, 1}), place);
}

// Newest first; a failure here is told by the next comparison.
void Slices::take_back(const std::vector<std::string>& done) {
  for (auto name = done.rbegin(); name != done.rend(); ++name) {
    const auto before = in_force_.find(*name);
    if (before != in_force_.end())
      (void)put(before->second);
    else if (!made_.contains(*name))
      (void)systemd_->remove(*hierarchies_, *name);
  }
}

Result<policy::Applied> Slices::apply(const policy::Policies& wanted) {
  policy::Applied applied;
  std::vector<std::string> done;
  for (const policy::GroupPolicy& group : wanted.groups) {
    std::vector<Change> changes;
    auto put_it = compare(group, changes);
    if (put_it && changes.empty()) continue;
    done.push_back(group.name);
    if (put_it) put_it = put(group);
    if (!put_it) {
      take_back(done);
      return std::unexpected(std::move(put_it).error());
    }
    std::move(changes.begin(), changes.end(), std::back_inserter(applied.changes));
  }
  std::vector<std::string> former;
  for (const auto& [name, keys] : made_)
    if (wanted.find(name) == nullptr) former.push_back(name);
  std::reverse(former.begin(), former.end());  // children before parents
  for (const policy::GroupPolicy& group : wanted.groups) made_[group.name] = keys_of(group);
  for (const std::string& name : former) {
    if (const auto removed = located(systemd_->remove(*hierarchies_, name), name); !removed) {
      applied.stays.push_back({.text = removed.error().text(), .why = removed.error()});
      continue;
    }
    applied.changes.push_back({.sign = Change::Sign::remove, .group = name});
    made_.erase(name);
  }
  in_force_.clear();
  for (const policy::GroupPolicy& group : wanted.groups) in_force_.emplace(group.name, group);
  keep();
  return applied;
}

void Slices::keep() const {
  std::string text;
  for (const auto& [name, keys] : made_) text += fmt::format("{} {}\n", name, keys);
  (void)state_->write(slices_file, text);  // it is written again at the next load
}

}  // namespace cgx::daemon
