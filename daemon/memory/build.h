// SPDX-License-Identifier: Apache-2.0
// Inside daemon/memory/: policies become a set of open groups and prepared programs. On the main thread.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cgx/policy/policy.h"

#include "daemon/memory/held.h"
#include "daemon/memory/thread.h"

namespace cgx::daemon::memory {

// What the main thread keeps of the set that is in force.
struct View {
  struct Entry {
    std::shared_ptr<Node> node;
    std::shared_ptr<const Program> program;  // nullptr: only looked at
  };
  std::vector<Entry> nodes;
  std::vector<std::shared_ptr<Pressure>> pressures;
  std::vector<std::shared_ptr<const Program>> pressure_programs;
  std::vector<Held> held;
  std::vector<std::string> missing;  // groups of policies that are not there
  [[nodiscard]] const Entry* find(const std::string& group) const;
};

struct Built {
  Set set;
  View view;
};

// Opens what is new, and takes the rest over from `old`: groups with the same directory, triggers that are the same,
// and how often actions were done. Nothing new is opened from the descriptor number `descriptors` on. What cannot be
// done is told in `problems`; the rest is done.
[[nodiscard]] Built build(const Hierarchies& hierarchies,
                          const policy::Policies& policies,
                          std::span<const std::string> also,
                          const View& old,
                          std::size_t descriptors,
                          std::vector<policy::Problem>& problems);

// The files of one group, with an eventfd or without. ENOENT: it is not there.
[[nodiscard]] Result<std::shared_ptr<Node>> open_node(const Hierarchies& hierarchies,
                                                      const std::string& name,
                                                      bool registered);
// The inode of the group's directory in the hierarchy of the memory controller; 0: it is not there.
[[nodiscard]] ino_t inode_of(const Hierarchies& hierarchies, const std::string& name);
// A trigger of a pressure rule.
[[nodiscard]] Result<std::shared_ptr<Pressure>> open_pressure(const Hierarchies& hierarchies,
                                                              const std::shared_ptr<Node>& node,
                                                              const policy::PressureRule& rule);

// All that an action says, without its place: equal texts are equal actions.
[[nodiscard]] std::string text_of(const policy::Action& action);

}  // namespace cgx::daemon::memory
