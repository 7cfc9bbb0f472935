// SPDX-License-Identifier: Apache-2.0
// When to look at what changes: once it has been quiet for a while, and two seconds after the first change at the
// latest, also while it goes on changing. Knows no timer; times are passed in.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

namespace cgx::daemon {

class Settling {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::milliseconds quiet{200};
  static constexpr std::chrono::seconds longest{2};

  // After a change: what a timer is to be set to. nullopt: it stays as it is, since it is due.
  std::optional<std::chrono::microseconds> changed(Time now) {
    if (!since_) since_ = now;
    const auto left = std::chrono::duration_cast<std::chrono::microseconds>(*since_ + longest - now);
    if (left <= std::chrono::microseconds(0)) return {};
    return std::min<std::chrono::microseconds>(left, quiet);
  }
  // It is being looked at.
  void over() { since_.reset(); }

 private:
  std::optional<Time> since_;
};

}  // namespace cgx::daemon
