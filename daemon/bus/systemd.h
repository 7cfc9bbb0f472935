// SPDX-License-Identifier: Apache-2.0
// systemd as the maker of the groups: a group is a slice, a command in it a scope, limits are properties, and only what
// systemd has no property for is written to the slice's files. Everything here blocks until systemd has done it (half a
// minute at most), and is for one thread. Needs the right to manage units: root.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <sys/types.h>
#include <systemd/sd-bus.h>

#include "cgx/change/plan.h"
#include "cgx/change/slice.h"

#include "daemon/bus/unit_properties.h"

namespace cgx::daemon {

// Who makes the groups, and why.
struct ManagerFound {
  bool systemd = false;
  std::string why;  // "systemd is PID 1"
};
// `wanted`: "auto", "systemd" or "cgroupfs". systemd where it is not PID 1 is an error.
[[nodiscard]] Result<ManagerFound> find_manager(std::string_view wanted);

class SystemdManager {
 public:
  // Makes sure that systemd can be reached. By its own socket where that may be used (root), so that no dbus-daemon is
  // needed; else by the system bus. Each function connects for itself: systemd sends all its signals over an open
  // connection, and a daemon that does not read them would fill its queue.
  [[nodiscard]] static Result<std::unique_ptr<SystemdManager>> connect();
  SystemdManager(const SystemdManager&) = delete;
  SystemdManager& operator=(const SystemdManager&) = delete;
  ~SystemdManager() = default;

  // Makes the group's slice, or changes it: afterwards it has these limits and no others of those that systemd sets.
  // Parents have to be put first, or are made without limits. Where it fails, a slice that it made is gone again.
  // EEXIST: the unit is a file of the host's administrator, which is not touched.
  [[nodiscard]] Result<> put(const Hierarchies& hierarchies,
                             const std::string& group,
                             std::span<const Limit> limits,
                             const std::string& description);
  // Stops the slice, where no process is in it (EBUSY). None of that name, or one not made by put(): nothing to do.
  [[nodiscard]] Result<> remove(const Hierarchies& hierarchies, const std::string& group);
  // Moves processes into the group: into a scope in its slice, which is made for the first ones.
  [[nodiscard]] Result<> attach(const std::string& group, std::span<const pid_t> pids);
  // A new scope in `slice` (a unit's name) with these processes; the limits are the scope's own. Delegate=yes.
  [[nodiscard]] Result<> start_scope(const std::string& scope,
                                     const std::string& slice,
                                     std::span<const pid_t> pids,
                                     std::span<const UnitProperty> properties,
                                     const std::string& description);
  // Stops it and waits. One that is not there, or does not run, is no error.
  [[nodiscard]] Result<> stop(const std::string& unit);
  // Of a unit that is there; until the next boot. What is not named stays as it is.
  [[nodiscard]] Result<> set_properties(const std::string& unit, std::span<const UnitProperty> properties);
  // The group of a unit, a name from the root of the hierarchies; empty where it has none now.
  [[nodiscard]] Result<std::string> group_of(const std::string& unit);

 private:
  class Session;
  SystemdManager() = default;
  [[nodiscard]] Result<> open();
  [[nodiscard]] Result<> start_transient(const std::string& unit, std::span<const UnitProperty> properties);
  // Calls a method that answers a job, and waits for that.
  [[nodiscard]] Result<> run_job(sd_bus_message* message, const std::string& unit);
  [[nodiscard]] Result<std::string> text_property(const std::string& unit, const char* interface, const char* name);
  static int on_job_removed(sd_bus_message* message, void* userdata, sd_bus_error*);

  sd_bus* bus_ = nullptr;                                   // within a Session
  unsigned sessions_ = 0;                                   // one in the other
  std::vector<std::pair<std::string, std::string>> ended_;  // jobs: path and result
};

}  // namespace cgx::daemon
