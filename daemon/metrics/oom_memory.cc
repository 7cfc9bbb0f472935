// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics/oom_memory.h"

namespace cgx::daemon {

std::uint64_t OomMemory::seen(std::string_view group, std::uint64_t kernel, Time now) {
  const std::scoped_lock lock(mutex_);
  auto at = counts_.find(group);
  if (at == counts_.end()) at = counts_.emplace(std::string(group), Count{}).first;
  Count& count = at->second;
  if (!count.labels.empty() && now - count.since >= keep) count = {};
  if (!count.labels.empty() || kernel < count.kernel) {
    count.before += count.kernel;
    count.kernel = 0;
    count.labels.clear();
  }
  count.kernel = kernel;
  return count.before + count.kernel;
}

void OomMemory::gone(std::string_view group, std::string_view labels, Time now) {
  const std::scoped_lock lock(mutex_);
  const auto at = counts_.find(group);
  if (at == counts_.end() || !at->second.labels.empty()) return;
  at->second.labels = labels;
  at->second.since = now;
}

std::vector<GoneOom> OomMemory::remembered(Time now) {
  const std::scoped_lock lock(mutex_);
  std::vector<GoneOom> list;
  for (auto at = counts_.begin(); at != counts_.end();) {
    const Count& count = at->second;
    if (!count.labels.empty() && now - count.since >= keep) {
      at = counts_.erase(at);
      continue;
    }
    if (!count.labels.empty()) list.push_back({count.labels, count.before + count.kernel});
    ++at;
  }
  return list;
}

}  // namespace cgx::daemon
