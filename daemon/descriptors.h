// SPDX-License-Identifier: Apache-2.0
// How the parts of cgxd share the descriptors that it may have (RLIMIT_NOFILE). Memory events and metrics keep files of
// groups open, as many as there are groups; what applies policies, watches directories and answers clients needs some
// at any time, so that a policy can be changed at the limit too.
#pragma once

#include <cstddef>

namespace cgx::daemon {

struct Descriptors {
  std::size_t limit = 0;
  std::size_t watched = 0;  // memory events use numbers below this one
  std::size_t metrics = 0;  // files that metrics keep open between scrapes
  // `hierarchies`: of the host; a group that is changed has a descriptor in each.
  [[nodiscard]] static Descriptors share(std::size_t limit, std::size_t hierarchies, bool metrics);
};

// The limit of this process.
[[nodiscard]] std::size_t descriptor_limit();

}  // namespace cgx::daemon
