// SPDX-License-Identifier: Apache-2.0
// Limits of adopted groups that their owners put back: which of them are left to the owners. Pure; time is an argument.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>
#include <utility>

namespace cgx::daemon {

class Contested {
 public:
  using Time = std::chrono::steady_clock::time_point;
  // `within`: how long after the first time a second one counts.
  explicit Contested(std::chrono::microseconds within) : within_(within) {}

  // The owner's value is in force again. Whether it is left from now on: it is the second time within that time.
  bool put_back(const std::string& group, const std::string& key, Time now);
  [[nodiscard]] bool left(const std::string& group, const std::string& key) const;
  // The policy wants another value, or no longer any.
  void forget(const std::string& group, const std::string& key);
  // The group is another one.
  void forget(const std::string& group);

 private:
  using Limit = std::pair<std::string, std::string>;  // group and key
  std::chrono::microseconds within_;
  std::map<Limit, Time> once_;
  std::set<Limit> left_;
};

}  // namespace cgx::daemon
