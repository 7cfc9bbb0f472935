// SPDX-License-Identifier: Apache-2.0
// What the tests of events share: a group in all hierarchies.
#pragma once

#include <string>
#include <utility>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/sys/fd.h"

#include "scratch.h"

namespace watch_test {

// A group in every hierarchy that takes it, removed at the end with what is below it. cpuset is left out: on v1 a new
// group of it takes no process.
class TestGroup {
 public:
  TestGroup() : hierarchies_(cgx::Hierarchies::discover().value()), name_(cgx::test::unique_name()) { make(name_); }
  TestGroup(const TestGroup&) = delete;
  TestGroup& operator=(const TestGroup&) = delete;
  ~TestGroup() { remove(); }

  void make(const std::string& name) const {
    for (const cgx::Hierarchy& h : hierarchies_.all()) {
      if (h.version() == cgx::Version::v1 && h.controllers().has(cgx::Controller::cpuset)) continue;
      if (h.version() == cgx::Version::v2 && h.controllers().has(cgx::Controller::memory))
        (void)cgx::sys::write_file(*h.root(), "cgroup.subtree_control", "+memory");
      (void)cgx::sys::make_dir(*h.root(), name);
    }
  }
  void remove() const { (void)cgx::remove_group(group(), cgx::Below::remove); }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] cgx::Cgroup group() const { return cgx::Cgroup(hierarchies_, name_); }
  [[nodiscard]] const cgx::Hierarchies& hierarchies() const { return hierarchies_; }

 private:
  cgx::Hierarchies hierarchies_;
  std::string name_;
};

}  // namespace watch_test
