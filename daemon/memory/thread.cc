// SPDX-License-Identifier: Apache-2.0
// The loop of the memory thread, and how a new policy takes effect in it.
#include "daemon/memory/thread.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"

namespace cgx::daemon::memory {
namespace {

constexpr std::size_t sweep_slice = 8;  // groups looked at between two looks for events

}  // namespace

Thread::Thread(const ThreadOptions& options, FrozenLog frozen, int decided)
    : options_(options),
      frozen_log_(std::move(frozen)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      meminfo_(open("/proc/meminfo", O_RDONLY | O_CLOEXEC)),
      outbox_(options.decisions, decided),
      kill_budget_{.times = options.kills_per_hour, .within = 3600 * second} {}

Thread::~Thread() { stop(); }

Result<> Thread::start(Worker& quick, Worker& slow) {
  charged_ahead_ = 64 * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)) *
                   static_cast<std::uint64_t>(std::max(sysconf(_SC_NPROCESSORS_CONF), 1L));
  quick_ = &quick;
  slow_ = &slow;
  if (!epoll_.valid() || !wake_.valid()) return fail_errno(EMFILE, "epoll");
  epoll_event e{.events = EPOLLIN, .data = {.ptr = &control_}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &e) != 0) return fail_errno(errno, "epoll_ctl");
  // Locked pages of this program, as they are touched: reading them in again may need the memory that is short.
  if (options_.lock_memory && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0)
    notes_.push_back(fmt::format("memory is not locked: {}", errno_text(errno)));
  read_host();
  thread_ = std::thread([this] { run(); });
  if (options_.fifo) {
    const sched_param priority{.sched_priority = 1};
    if (const int code = pthread_setschedparam(thread_.native_handle(), SCHED_FIFO, &priority); code != 0)
      notes_.push_back(fmt::format("the memory thread has no real-time priority: {}", errno_text(code)));
  }
  return {};
}

void Thread::stop() {
  stop_ = true;
  constexpr std::uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
  if (thread_.joinable()) thread_.join();
  // Programs name groups, and groups have programs: taken apart here.
  for (const Set::Entry& e : set_.nodes) {
    e.node->program.reset();
    e.node->run = {};
  }
  for (const Set::Trigger& t : set_.pressures) {
    t.pressure->program.reset();
    t.pressure->run = {};
  }
  set_ = {};
}

void Thread::exchange(Set& next) {
  std::unique_lock lock(mutex_);
  next_ = &next;
  constexpr std::uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
  done_.wait(lock, [this] { return next_ == nullptr; });
}

int Thread::release(const std::string& group) {
  std::unique_lock lock(mutex_);
  release_ = &group;
  constexpr std::uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
  done_.wait(lock, [this] { return release_ == nullptr; });
  return released_;
}

void Thread::run() {
  (void)pthread_setname_np(pthread_self(), "cgxd-memory");
  sigset_t all;  // signals are for the main thread
  sigfillset(&all);
  (void)pthread_sigmask(SIG_BLOCK, &all, nullptr);
  std::array<epoll_event, 64> events;
  while (!stop_) {
    const int n = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout(now_micros()));
    if (n > 0) stop_at("wake");
    const Micros now = now_micros();
    bool told = false;
    for (int i = 0; i < n; ++i) {
      const auto& source = *static_cast<const Source*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (source.kind == Source::Kind::control)
        told = true;
      else
        on_event(source, events[static_cast<std::size_t>(i)].events, i == 0 ? now : now_micros());
    }
    busy_work(now_micros());
    sweep(now_micros());
    // Last, since it may do away with what events belong to.
    if (told) obey();
    heartbeat_.fetch_add(1, std::memory_order_relaxed);
  }
  for (const Set::Entry& e : set_.nodes) disarm(*e.node);
}

void Thread::obey() {
  std::uint64_t count = 0;
  (void)!read(wake_.get(), &count, sizeof count);
  answers(*quick_);
  answers(*slow_);
  const std::scoped_lock lock(mutex_);
  if (next_ != nullptr) {
    take_over();
    next_ = nullptr;
  }
  if (release_ != nullptr) {
    released_ = ENOENT;
    for (const Set::Entry& e : set_.nodes) {
      if (e.node->name != *release_ || e.program == nullptr) continue;
      released_ = 0;
      Run& run = e.node->run;
      if (!run.progress.idle())
        give_back(run);
      else
        release_killer(*e.node);
    }
    release_ = nullptr;
  }
  done_.notify_all();
}

// The set that is in force goes back in `next`, for the main thread to free.
void Thread::take_over() {
  std::swap(set_, *next_);
  set_.busy.clear();
  set_.busy_pressures.clear();
  for (const Set::Entry& e : next_->nodes) e.node->retired = true;
  for (const Set::Entry& e : set_.nodes) e.node->retired = false;
  for (const Set::Trigger& t : next_->pressures) t.pressure->retired = true;
  for (const Set::Trigger& t : set_.pressures) t.pressure->retired = false;
  for (const Set::Trigger& t : next_->pressures) {
    if (!t.pressure->retired) continue;
    if (!t.pressure->run.progress.idle()) finish(t.pressure->run);
    (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, t.pressure->fd.get(), nullptr);
  }
  for (const Set::Entry& e : next_->nodes)
    if (e.node->retired) retire(e);
  for (Set::Entry& e : set_.nodes) {
    Node& node = *e.node;
    node.parent = e.parent;
    std::swap(node.children, e.children);
    node.program = e.program;
    if (e.fresh && node.registered) {
      const bool v1 = node.version == Version::v1;
      epoll_event event{.events = v1 ? EPOLLIN : EPOLLPRI, .data = {.ptr = &node.source}};
      (void)epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, (v1 ? node.event : node.files.events).get(), &event);
    }
    node.own_high = e.own_high;
    if (node.pauses() && (!node.armed || node.version == Version::v2))
      arm(node);
    else if (!node.pauses() && node.armed)
      disarm(node);
    node.busy = true;
    set_.busy.push_back(&node);
  }
  for (const Set::Trigger& t : set_.pressures) {
    Pressure& p = *t.pressure;
    p.program = t.program;
    p.rule = t.rule;
    if (!t.fresh) {
      if (!p.run.progress.idle()) set_.busy_pressures.push_back(&p);
      continue;
    }
    epoll_event event{.events = p.level ? EPOLLIN : EPOLLPRI, .data = {.ptr = &p.source}};
    (void)epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, p.fd.get(), &event);
  }
}

// No policy names it any more.
void Thread::retire(const Set::Entry& old) {
  Node& node = *old.node;
  disarm(node);
  if (node.registered)
    (void)epoll_ctl(
        epoll_.get(), EPOLL_CTL_DEL, (node.version == Version::v1 ? node.event : node.files.events).get(), nullptr);
  node.program.reset();
  node.run = {};
  node.parent = nullptr;
  node.children.clear();
  node.busy = false;
}

// The group stands in the state directory already.
void Thread::arm(Node& node) {
  stop_at("arm");
  if (node.version == Version::v1) {
    // Whoever runs into the limit from now on waits, and the eventfd, which is registered, tells.
    if (disable_killer(node, true) == 0) node.armed = true;
  } else if (node.files.high.valid()) {
    const Number limit = read_number(node.files.limit.get());
    const Number high = read_number(node.files.high.get());
    if (limit.code != 0 || limit.value == sys::unlimited) return;  // the sweep comes again
    // A memory.high of the policy's own is the tripwire itself.
    const std::uint64_t mark = node.own_high < limit.value ? 0 : policy::early_mark(limit.value);
    if (mark != 0 && high.code == 0 && high.value != mark && write_number(node.files.high.get(), mark) != 0) return;
    node.wire = mark;
    node.armed = true;
  }
  stop_at("armed");
}

// As it was before any policy.
void Thread::disarm(Node& node) {
  if (!node.run.progress.idle()) finish(node.run);
  if (node.frozen) thaw_node(node);
  if (node.armed) {
    stop_at("disarm");
    if (node.version == Version::v1)
      (void)disable_killer(node, false);
    else if (node.wire != 0)
      (void)write_number(node.files.high.get(), node.own_high);
    stop_at("disarmed");
  }
  node.armed = false;
  node.paused = false;
  node.wire = 0;
  node.rearm_at = never;
}

void Thread::mark_busy(Node& node) {
  if (node.busy) return;
  node.busy = true;
  set_.busy.push_back(&node);
}

int Thread::timeout(Micros now) const {
  Micros due = std::min(now + 250 * ms, sweep_at_);
  for (const Node* node : set_.busy)
    due = std::min({due,
                    node->run.progress.idle() ? never : std::min(node->run.due, node->run.kill_at),
                    node->settle_at,
                    node->rearm_at,
                    node->thaw_at});
  for (const Pressure* p : set_.busy_pressures) due = std::min({due, p->run.due, p->run.kill_at});
  return due <= now ? 0 : static_cast<int>((due - now + 999) / 1000);
}

// What is due, of those that have something to do later.
void Thread::busy_work(Micros now) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < set_.busy.size(); ++i) {
    Node& node = *set_.busy[i];
    if (!node.run.progress.idle()) {
      if (now >= node.run.kill_at)
        victim_step(node.run, now);
      else if (now >= node.run.due)
        proceed(node.run);
    }
    if (now >= node.settle_at) settle(node, now);
    if (now >= node.thaw_at) thaw_node(node);
    if (now >= node.rearm_at) {
      node.rearm_at = never;
      const bool still = node.version == Version::v1 ? read_oom(node).under_oom : read_fill(node).full;
      if (still)
        node.rearm_at = now + second;
      else if (node.pauses() && !node.gone)
        arm(node);
    }
    const bool more =
        !node.run.progress.idle() || node.settle_at != never || node.thaw_at != never || node.rearm_at != never;
    node.busy = more;
    if (more) set_.busy[kept++] = &node;
  }
  set_.busy.resize(kept);
  std::size_t kept_pressures = 0;
  for (std::size_t i = 0; i < set_.busy_pressures.size(); ++i) {
    Pressure& p = *set_.busy_pressures[i];
    if (now >= p.run.kill_at)
      victim_step(p.run, now);
    else if (now >= p.run.due)
      proceed(p.run);
    if (!p.run.progress.idle()) set_.busy_pressures[kept_pressures++] = &p;
  }
  set_.busy_pressures.resize(kept_pressures);
}

void Thread::answers(Worker& worker) {
  for (const Answer* a = worker.answers().front(); a != nullptr; a = worker.answers().front()) {
    const auto take = [&](Run& run) {
      if (run.token != a->token || run.progress.idle()) return;
      run.token = 0;
      run.progress.report(a->outcome, run.actions->list, now_micros());
      proceed(run);
    };
    for (std::size_t i = 0; i < set_.busy.size(); ++i) take(set_.busy[i]->run);
    for (std::size_t i = 0; i < set_.busy_pressures.size(); ++i) take(set_.busy_pressures[i]->run);
    worker.answers().pop();
  }
}

// What no event tells, once a second, some groups at a time.
void Thread::sweep(Micros now) {
  if (now < sweep_at_) return;
  if (sweep_next_ == 0) {
    sweep_began_ = now;
    read_host();
  }
  const std::size_t end = std::min(sweep_next_ + sweep_slice, set_.nodes.size());
  for (; sweep_next_ < end; ++sweep_next_) sweep_node(*set_.nodes[sweep_next_].node, now);
  if (sweep_next_ < set_.nodes.size()) return;
  sweep_next_ = 0;
  ++sweeps_;
  sweep_at_ = sweep_began_ + second;
}

void Thread::read_host() {
  std::array<char, 4096> buffer;
  const Text t = read_text(meminfo_.get(), buffer);
  const auto kib = [&](std::string_view key) {
    const std::size_t at = t.text.find(key);
    if (at == std::string_view::npos) return sys::unlimited / 4;
    std::string_view rest = t.text.substr(at + key.size());
    while (rest.starts_with(' ')) rest.remove_prefix(1);
    std::uint64_t n = 0;
    (void)std::from_chars(rest.data(), rest.data() + rest.size(), n);
    return n * 1024;
  };
  total_ = kib("MemTotal:");
  available_ = kib("MemAvailable:");
}

}  // namespace cgx::daemon::memory
