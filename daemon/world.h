// SPDX-License-Identifier: Apache-2.0
// What the parts of cgxd show one another across threads: an immutable picture of what is managed, exchanged whole. The
// main loop makes a new one when something changed; readers keep the one they took for as long as they need it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace cgx::daemon {

struct ManagedGroup {
  std::string name;         // "web/api"
  std::string description;  // of the policy
  std::string source;       // the file that names it, as PATH:LINE; empty: made by a request, or found below one
  std::string unit;         // systemd's, where it manages the group
  std::string oom;          // "kernel", "pause", "group"
  std::vector<std::string> warnings;  // what best_effort left out
  bool waits = false;                 // adopted, and its owner has not made it
  std::vector<std::string> left;      // limits that the owner of an adopted group keeps
};

struct World {
  std::vector<ManagedGroup> groups;  // in the order of the policies, parents first
  std::vector<std::string> seen;     // all groups of the host, where the scope of the metrics asks for them
  bool policy_valid = true;
  std::vector<std::string> problems;  // of the last load, as `FILE:LINE:COLUMN: ...`
  std::chrono::system_clock::time_point last_reload;
  std::uint64_t reloads = 0;
  std::uint64_t drifts = 0;  // what had been changed behind its back and was put right
  std::string manager;       // "cgroupfs" or "systemd"
};

// Thread safe. Never holds its lock for longer than an exchange of pointers.
class Shared {
 public:
  [[nodiscard]] std::shared_ptr<const World> get() const {
    const std::scoped_lock lock(mutex_);
    return world_;
  }
  void set(std::shared_ptr<const World> world) {
    const std::scoped_lock lock(mutex_);
    world_.swap(world);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const World> world_ = std::make_shared<const World>();
};

}  // namespace cgx::daemon
