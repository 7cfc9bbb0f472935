// SPDX-License-Identifier: Apache-2.0
// The groups as they are on the host: a watch of them all, a picture of them for the other parts, and what differs from
// the policies put right.
#include <algorithm>

#include <sys/epoll.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/presence.h"

#include "daemon/daemon.h"

namespace cgx::daemon {

void Daemon::put_right() {
  const bool came = keeper_.adopted_came();
  const auto repairs = keeper_.put_right();
  if (!repairs) {
    log_->error("groups differ from their policies, and cannot be put right: " + repairs.error().text());
    return;
  }
  for (const policy::Stay& stay : repairs->stays) log_->warning(stay.text, {{"group", stay.why.group}});
  for (const policy::Change& change : repairs->adopted)
    log_->info(
        fmt::format("{} is there, and its {} is set from {} to {}", change.group, change.key, change.from, change.to),
        {{"group", change.group}, {"knob", change.key}});
  for (const policy::Change& change : repairs->left)
    log_->warning(
        fmt::format("{} {} was put back to {} by its owner twice within a short time, and is left so: the policy "
                    "says {}",
                    change.group,
                    change.key,
                    change.from,
                    change.to),
        {{"group", change.group}, {"knob", change.key}});
  bool made = came;
  for (const policy::Change& change : repairs->changes) {
    made = made || change.sign == policy::Change::Sign::add;
    log_->warning(change.key.empty() ? fmt::format("{} was removed behind the policy's back; made again", change.group)
                                     : fmt::format("{} {} was changed behind the policy's back; put back from {} to {}",
                                                   change.group,
                                                   change.key,
                                                   change.from,
                                                   change.to),
                  {{"group", change.group}, {"knob", change.key}});
  }
  drifts_ += repairs->changes.size();
  metrics_->drifted(repairs->changes.size());
  if (repairs->changes.empty() && repairs->adopted.empty() && repairs->left.empty() && !came) return;
  // systemd has put back what the memory thread had in files of its own.
  if (made || slices_) hand_out();
  picture();
  if (came) tell_status();
}

void Daemon::picture() {
  watch_trees();
  auto world = std::make_shared<World>();
  std::set<std::string> named;
  for (const policy::GroupPolicy& group : keeper_.policies().groups) {
    named.insert(group.name);
    ManagedGroup managed{.name = group.name,
                         .description = group.description,
                         .source = fmt::format("{}:{}", group.place.file, group.place.line),
                         .oom = group.oom == policy::OomMode::pause   ? "pause"
                                : group.oom == policy::OomMode::group ? "group"
                                                                      : "kernel"};
    // A group that cannot be looked at may be there: the next comparison tells the error.
    managed.waits = group.adopt && !is_there(Cgroup(hierarchies_, group.name)).value_or(true);
    managed.left = keeper_.left_to_owner(group);
    if (slices_) managed.unit = slices_->unit_of(group.name);
    const auto [first, last] = keeper_.warnings().equal_range(group.name);
    for (auto warning = first; warning != last; ++warning) managed.warnings.push_back(warning->second);
    world->groups.push_back(std::move(managed));
  }
  const bool all = settings_.metrics_scope != "managed";
  if (trees_)
    for (std::string& group : trees_->groups()) {
      if (group.empty()) continue;
      if (!named.contains(group) && is_managed(group)) world->groups.push_back({.name = group, .oom = "kernel"});
      if (all) world->seen.push_back(std::move(group));
    }
  world->policy_valid = keeper_.valid();
  world->problems = keeper_.problems();
  world->last_reload = keeper_.last_reload();
  world->reloads = keeper_.reloads();
  world->drifts = drifts_;
  world->manager = slices_ ? "systemd" : "cgroupfs";
  shared_.set(std::move(world));
}

bool Daemon::is_managed(std::string_view group) const {
  for (;; group = parent_of(group)) {
    if (group.empty()) return false;
    if (made_.contains(std::string(group)) || keeper_.policies().find(group) != nullptr) return true;
  }
}

// A new watch each time, since one cannot be told to forget: some 10 us a group.
void Daemon::watch_trees() {
  std::vector<std::string> tops;
  if (settings_.metrics_scope != "managed") {
    tops.emplace_back();
  } else {
    const auto add = [&](const std::string& group) {
      if (!is_managed(parent_of(group))) tops.push_back(group);
    };
    for (const policy::GroupPolicy& group : keeper_.policies().groups) add(group.name);
    for (const std::string& group : made_)
      if (keeper_.policies().find(group) == nullptr) add(group);
  }
  trees_ready_ = Source();
  trees_.reset();
  auto trees = TreeWatch::open(hierarchies_);
  Result<> done = trees ? Result<>{} : std::unexpected(trees.error());
  if (trees) {
    for (const std::string& top : tops)
      if (auto added = trees->add(top, TreeWatch::Depth::below); !added && done) done = std::move(added);
    for (const std::string& group : keeper_.adopted())
      if (auto added = trees->await(group); !added && done) done = std::move(added);
    trees_ = std::move(*trees);
    auto ready = loop_.on_io(trees_->fd(), EPOLLIN, [this](std::uint32_t) { trees_changed(); });
    if (ready)
      trees_ready_ = std::move(*ready);
    else
      done = std::unexpected(ready.error());
  }
  if (!trees_settled_.valid())
    if (auto timer = loop_.timer([this] {
          trees_settling_.over();
          put_right();
          picture();
        }))
      trees_settled_ = std::move(*timer);
  // What came between the last look and this watch has told nobody.
  if (keeper_.adopted_came()) settle_trees();
  if (!done) tell_trees("groups that come and go are seen late: ", done.error());
}

// Once a reason, whatever groups it is about.
void Daemon::tell_trees(std::string_view start, const Error& error) {
  if (trees_told_.insert(error.what).second) log_->warning(std::string(start) + error.text());
}

void Daemon::trees_changed() {
  const auto events = trees_->read();
  if (!events) {
    tell_trees("watching the groups: ", events.error());
    return;
  }
  if (trees_->trouble()) tell_trees("groups that come and go are seen late: ", *trees_->trouble());
  bool changed = false;
  for (const TreeEvent& event : *events) {
    const bool removed = event.change == TreeEvent::Change::removed;
    const std::string group(event.group);
    // An adopted group is set in each hierarchy that its owner makes it in.
    const bool first = event.first || keeper_.adopted().contains(group);
    if (!removed && !(event.change == TreeEvent::Change::appeared && first)) continue;
    changed = true;
    if (!is_managed(group) || !bus_ || (!removed && !event.first)) continue;
    if (removed)
      bus_->group_removed(group);
    else
      bus_->group_added(group);
  }
  if (changed) settle_trees();
}

void Daemon::settle_trees() {
  if (const auto after = trees_settling_.changed(std::chrono::steady_clock::now())) trees_settled_.arm(*after);
}

}  // namespace cgx::daemon
