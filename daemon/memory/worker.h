// SPDX-License-Identifier: Apache-2.0
// Inside daemon/memory/: a thread for what may block or allocate, so that the memory thread need not. There are two:
// one for programs and limits, one for what takes its time (reclaim, thresholds, lowering limits again).
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "cgx/cgroupfs/hierarchy.h"

#include "daemon/memory/exec.h"
#include "daemon/memory/node.h"
#include "daemon/memory/outbox.h"

namespace cgx::daemon::memory {

// What a worker says of a job, to the memory thread.
struct Answer {
  std::uint64_t token = 0;
  policy::Outcome outcome = policy::Outcome::done;
};

class Worker {
 public:
  // `answers_wake`: an eventfd of the memory thread. `idle`: called about once a second on this thread.
  Worker(const Hierarchies& hierarchies, std::size_t room, int decided, int answers_wake, std::function<void()> idle);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();  // stops: ends programs that still run
  [[nodiscard]] Result<> start(const char* name);
  void stop();

  // From the memory thread: no lock, no allocation. False: there is no room.
  [[nodiscard]] bool post(Job job);
  // From any other thread.
  void hand(Job job);
  // Where thresholds are polled.
  void set_epoll(int epoll) { epoll_ = epoll; }

  Outbox& outbox() { return outbox_; }
  Ring<Answer>& answers() { return answers_; }

 private:
  void run();
  void collect();
  void wake() const;
  void carry_out(Job& job);
  void finish(Job& job, policy::Outcome outcome, std::string_view detail);
  void set_limits(Job& job);
  void reclaim(Job& job);
  void put_threshold(Node& node);
  bool lower(Job& job);  // true: done with

  const Hierarchies* hierarchies_;
  Ring<Job> jobs_;
  Ring<Answer> answers_;
  Outbox outbox_;
  sys::Fd wake_;
  int answers_wake_;
  int epoll_ = -1;
  std::function<void()> idle_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
  std::mutex mutex_;
  std::vector<Job> handed_;   // guarded by mutex_
  std::vector<Job> waiting_;  // thresholds, and limits to be lowered at a time
  Programs programs_;
};

}  // namespace cgx::daemon::memory
