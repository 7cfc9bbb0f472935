// SPDX-License-Identifier: Apache-2.0
// Inside daemon/memory/: the memory thread. Between the kernel's signal and the action it makes system calls on files
// that are open, and nothing else: no allocation, no lock that another thread holds for long, no logging.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "daemon/memory/held.h"
#include "daemon/memory/node.h"
#include "daemon/memory/outbox.h"
#include "daemon/memory/worker.h"

namespace cgx::daemon::memory {

// Stops at named points, for tests that kill the process there; nullptr: none.
using Stopper = void (*)(std::string_view where);

struct ThreadOptions {
  bool lock_memory = true;
  bool fifo = false;
  unsigned kills_per_hour = 60;
  std::size_t decisions = 1024;
  bool thresholds = true;
  Stopper stopper = nullptr;
};

// All that is watched. Made by the main thread; what is parallel to `nodes` takes effect when the memory thread takes
// the set over.
struct Set {
  struct Entry {
    std::shared_ptr<Node> node;
    Node* parent = nullptr;
    std::vector<Node*> children;
    std::shared_ptr<const Program> program;  // nullptr: only looked at
    std::uint64_t own_high = 0;              // v2: memory.high as it is without us
    bool fresh = false;                      // not of the set before
  };
  struct Trigger {
    std::shared_ptr<Pressure> pressure;
    std::shared_ptr<const Program> program;
    std::size_t rule = 0;
    bool fresh = false;
  };
  std::vector<Entry> nodes;  // parents first
  std::vector<Trigger> pressures;
  std::vector<Node*> busy;  // room for as many as there are, for the memory thread
  std::vector<Pressure*> busy_pressures;
};

class Thread {
 public:
  Thread(const ThreadOptions& options, FrozenLog frozen, int decided);
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  ~Thread();
  [[nodiscard]] Result<> start(Worker& quick, Worker& slow);
  void stop();  // gives back what is paused or frozen; returns when it is done

  // Puts `next` in the place of the set that is in force, which is `next` when it returns. Waits for the memory thread.
  void exchange(Set& next);
  // Gives the group to the kernel's own killer; ENOENT: not watched.
  [[nodiscard]] int release(const std::string& group);

  [[nodiscard]] int epoll() const { return epoll_.get(); }
  [[nodiscard]] int wake_fd() const { return wake_.get(); }
  [[nodiscard]] std::uint64_t heartbeat() const { return heartbeat_; }
  // What could not be done at the start: "memory is not locked: ..."
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  Outbox& outbox() { return outbox_; }
  [[nodiscard]] std::uint64_t host_available() const { return available_; }
  [[nodiscard]] std::uint64_t host_total() const { return total_; }
  [[nodiscard]] bool may_kill(Micros now) const { return kills_.allows(kill_budget_, now); }

 private:
  // thread.cc: the loop
  void run();
  void obey();
  void take_over();
  void retire(const Set::Entry& old);
  void arm(Node& node);
  void disarm(Node& node);
  void sweep(Micros now);
  void sweep_node(Node& node, Micros now);
  void read_host();
  void answers(Worker& worker);
  int timeout(Micros now) const;
  void busy_work(Micros now);
  void mark_busy(Node& node);
  void stop_at(std::string_view where) const {
    if (options_.stopper != nullptr) options_.stopper(where);
  }

  // wake.cc: what the kernel tells
  void on_event(const Source& source, unsigned events, Micros now);
  void on_v1(Node& node, Micros woke);
  void on_v2(Node& node, Micros woke);
  void on_threshold(Node& node, Micros woke);
  void follow_limit(Node& node);
  void on_pressure(Pressure& pressure, Micros woke);
  void settle(Node& node, Micros now);
  void told_kills(Node& node, std::uint64_t kills, Micros now);
  void gone(Node& node);
  void report(Node& node, Node* limit_of, std::string_view event, std::uint64_t count, std::string_view detail);
  void begin(Run& run, const Actions& actions, policy::Trigger trigger, Node& node, Node* limit_of, Micros woke);

  // act.cc: what is done about it
  [[nodiscard]] policy::Look look(Run& run);
  void proceed(Run& run, policy::Look look);
  void proceed(Run& run) { proceed(run, look(run)); }
  policy::Outcome start_step(Run& run, std::size_t step, Micros now);
  policy::Outcome raise(Run& run, const policy::Raise& raise);
  policy::Outcome kill(Run& run, const policy::Kill& kill, Micros now);
  policy::Outcome strike(Run& run, int signal);
  void let_act(Run& run, int signal);
  void drop_victim(Run& run);
  policy::Outcome freeze_step(Run& run, const policy::Freeze& freeze, Micros now);
  policy::Outcome thaw_step(Run& run);
  policy::Outcome hand_over(Run& run, Job::Kind kind, const policy::Action& action);
  void victim_step(Run& run, Micros now);
  void hold(Run& run);
  void give_back(Run& run);
  void finish(Run& run);
  void tell(Run& run, policy::Outcome outcome);
  int freeze_node(Node& node);
  void thaw_node(Node& node);
  void release_killer(Node& node);

  ThreadOptions options_;
  FrozenLog frozen_log_;
  sys::Fd epoll_, wake_, meminfo_;
  Source control_;
  Outbox outbox_;
  Worker* quick_ = nullptr;
  Worker* slow_ = nullptr;
  std::vector<std::string> notes_;
  std::thread thread_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> heartbeat_{0};
  std::atomic<std::uint64_t> available_{0}, total_{0};

  // What all CPUs may have charged ahead: MEMCG_CHARGE_BATCH of the kernel is 64 pages.
  std::uint64_t charged_ahead_ = 0;

  // The memory thread's alone.
  Set set_;
  std::uint64_t tokens_ = 0;
  policy::Allowance kills_;
  policy::Action::Budget kill_budget_;
  Micros sweep_at_ = 0, sweep_began_ = 0, host_at_ = 0;
  std::size_t sweep_next_ = 0;
  std::uint64_t sweeps_ = 0;

  std::mutex mutex_;
  std::condition_variable done_;
  Set* next_ = nullptr;                   // guarded by mutex_
  const std::string* release_ = nullptr;  // guarded by mutex_
  int released_ = 0;                      // guarded by mutex_
};

}  // namespace cgx::daemon::memory
