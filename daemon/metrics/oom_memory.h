// SPDX-License-Identifier: Apache-2.0
// Inside daemon/metrics/: counts the processes that were killed for memory, a group at a time, over the end of the
// group: the kernel's counter goes with it, often before anybody has seen it grow. Thread safe. The time is given.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/metrics/snapshot.h"

namespace cgx::daemon {

class OomMemory {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::minutes keep{5};

  // What the kernel's counter of the group is now. A lower number than the last one is of a group that was made again.
  // Answers the count over all groups that bore the name.
  std::uint64_t seen(std::string_view group, std::uint64_t kernel, Time now);
  // The group is not there any more. The labels are those of its series.
  void gone(std::string_view group, std::string_view labels, Time now);
  // Those that are gone for less than five minutes; forgets the others.
  [[nodiscard]] std::vector<GoneOom> remembered(Time now);

 private:
  struct Count {
    std::uint64_t before = 0;  // of groups of the name that are gone
    std::uint64_t kernel = 0;
    std::string labels{};  // not empty: it is gone
    Time since{};
  };
  std::mutex mutex_;
  std::map<std::string, Count, std::less<>> counts_;
};

}  // namespace cgx::daemon
