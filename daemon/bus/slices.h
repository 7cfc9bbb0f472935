// SPDX-License-Identifier: Apache-2.0
// The groups of policies on a host where systemd makes the groups: each becomes a slice with the limits that systemd
// sets, and what is left of the policy, for its files and for the other parts of cgxd, speaks of the slice's group.
// `web/api` is then `web.slice/web-api.slice`. For the main thread; blocks while systemd works.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cgx/policy/policy.h"

#include "daemon/bus/systemd.h"

namespace cgx::daemon {

// The policies with the names of slices' groups in place of their own, and without the limits that systemd sets.
// Targets of rules that are no group of the policies stay as they are: those are made beside systemd's units.
[[nodiscard]] Result<policy::Policies> on_slices(const Hierarchies& hierarchies, policy::Policies policies);

class Slices {
 public:
  // `state_dir` has the names of the slices that were made, over restarts.
  Slices(const Hierarchies& hierarchies, std::string state_dir);

  // Has systemd make it so, and answers on_slices(). Slices that the policies before named and these do not are
  // stopped; where processes are in them they lose their limits, and are stopped the next time. On a failure the limits
  // of the policies before are put back.
  [[nodiscard]] Result<policy::Policies> put(const policy::Policies& policies);
  // The limits that an action or a request has changed in a group's files (`group` as on_slices() names it): systemd is
  // told, or it would put its own back at the next daemon-reload.
  [[nodiscard]] Result<> changed(const std::string& group, std::span<const Limit> limits);
  // Moves a process into a group, as on_slices() names it.
  [[nodiscard]] Result<> attach(const std::string& group, pid_t pid);
  // The slice that a group (as on_slices() names it) is; empty: none of ours.
  [[nodiscard]] std::string unit_of(const std::string& group) const;

 private:
  [[nodiscard]] Result<SystemdManager*> manager();
  [[nodiscard]] Result<> put_all(const policy::Policies& policies);
  void keep() const;

  const Hierarchies* hierarchies_;
  std::string state_dir_;
  std::unique_ptr<SystemdManager> manager_;  // made when it is needed, and anew when systemd was gone
  policy::Policies policies_;                // in force
  std::vector<std::string> made_;            // groups of policies, parents first
};

}  // namespace cgx::daemon
