// SPDX-License-Identifier: Apache-2.0
// Inside daemon/: which processes have been looked at when, and so which forks are to be followed. Pure but for memory;
// times are nanoseconds of the kernel's CLOCK_MONOTONIC.
#pragma once

#include <algorithm>
#include <cstdint>
#include <unordered_map>

#include <sys/types.h>

namespace cgx::daemon {

class Follow {
 public:
  // A fork is in the kernel's order before a move of the parent, and its event is stamped after it: by at most the time
  // that the forking process can be kept off the CPU in between.
  static constexpr std::uint64_t slack = 1'000'000'000;

  // The process was looked at, beginning at `from` and until `until`; `moved`: and moved by then.
  void looked(pid_t pid, std::uint64_t from, std::uint64_t until, bool moved) {
    seen_[pid] = {.at = from, .forks = until + (moved ? slack : 0)};
    if (seen_.size() > most_) prune();
  }
  // All processes that could be found from `from` until `until` were looked at. One that was born meanwhile may have
  // been missed, and its parent have ended.
  void looked_at_all(std::uint64_t from, std::uint64_t until) {
    all_from_ = from;
    all_until_ = until;
  }
  // Whether something that happened to the process at `time` is known already.
  [[nodiscard]] bool known(pid_t pid, std::uint64_t time) const {
    const auto at = seen_.find(pid);
    return at != seen_.end() && time <= at->second.at;
  }
  // Whether a child that `parent` forked at `time` must be looked at.
  [[nodiscard]] bool must_follow(pid_t parent, pid_t child, std::uint64_t time) const {
    if (known(child, time)) return false;
    if (all_from_ <= time + slack && time <= all_until_) return true;
    const auto at = seen_.find(parent);
    return at != seen_.end() && time <= at->second.forks;
  }
  // Events up to `time` have been handled: what matters only to them is forgotten when there is much of it.
  void handled(std::uint64_t time) { handled_ = std::max(handled_, time); }
  [[nodiscard]] std::size_t size() const { return seen_.size(); }

 private:
  struct Seen {
    std::uint64_t at = 0;
    std::uint64_t forks = 0;
  };
  // Events come nearly in the order of their times.
  void prune() {
    std::erase_if(seen_, [this](const auto& entry) { return entry.second.forks + slack < handled_; });
    most_ = std::max<std::size_t>(seen_.size() * 2, 4096);
  }
  std::unordered_map<pid_t, Seen> seen_;
  std::size_t most_ = 4096;
  std::uint64_t handled_ = 0;
  std::uint64_t all_from_ = UINT64_MAX;
  std::uint64_t all_until_ = 0;
};

}  // namespace cgx::daemon
