// SPDX-License-Identifier: Apache-2.0
// Groups of somebody else that policies adopt: where they are, and what of the record still speaks of them. Reads only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/policy/record.h"

namespace cgx::policy {

// The files of a limit, and the hierarchy that they are in; nullptr: this host has none.
struct LimitFiles {
  const Hierarchy* hierarchy = nullptr;
  std::vector<std::string_view> names;
};
[[nodiscard]] LimitFiles files_of(const Hierarchies& hierarchies, const ManagedLimit& limit);
[[nodiscard]] bool share_a_file(const Hierarchies& hierarchies, const ManagedLimit& a, const ManagedLimit& b);

// The directories of the group, in the order of the hierarchies; none: it is not there. An error where a hierarchy
// cannot be looked into.
[[nodiscard]] Result<std::vector<AdoptedIn>> found_in(const Hierarchies& hierarchies, std::string_view group);
// `old` with those limits only whose directory is the one that they were set in: where the owner has removed it, or
// made another one, what was there before is gone too.
[[nodiscard]] Result<ManagedGroup> still_there(const Hierarchies& hierarchies, ManagedGroup old);

// Why no policy makes `group`: it is below `adopted`.
[[nodiscard]] std::string below_adopted(std::string_view group, std::string_view adopted);
inline constexpr std::string_view adopt_too = "adopt: true leaves it to the same owner";

}  // namespace cgx::policy
