// SPDX-License-Identifier: Apache-2.0
// The configuration of a group as it is: what differs from a new group's, so that the group can be made again. Reads
// only.
#pragma once

#include <optional>
#include <vector>

#include "cgx/change/plan.h"

namespace cgx {

// What `knob` has in a new group at the place of `group`: the kernel's own value or, where the kernel copies it, the
// parent's. nullopt: it is no setting, or the host has none.
[[nodiscard]] Result<std::optional<Value>> initial_value_in(const Cgroup& group, const Knob& knob);
// Whether the two are the same setting: rows that limit nothing do not count.
[[nodiscard]] bool same_setting(const Knob& knob, const Value& a, const Value& b);
// What leads from rows or rules that `now` has back to `before`: rows that `before` does not have are taken away.
[[nodiscard]] Value going_back(const Knob& knob, const Value& now, const Value& before);
// Reads configurations. The rows that count on this host are looked up once.
class Capture {
 public:
  explicit Capture(const Hierarchies& hierarchies);
  // Every setting of the group that differs from a new group's, in the row whose number was given (cpu.shares with its
  // note rather than the cpu.weight that holds it), and its owner where that is not root. `given` of a limit is its
  // exact text. Files that this kernel lacks are left out. existing: allow; only: the hierarchies that the group is in,
  // where it is not in all. Errors: ENOENT where the group is nowhere.
  [[nodiscard]] Result<Desired> of(const Cgroup& group) const;

 private:
  struct Row {
    const Knob* knob;
    Home home;
    const Knob* converted;  // the row that keeps its number in the same file, with a note; nullptr: none
  };
  const Hierarchies* hierarchies_;
  std::vector<Row> rows_;
};

}  // namespace cgx
