// SPDX-License-Identifier: Apache-2.0
// cgxd: its parts put together around one loop. Owns them all; the order of its members is the order in which they come
// to be and, backwards, go.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/cgroupfs/tree_watch.h"

#include "daemon/bus/bus.h"
#include "daemon/bus/systemd.h"
#include "daemon/files_watch.h"
#include "daemon/history.h"
#include "daemon/keeper.h"
#include "daemon/log.h"
#include "daemon/loop.h"
#include "daemon/memory/memory.h"
#include "daemon/metrics/metrics.h"
#include "daemon/metrics/server.h"
#include "daemon/operations.h"
#include "daemon/rules/sorter.h"
#include "daemon/settings.h"
#include "daemon/settling.h"
#include "daemon/slices.h"
#include "daemon/state_dir.h"
#include "daemon/world.h"

namespace cgx::daemon {

class Daemon final : public Operations {
 public:
  // Everything up to READY: takes the state directory, gives back what a cgxd before has left paused, applies the
  // policies and starts the parts. A part that this host does not have is logged and done without. Signals have to be
  // blocked. Errors: what it cannot live without.
  [[nodiscard]] static Result<std::unique_ptr<Daemon>> start(Settings settings, const Log& log);
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon() override;
  // Until SIGTERM or SIGINT. Groups stay as they are; those that were paused are given back.
  [[nodiscard]] Result<> run();

  // Operations: requests.cc.
  [[nodiscard]] Result<std::vector<std::string>> list_groups() override;
  [[nodiscard]] Result<Answers> get_group(const std::string& group) override;
  [[nodiscard]] Result<> create_group(const std::string& group, const LimitTexts& limits, uid_t owner) override;
  [[nodiscard]] Result<> set_limits(const std::string& group, const LimitTexts& limits, uid_t owner) override;
  [[nodiscard]] Result<> delete_group(const std::string& group) override;
  [[nodiscard]] Result<> attach_process(const std::string& group, pid_t pid) override;
  [[nodiscard]] Result<> freeze(const std::string& group) override;
  [[nodiscard]] Result<> thaw(const std::string& group) override;
  [[nodiscard]] Result<std::uint64_t> kill(const std::string& group, int signal) override;
  [[nodiscard]] Result<std::vector<std::string>> apply(const std::string& yaml) override;
  [[nodiscard]] Result<std::vector<std::string>> plan(const std::string& yaml) override;
  [[nodiscard]] Result<> reload() override;
  [[nodiscard]] std::vector<Decision> history(std::size_t most) override;
  [[nodiscard]] Result<std::vector<std::string>> explain(const std::string& group) override;
  [[nodiscard]] Answers status() override;
  [[nodiscard]] bool policy_valid() override;
  [[nodiscard]] std::chrono::system_clock::time_point last_reload() override;
  [[nodiscard]] bool owns(uid_t user, const std::string& group, Part part) override;

 private:
  Daemon(Settings settings, const Log& log, Hierarchies hierarchies, StateDir state, Loop loop);
  Result<> start_parts();
  Result<> start_loop();
  Result<> start_files();
  void settle_trees();
  void start_metrics();

  // Policies.
  Result<> settle(const Keeper::Outcome& outcome, std::string_view cause);  // logs it and hands it to the parts
  void reload_for(std::string_view cause);
  void put_right();
  void hand_out();  // what is in force, to the memory thread and the sorter
  // Groups: a new picture, and a watch of the trees of all groups in it.
  void picture();
  [[nodiscard]] bool is_managed(std::string_view group) const;  // or below one that is
  void made_changed();
  // The group that a request names: by its own name, or, where systemd makes the groups, by that of the policy.
  [[nodiscard]] Result<std::string> named(const std::string& name) const;
  void watch_trees();
  void trees_changed();
  void tell_trees(std::string_view start, const Error& error);
  // Decisions of the memory thread.
  void take_decisions();
  void decided(Decision decision);
  void changed_by_action(const Decision& decision);

  void heartbeat();
  void tell_counts();
  void tell_status();

  Settings settings_;
  const Log* log_;
  Hierarchies hierarchies_;
  StateDir state_;
  Loop loop_;
  Shared shared_;
  History history_;
  std::unique_ptr<Slices> slices_;  // where systemd makes the groups
  Keeper keeper_;
  std::set<std::string> made_;  // by requests, kept over restarts
  std::unique_ptr<MemoryThread> memory_;
  std::unique_ptr<Sorter> sorter_;
  std::unique_ptr<Metrics> metrics_;
  std::unique_ptr<MetricsServer> server_;
  std::unique_ptr<Bus> bus_;
  std::optional<FilesWatch> files_;
  std::optional<TreeWatch> trees_;
  std::vector<Decision> taken_;
  std::uint64_t drifts_ = 0;
  std::uint64_t last_beat_ = 0;
  std::chrono::steady_clock::time_point beat_seen_;
  bool beat_told_ = true;
  unsigned beats_ = 0;
  std::string status_;
  // Why groups cannot be watched, each reason logged once until the next load of the policies, since owners of groups
  // make such groups as often as they like; and the last line about groups that cannot be read.
  std::set<std::string> trees_told_;
  std::string metrics_told_;

  std::vector<Source> signals_;
  Source files_ready_, files_settled_, trees_ready_, trees_settled_, decisions_, drift_, watchdog_, metrics_again_;
  Settling files_settling_, trees_settling_;
};

inline constexpr std::string_view made_file = "made";  // in the state directory

}  // namespace cgx::daemon
