// SPDX-License-Identifier: Apache-2.0
// Inside policy/: what leads from what is there to what sources name.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/change/plan.h"
#include "cgx/policy/apply.h"
#include "cgx/policy/record.h"

namespace cgx::policy {

struct Difference {
  std::vector<Change> changes;
  ChangeSet set;
  Record before;  // the record as it was
  Record intent;  // while it is carried out: all that may have to be taken back or finished
  Record after;
  std::vector<std::string> notes;
  std::vector<Stay> stays;           // groups that stay as they are, and why
  std::vector<std::string> unset;    // those of them that are to be set
  std::vector<std::string> adopted;  // groups of others among those of `set`
};

// Groups that have been found unable to go or, adopted, to be set, and why.
using Stuck = std::map<std::string, Error, std::less<>>;

[[nodiscard]] Result<Difference> difference(const Hierarchies& hierarchies,
                                            std::span<const Source> sources,
                                            const ApplyOptions& options,
                                            Record record,
                                            const Stuck& stuck = {});

// The inode number of the group's directory in cgroup2, or in the first hierarchy that has it; 0: none has.
[[nodiscard]] Result<std::uint64_t> inode_of(const Hierarchies& hierarchies, std::string_view group);
// What `limit` has now, as the record keeps it; nullopt: nothing.
[[nodiscard]] Result<std::optional<std::string>> current_text(const Cgroup& group, const Limit& limit);
// Whether a text that was written as it is means what the file says now: numbers and lists have several spellings.
[[nodiscard]] bool same_raw(std::string_view wanted, std::string_view now);
// The value that exact() wrote as `text`.
[[nodiscard]] std::optional<Value> value_of(const Knob& knob, std::string_view text);
// `1G`, `150%`, `c 1:3 rwm, deny a`: exact, short, one line.
[[nodiscard]] std::string short_text(const Knob& knob, const Value& value);

}  // namespace cgx::policy
