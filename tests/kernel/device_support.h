// SPDX-License-Identifier: Apache-2.0
// What the tests of device access share: groups of their own, processes inside them, and random rules.
#pragma once

#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "cgx/model/device_list.h"
#include "cgx/sys/fd.h"

namespace cgx::test {

// A group named cgx-test-... below `parent`, removed at the end of the scope.
class Group {
 public:
  explicit Group(const std::string& parent);
  ~Group();
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  std::string path_;
  sys::Fd fd_;
};

// The mount point of cgroup v2, or of the v1 devices controller, at its usual places.
[[nodiscard]] std::optional<std::string> unified_root();
[[nodiscard]] std::optional<std::string> v1_devices_root();

// Runs `body` in a new process inside `group` and answers the bytes it answers; "?" where the process could not join.
// `uid` other than 0 is taken on after joining.
[[nodiscard]] std::string inside(const Group& group, const std::function<std::string()>& body, unsigned uid = 0);

// A directory with device nodes of a sample of numbers, to be asked for without opening any driver.
class Nodes {
 public:
  Nodes();
  ~Nodes();
  Nodes(const Nodes&) = delete;
  Nodes& operator=(const Nodes&) = delete;
  // Empty where this process can make no nodes here.
  [[nodiscard]] bool usable() const { return usable_; }
  // What the kernel allows a process in `group`: one letter, 1 or 0, a node and access (r, w, rw, m).
  [[nodiscard]] std::string allowed(const Group& group) const;
  // The same by a DeviceList.
  [[nodiscard]] static std::string expected(const DeviceList& list);

 private:
  std::string dir_;
  bool usable_ = false;
};

// Rules over few numbers, so that they meet each other often.
[[nodiscard]] DeviceRule random_rule(std::mt19937& random);

}  // namespace cgx::test
