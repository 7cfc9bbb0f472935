// SPDX-License-Identifier: Apache-2.0
#include "daemon/rules/sorter.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <mutex>
#include <optional>
#include <thread>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/rules/connector.h"
#include "daemon/rules/follow.h"
#include "daemon/rules/sorting.h"

namespace cgx::daemon {
namespace {

using Clock = std::chrono::steady_clock;

// The kernel's ktime_get_ns(), by which events are stamped.
std::uint64_t monotonic() {
  timespec now{};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
}

std::vector<Mount> mounts_of(const Hierarchies& hierarchies) {
  std::vector<Mount> mounts;
  for (const auto& list : {hierarchies.all(), hierarchies.named()})
    for (const Hierarchy& h : list) mounts.push_back(h.mount());
  return mounts;
}

// Forks are always asked for, see Follow.
std::uint32_t mask_of(const std::vector<policy::Rule>& rules) {
  const policy::Wanted wanted = policy::wanted_by(rules);
  std::uint32_t mask = ProcEventKind::exec | ProcEventKind::fork;
  if (wanted.user) mask = mask | ProcEventKind::uid;
  if (wanted.group) mask = mask | ProcEventKind::gid;
  return mask;
}

}  // namespace

class Sorter::Thread {
 public:
  // Descriptors of a Hierarchy are opened when first used, so each thread has hierarchies of its own.
  Thread(const Hierarchies& hierarchies, Options options)
      : options_(options), hierarchies_(Hierarchies::of_mounts(mounts_of(hierarchies))) {}
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  ~Thread() {
    stop_ = true;
    wake();
    if (thread_.joinable()) thread_.join();
  }

  Result<> start() {
    wake_ = sys::Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake_.valid()) return fail_errno(errno, "eventfd");
    sorting_ = CGX_TRY(Sorting::make(hierarchies_));
    // Whether it is possible is told now, not when the first rules come.
    CGX_TRY(Connector::open(mask_of({}), options_.buffer));
    // Signals are for the other threads.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    (void)pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return {};
  }

  void set_rules(std::vector<policy::Rule> rules) {
    {
      const std::scoped_lock lock(mutex_);
      next_rules_ = std::move(rules);
    }
    wake();
  }

  Stats stats() const {
    return {
        .events = events_, .looked = looked_, .moved = moved_, .failed = failed_, .lost = lost_, .rescans = rescans_};
  }

  std::vector<std::string> take_failures() {
    const std::scoped_lock lock(mutex_);
    return std::exchange(failures_, {});
  }

 private:
  void wake() const {
    const std::uint64_t one = 1;
    if (wake_.valid()) (void)!write(wake_.get(), &one, sizeof one);  // full: it is awake
  }

  void run() {
    (void)pthread_setname_np(pthread_self(), "cgx-rules");
    // A process that waits to be sorted may run in the wrong group meanwhile. Without CAP_SYS_NICE it is as it is.
    (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), -10);
    std::vector<ProcEvent> events;
    while (!stop_) {
      take_rules();
      if (connector_) handle_events(events);
      tell_failures();
      if (stop_) return;
      if (rescan_wanted_ && Clock::now() >= rescan_not_before_) {
        rescan();
        continue;
      }
      sorting_->sweep(Clock::now());
      wait();
    }
  }

  void wait() const {
    std::array<pollfd, 2> waiting{pollfd{.fd = wake_.get(), .events = POLLIN, .revents = 0},
                                  pollfd{.fd = connector_ ? connector_->fd() : -1, .events = POLLIN, .revents = 0}};
    auto pause = std::chrono::milliseconds(60'000);
    if (rescan_wanted_)
      pause =
          std::chrono::ceil<std::chrono::milliseconds>(std::max(rescan_not_before_ - Clock::now(), Clock::duration()));
    (void)poll(waiting.data(), waiting.size(), static_cast<int>(pause.count()));
    std::uint64_t count = 0;
    (void)!read(wake_.get(), &count, sizeof count);
  }

  void take_rules() {
    std::optional<std::vector<policy::Rule>> rules;
    {
      const std::scoped_lock lock(mutex_);
      rules.swap(next_rules_);
    }
    if (rules) {
      sorting_->set_rules(std::move(*rules));
      connector_.reset();
      rescan_wanted_ = !sorting_->rules().empty();
      rescan_not_before_ = {};
    }
    if (connector_ || sorting_->rules().empty() || Clock::now() < connect_not_before_) return;
    // First listen, then look at what is there: nothing falls in between.
    auto connector = Connector::open(mask_of(sorting_->rules()), options_.buffer);
    if (connector) {
      connector_.emplace(std::move(*connector));
      return;
    }
    const std::scoped_lock lock(mutex_);
    failures_.push_back("rules: " + connector.error().text());
    connect_not_before_ = Clock::now() + std::chrono::seconds(10);
  }

  // Until none waits; in a flood, until it is time to see what else there is to do.
  void handle_events(std::vector<ProcEvent>& events) {
    for (int batch = 0; batch < 100 && !stop_; ++batch) {
      const auto received = connector_->receive(events);
      if (!received && received.error().code == ENOBUFS) {
        // The kernel drops everything until the queue has been emptied; only then is it worth looking.
        ++lost_;
        rescan_wanted_ = true;
        continue;
      }
      if (!received || *received == Connector::Received::none) {
        follow_.handled(monotonic());
        return;
      }
      events_ += events.size();
      for (const ProcEvent& event : events) handle(event);
      if (!events.empty()) follow_.handled(events.back().time);
    }
  }

  void handle(const ProcEvent& event) {
    if (event.kind == ProcEventKind::fork) {
      if (follow_.must_follow(event.parent, event.pid, event.time)) sort(event.pid);
      return;
    }
    // An exec and the changes of user before it come close together: one look sees them all.
    if (!follow_.known(event.pid, event.time)) sort(event.pid);
  }

  void sort(pid_t pid) {
    const std::uint64_t from = monotonic();
    const Sorting::Outcome outcome = sorting_->sort(pid);
    ++looked_;
    if (outcome == Sorting::Outcome::moved) ++moved_;
    if (outcome == Sorting::Outcome::failed) ++failed_;
    follow_.looked(pid, from, monotonic(), outcome == Sorting::Outcome::moved);
  }

  void rescan() {
    rescan_wanted_ = false;
    const std::uint64_t from = monotonic();
    const auto begin = Clock::now();
    const auto done = sorting_->each_process([this](pid_t pid) {
      sort(pid);
      return !stop_;
    });
    follow_.looked_at_all(from, monotonic());
    if (!done) rescan_wanted_ = true;  // short of descriptors: once more
    ++rescans_;
    // At most a fifth of the time goes into this, however often events are lost.
    const auto took = Clock::now() - begin;
    rescan_not_before_ = Clock::now() + std::max<Clock::duration>(4 * took, std::chrono::milliseconds(50));
    tell_failures();
  }

  void tell_failures() {
    std::vector<std::string> found = sorting_->take_failures();
    if (found.empty()) return;
    constexpr std::size_t most = 64;
    const std::scoped_lock lock(mutex_);
    for (std::string& text : found)
      if (failures_.size() < most && std::ranges::find(failures_, text) == failures_.end())
        failures_.push_back(std::move(text));
  }

  Options options_;
  Hierarchies hierarchies_;
  sys::Fd wake_;
  std::unique_ptr<Sorting> sorting_;
  std::optional<Connector> connector_;
  Follow follow_;
  bool rescan_wanted_ = false;
  Clock::time_point rescan_not_before_;
  Clock::time_point connect_not_before_;

  std::atomic<bool> stop_ = false;
  std::atomic<std::uint64_t> events_ = 0;
  std::atomic<std::uint64_t> looked_ = 0;
  std::atomic<std::uint64_t> moved_ = 0;
  std::atomic<std::uint64_t> failed_ = 0;
  std::atomic<std::uint64_t> lost_ = 0;
  std::atomic<std::uint64_t> rescans_ = 0;
  std::mutex mutex_;
  std::optional<std::vector<policy::Rule>> next_rules_;
  std::vector<std::string> failures_;

  std::thread thread_;  // last: it uses the others
};

Sorter::Sorter(std::unique_ptr<Thread> thread) : thread_(std::move(thread)) {}
Sorter::~Sorter() = default;

Result<std::unique_ptr<Sorter>> Sorter::start(const Hierarchies& hierarchies, Options options) {
  auto thread = std::make_unique<Thread>(hierarchies, options);
  CGX_CHECK(thread->start());
  return std::unique_ptr<Sorter>(new Sorter(std::move(thread)));
}

void Sorter::set_rules(std::vector<policy::Rule> rules) { thread_->set_rules(std::move(rules)); }
Sorter::Stats Sorter::stats() const { return thread_->stats(); }
std::vector<std::string> Sorter::take_failures() { return thread_->take_failures(); }

}  // namespace cgx::daemon
