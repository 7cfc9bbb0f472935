// SPDX-License-Identifier: Apache-2.0
// The groups of policies as slices of systemd, on a host where it makes the groups: what policy/apply.h is elsewhere.
// `web/api` is web-api.slice, below web.slice. Main thread; blocks until systemd has done it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cgx/policy/apply.h"

#include "daemon/bus/systemd.h"
#include "daemon/state_dir.h"

namespace cgx::daemon {

class Slices {
 public:
  // Both outlive it.
  [[nodiscard]] static Result<std::unique_ptr<Slices>> connect(const Hierarchies& hierarchies, const StateDir& state);

  // What apply() would change: slices that are not there or have other limits, and those that nobody names any more.
  [[nodiscard]] Result<std::vector<policy::Change>> plan(const policy::Policies& wanted) const;
  // All or nothing, but for slices that are to go and have processes in them: they stay, as Applied::stays says, until
  // a later call.
  [[nodiscard]] Result<policy::Applied> apply(const policy::Policies& wanted);

  // Where systemd has put the group: "web.slice/web-api.slice"; the name itself where it cannot be a slice.
  [[nodiscard]] static std::string place(const std::string& group);
  // The policies with these names, in actions too, for who works on the groups themselves.
  [[nodiscard]] static policy::Policies placed(policy::Policies policies);

  // What an action or a request has changed in the files of a group, as placed() names it: systemd is told, or it would
  // put its own values back at the next daemon-reload. Nothing where the group is none of these slices.
  [[nodiscard]] Result<> changed(const std::string& place, std::span<const Limit> limits);
  // Moves a process into a group, as placed() names it: into a scope of its slice.
  [[nodiscard]] Result<> attach(const std::string& place, pid_t pid);
  // "web-api.slice"; empty: none of these slices.
  [[nodiscard]] std::string unit_of(const std::string& place) const;

 private:
  Slices(const Hierarchies& hierarchies,
         const StateDir& state,
         std::unique_ptr<SystemdManager> systemd,
         std::string_view made);
  [[nodiscard]] Result<> put(const policy::GroupPolicy& group);
  [[nodiscard]] Result<> compare(const policy::GroupPolicy& group, std::vector<policy::Change>& changes) const;
  [[nodiscard]] std::string group_at(const std::string& place) const;
  void take_back(const std::vector<std::string>& done);
  void keep() const;

  const Hierarchies* hierarchies_;
  const StateDir* state_;
  std::unique_ptr<SystemdManager> systemd_;
  std::map<std::string, std::string> made_;  // group: the keys of its limits; kept over restarts
  std::map<std::string, policy::GroupPolicy> in_force_;
};

}  // namespace cgx::daemon
