// SPDX-License-Identifier: Apache-2.0
// Inside policy/: what leads from one group as it is to what a policy says of it.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgx/change/plan.h"
#include "cgx/policy/apply.h"
#include "cgx/policy/record.h"

namespace cgx::policy {

// What a name is to become.
struct WantedGroup {
  const GroupPolicy* policy = nullptr;  // nullptr: there for the sake of others, or to be put back
  std::string source;
  bool recorded = true;  // false: put back, and no longer managed
};

struct GroupDifference {
  Desired desired;
  bool todo = false;  // whether `desired` has anything that is not there yet
  ManagedGroup managed;
  std::vector<Change> changes;
  std::vector<std::string> notes;
};

// What v1 cpusets become, by group and file, for the groups below that follow.
using SetFlow = std::map<std::pair<std::string, std::string_view>, Limit>;

class GroupDiffer {
 public:
  GroupDiffer(const Hierarchies& hierarchies, const ApplyOptions& options)
      : hierarchies_(hierarchies), options_(options) {}
  // Called for groups from the top down. `old`: its entry in the record; nullptr: none.
  [[nodiscard]] Result<GroupDifference> run(const std::string& name,
                                            const WantedGroup& wanted,
                                            const ManagedGroup* old);

 private:
  const Hierarchies& hierarchies_;
  const ApplyOptions& options_;
  SetFlow flows_;
};

}  // namespace cgx::policy
