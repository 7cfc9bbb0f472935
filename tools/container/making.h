// SPDX-License-Identifier: Apache-2.0
// Making a container of `cgx run`, for its monitor: record, layers, config, group, process. Each is noted before it is
// made; steps are named in errors.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "cgx/container/launch.h"

#include "config.h"
#include "death.h"
#include "layer.h"
#include "monitor.h"
#include "record.h"
#include "root.h"
#include "tools/oci/container.h"

namespace cgx::launcher {

// A call of the OCI runtime's command line on the store of `cgx run`, whose functions are used.
class RuntimeCall {
 public:
  RuntimeCall(const std::string& run_root, std::string_view command);
  [[nodiscard]] oci::Invocation& call() { return call_; }

 private:
  oci::Log log_;
  oci::Invocation call_;
};

class Making {
 public:
  explicit Making(const MonitorPlan& plan);

  // All but the process. On an error, give_up() with it.
  [[nodiscard]] Result<> prepare();
  // `streams` is called right before the clone: the process gets this one's standard streams.
  [[nodiscard]] Result<container::Launched> launch(const std::function<void()>& streams);
  void give_up(const Error& why);

  void explain(Ending& ending) const;
  // Whether cgxd has killed it, by a policy: fills that in. Takes up to three seconds where nothing else explains it.
  [[nodiscard]] bool ask_policy(Ending& ending) const;
  [[nodiscard]] Result<> write_ending(const Ending& ending);
  // Takes over what `update` has written of it meanwhile: limits, and when it is started again.
  void keep_updates();
  void count_restart();
  void kill_all() const;
  void kill_for_end() const;  // that of the monitor, and the stop signal was not enough
  // Its group goes, and with --rm all of it. An error: something of it stays, and what to do about that.
  [[nodiscard]] Result<> finish();

  [[nodiscard]] const std::string& id() const { return plan_.id; }
  [[nodiscard]] const Record& record() const { return record_; }
  [[nodiscard]] bool detached() const { return plan_.options.detach; }
  [[nodiscard]] Store::Entry& entry() { return *entry_; }
  [[nodiscard]] uid_t host_uid() const { return host_id(parts_.user.uid, parts_.maps.uids); }
  [[nodiscard]] gid_t host_gid() const { return host_id(parts_.user.gid, parts_.maps.gids); }

 private:
  static std::uint32_t host_id(std::uint32_t id, const std::vector<container::IdMapping>& maps);
  [[nodiscard]] Result<> make_record();
  [[nodiscard]] Layer layer() const;
  [[nodiscard]] Result<> make_data();
  [[nodiscard]] Result<> make_sources() const;
  [[nodiscard]] Result<> choose_maps();
  [[nodiscard]] Result<> make_config();
  [[nodiscard]] Result<> make_host_files(int root);
  [[nodiscard]] Result<> make_group();
  [[nodiscard]] Result<sys::Fd> mount_root() const;

  const MonitorPlan& plan_;
  RuntimeCall runtime_;
  std::optional<Store::Entry> entry_;
  Record record_;
  State state_;
  ConfigParts parts_;
  std::unique_ptr<container::Spec> spec_;
  std::unique_ptr<oci::GroupMaker> groups_;
  std::optional<container::SeccompProgram> seccomp_;
  sys::Fd first_root_;  // for the first launch
  sys::Fd layer_lock_;  // as long as the monitor lives
  sys::Fd ids_;         // with a lock on the range of ids that this container has
  Counters counters_;
};

// The groups of containers are below this one, where systemd does not make them.
inline constexpr std::string_view group_top = "cgx";

// linux.cgroupsPath: a path, `SLICE:cgx:NAME` where systemd makes the groups, or nothing (below the caller's own
// group).
[[nodiscard]] Result<std::string> group_path(const RunOptions& options, const std::string& id);

}  // namespace cgx::launcher
