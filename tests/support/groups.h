// SPDX-License-Identifier: Apache-2.0
// Groups of tests on the real hierarchies of this host, and pictures of all that is in them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/change/plan.h"

namespace cgx::test {

// A name for a group, and its removal, with all below it, from every hierarchy at the end; without the code under test.
class TestGroup {
 public:
  explicit TestGroup(const Hierarchies& hierarchies);
  TestGroup(const TestGroup&) = delete;
  TestGroup& operator=(const TestGroup&) = delete;
  ~TestGroup();
  [[nodiscard]] const std::string& name() const { return name_; }
  void remove() const;

 private:
  const Hierarchies* hierarchies_;
  std::string name_;
  std::string given_;  // what the root of cgroup2 gave to groups before; put back at the end
};

// Path -> text, owner and notes, of every file and directory of `group` and below, in every hierarchy, without those
// that change by themselves; and cgroup.subtree_control of the groups above.
using Picture = std::map<std::string, std::string>;
[[nodiscard]] Picture picture(const Hierarchies& hierarchies, const std::string& group);
// What differs, a line each; empty: nothing.
[[nodiscard]] std::string difference(const Picture& before, const Picture& after);

// `--FLAG VALUE` or `FILE=VALUE`. Throws where the value does not parse.
[[nodiscard]] Limit limit(std::string_view knob, std::string_view text);
[[nodiscard]] Limit raw(std::string_view file, std::string_view text);
// A whole disk of this host as MAJ:MIN; empty where there is none.
[[nodiscard]] std::string any_disk();

}  // namespace cgx::test
