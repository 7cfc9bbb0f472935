// SPDX-License-Identifier: Apache-2.0
#include "daemon/contested.h"

namespace cgx::daemon {

bool Contested::put_back(const std::string& group, const std::string& key, Time now) {
  const auto [at, first] = once_.try_emplace({group, key}, now);
  if (!first && now - at->second <= within_) {
    left_.insert(at->first);
    once_.erase(at);
    return true;
  }
  at->second = now;
  return false;
}

bool Contested::left(const std::string& group, const std::string& key) const { return left_.contains({group, key}); }

void Contested::forget(const std::string& group, const std::string& key) {
  once_.erase({group, key});
  left_.erase({group, key});
}

void Contested::forget(const std::string& group) {
  std::erase_if(once_, [&](const auto& entry) { return entry.first.first == group; });
  std::erase_if(left_, [&](const Limit& limit) { return limit.first == group; });
}

}  // namespace cgx::daemon
