// SPDX-License-Identifier: Apache-2.0
// The policies in force and the groups on the host, kept the same: reads the policy files, applies them, finds what has
// been changed behind its back, and puts that right. Main thread; blocks for as long as reading and applying takes.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "cgx/policy/adopted.h"
#include "cgx/policy/apply.h"
#include "cgx/policy/yaml.h"

#include "daemon/contested.h"
#include "daemon/decision.h"
#include "daemon/memory/memory.h"
#include "daemon/settings.h"
#include "daemon/slices.h"
#include "daemon/state_dir.h"

namespace cgx::daemon {

// The policies of `settings`, and in `requested` (YAML; empty: none) what D-Bus has asked for, checked against this
// host.
[[nodiscard]] policy::Loaded load_policies(const Settings& settings,
                                           const std::string& requested,
                                           const Hierarchies& hierarchies);

class Keeper {
 public:
  // All of them outlive it.
  Keeper(const Hierarchies& hierarchies, const StateDir& state, const Settings& settings);
  // Reads what an earlier run has left in the state directory. Before all else; an error: nothing was read.
  [[nodiscard]] Result<> recall();
  // systemd makes the groups from now on; `slices` outlives it.
  void use(Slices& slices) { slices_ = &slices; }

  struct Outcome {
    bool ok = false;
    std::vector<policy::Problem> problems;  // of the files, or of the application; also warnings
    std::vector<policy::Change> changes;
    std::vector<std::string> notes;
  };
  // Reads all policies and applies them. On a failure what was in force stays in force, on the host and here.
  [[nodiscard]] Outcome reload();
  // The same with `yaml` in place of what an earlier request had given; it counts until the next request, also over
  // restarts. Empty: none any more.
  [[nodiscard]] Outcome request(const std::string& yaml);
  // What request() would change.
  [[nodiscard]] Result<std::vector<policy::Change>> plan(const std::string& yaml) const;

  struct Repairs {
    std::vector<policy::Change> changes;  // what others had changed
    std::vector<policy::Change> adopted;  // of adopted groups that came since the last look
    std::vector<policy::Change> left;     // owners of adopted groups want it so (`from`): not changed from now on
    std::vector<policy::Stay> stays;      // as Applied::stays, each once until the next load
  };
  // Compares the groups with what is in force and makes good what differs.
  [[nodiscard]] Result<Repairs> put_right(Contested::Time now = std::chrono::steady_clock::now());

  // The adopted groups. Whether one of them came, or is another one, since the last load or put_right().
  [[nodiscard]] const std::set<std::string>& adopted() const { return adopted_names_; }
  [[nodiscard]] bool adopted_came() const;
  // The limits of the group that are left as its owner has them.
  [[nodiscard]] std::vector<std::string> left_to_owner(const policy::GroupPolicy& group) const;

  // A limit that somebody asked cgxd to set: it stands over the policy's until the next reload.
  void override_limit(const std::string& group, const Limit& limit);
  // The memory limits of the group were changed by an action: what the kernel has now counts until it is the policy's
  // again.
  void changed_by_action(const std::string& group, const Decision& decision);
  // Those of them that were raised, also by an earlier run, and not lowered again.
  [[nodiscard]] const RaisedLimits& raised() const { return changed_; }

  // With the names that the groups have on this host: slices' where systemd makes them.
  [[nodiscard]] const policy::Policies& policies() const { return policies_; }
  // The name that the group of a policy file has on this host; other names as they are.
  [[nodiscard]] std::string place(const std::string& group) const;
  [[nodiscard]] bool valid() const { return problems_.empty(); }
  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }
  [[nodiscard]] std::chrono::system_clock::time_point last_reload() const { return last_reload_; }
  [[nodiscard]] std::uint64_t reloads() const { return reloads_; }
  // Warnings of the set in force, by group.
  [[nodiscard]] const std::multimap<std::string, std::string>& warnings() const { return warnings_; }
  // The files and directories that are read, whether they are there or not.
  [[nodiscard]] const std::vector<std::string>& paths() const { return paths_; }

 private:
  [[nodiscard]] Outcome take(policy::Loaded loaded, const std::string& requested);
  // The policies with what overrides and actions have put in the place of limits; `now`: also what a pause has.
  enum class When : std::uint8_t { loading, now };
  [[nodiscard]] policy::Policies in_force(policy::Policies policies, When when);
  [[nodiscard]] std::vector<policy::Source> sources(const policy::Policies& policies) const;
  [[nodiscard]] bool keep_actual(policy::GroupPolicy& group, bool (*which)(const Limit&)) const;
  void forget_changes(const policy::Policies& next);
  void write_changed();
  [[nodiscard]] std::vector<policy::AdoptedIn> places_of(const std::string& group) const;
  void look_at_adopted();
  void settle_adopted(const std::vector<std::string>& unset);
  [[nodiscard]] Result<std::vector<policy::Change>> difference(const policy::Policies& wanted) const;
  [[nodiscard]] Result<policy::Applied> carry_out(const policy::Policies& policies);
  [[nodiscard]] policy::ApplyOptions options() const;

  const Hierarchies* hierarchies_;
  const StateDir* state_;
  const Settings* settings_;
  std::vector<std::string> paths_;
  Slices* slices_ = nullptr;
  policy::Policies policies_;
  policy::Policies loaded_;  // the same as the files have them
  std::string requested_;
  std::vector<std::string> former_sources_;  // of the last run; what they named and nobody names now goes
  std::map<std::string, std::vector<Limit>> overrides_;
  RaisedLimits changed_;  // by actions; from is 0 where there is nothing to lower
  struct Adopted {
    std::vector<policy::AdoptedIn> places;  // none: it is not there
    bool set = false;                       // its limits are
  };
  std::map<std::string, Adopted> adopted_;
  std::set<std::string> adopted_names_;
  Contested contested_;
  std::set<std::tuple<std::string, std::string, int>> told_;  // of what stays
  std::vector<std::string> problems_;
  std::multimap<std::string, std::string> warnings_;
  std::chrono::system_clock::time_point last_reload_;
  std::uint64_t reloads_ = 0;
};

}  // namespace cgx::daemon
