// SPDX-License-Identifier: Apache-2.0
#include "daemon/memory/worker.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/change/plan.h"
#include "cgx/sys/text.h"

namespace cgx::daemon::memory {

Worker::Worker(
    const Hierarchies& hierarchies, std::size_t room, int decided, int answers_wake, std::function<void()> idle)
    : hierarchies_(&hierarchies),
      jobs_(room),
      answers_(room),
      outbox_(room, decided),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      answers_wake_(answers_wake),
      idle_(std::move(idle)),
      programs_([this](Job& job, policy::Outcome outcome, std::string_view detail) { finish(job, outcome, detail); },
                [this](const Job& job, std::string_view line) {
                  Decision d = job.decision;
                  d.time = std::chrono::system_clock::now();
                  d.result.set("output");
                  d.detail.set(line);
                  outbox_.send(d);
                }) {}

Worker::~Worker() { stop(); }

Result<> Worker::start(const char* name) {
  if (!wake_.valid()) return fail_errno(EMFILE, "eventfd");
  thread_ = std::thread([this, name] {
    (void)pthread_setname_np(pthread_self(), name);
    run();
  });
  return {};
}

void Worker::stop() {
  stop_ = true;
  wake();
  if (thread_.joinable()) thread_.join();
  waiting_.clear();
  handed_.clear();
  while (jobs_.front() != nullptr) {
    *jobs_.front() = {};
    jobs_.pop();
  }
}

void Worker::wake() const {
  constexpr std::uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
}

bool Worker::post(Job job) {
  Job* slot = jobs_.claim();
  if (slot == nullptr) return false;
  *slot = std::move(job);
  jobs_.publish();
  wake();
  return true;
}

void Worker::hand(Job job) {
  {
    const std::scoped_lock lock(mutex_);
    handed_.push_back(std::move(job));
  }
  wake();
}

void Worker::collect() {
  for (Job* job = jobs_.front(); job != nullptr; job = jobs_.front()) {
    Job mine = std::move(*job);
    *job = {};
    jobs_.pop();
    if (mine.kind == Job::Kind::threshold || mine.kind == Job::Kind::lower)
      waiting_.push_back(std::move(mine));
    else
      carry_out(mine);
  }
  const std::scoped_lock lock(mutex_);
  std::ranges::move(handed_, std::back_inserter(waiting_));
  handed_.clear();
}

void Worker::run() {
  sigset_t all;  // signals are for the main thread
  sigfillset(&all);
  (void)pthread_sigmask(SIG_BLOCK, &all, nullptr);
  Micros next_idle = now_micros() + second;
  std::vector<pollfd> fds;
  while (!stop_) {
    collect();
    // One of those that wait, and then a look for new ones: a threshold takes milliseconds, and there may be a
    // thousand.
    bool more = false;
    Micros due = next_idle;
    const Micros now = now_micros();
    for (std::size_t i = 0; i < waiting_.size(); ++i) {
      if (waiting_[i].at > now) {
        due = std::min(due, waiting_[i].at);
        continue;
      }
      Job job = std::move(waiting_[i]);
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
      carry_out(job);
      more = true;
      break;
    }
    programs_.step();
    if (now >= next_idle && idle_) idle_();
    if (now >= next_idle) next_idle = now_micros() + second;
    fds.assign(1, pollfd{.fd = wake_.get(), .events = POLLIN, .revents = 0});
    due = std::min(due, programs_.wants(fds));
    const Micros then = now_micros();
    const int wait = more || due <= then ? 0 : static_cast<int>(std::min<Micros>((due - then + 999) / 1000, 1000));
    (void)poll(fds.data(), fds.size(), wait);
    std::uint64_t count = 0;
    (void)!read(wake_.get(), &count, sizeof count);
  }
}

// Tells the run that waits for it, and the world.
void Worker::finish(Job& job, policy::Outcome outcome, std::string_view detail) {
  Decision& d = job.decision;
  d.time = std::chrono::system_clock::now();
  d.result.set(name_of(outcome));
  d.detail.set(detail);
  d.took = now_micros() - job.woke;
  if (job.token != 0)
    if (Answer* slot = answers_.claim(); slot != nullptr) {  // where there is no room, the run's time-out comes
      *slot = {.token = job.token, .outcome = outcome};
      answers_.publish();
      constexpr std::uint64_t one = 1;
      (void)!write(answers_wake_, &one, sizeof one);
    }
  outbox_.send(d);
}

void Worker::carry_out(Job& job) {
  switch (job.kind) {
    case Job::Kind::exec:
      programs_.start(std::move(job));
      break;
    case Job::Kind::set:
      set_limits(job);
      break;
    case Job::Kind::reclaim:
      reclaim(job);
      break;
    case Job::Kind::release_memory: {
      // Takes the victim's memory while it is still on its way out; an error is no loss.
      const sys::Fd fd(job.pidfd);
      (void)syscall(SYS_process_mrelease, fd.get(), 0);
      break;
    }
    case Job::Kind::threshold:
      put_threshold(*job.node);
      break;
    case Job::Kind::lower:
      if (!lower(job)) waiting_.push_back(std::move(job));
      break;
  }
}

void Worker::set_limits(Job& job) {
  const auto& set = std::get<policy::Set>(job.action->what);
  Desired desired;
  desired.group = set.group.empty() ? job.node->name : set.group;
  for (const policy::PolicyLimit& l : set.limits) desired.limits.push_back(l.limit);
  Transaction transaction(*hierarchies_);
  const auto done = transaction.apply(desired);
  transaction.commit();
  std::string detail = done ? desired.group + ":" : done.error().text();
  if (done)
    for (const policy::PolicyLimit& l : set.limits) detail += fmt::format(" {}={}", l.key, l.limit.given);
  finish(job, done ? policy::Outcome::done : policy::Outcome::failed, detail);
}

void Worker::reclaim(Job& job) {
  const Node& node = *job.node;
  const policy::Amount& amount = std::get<policy::Reclaim>(job.action->what).amount;
  const Number before = read_number(node.files.usage.get());
  const bool v1 = node.version == Version::v1;
  const char* file = v1 ? "memory.force_empty" : "memory.reclaim";
  const sys::Fd fd(sys::open_part(node.files.dir.get(), file, O_WRONLY | O_NOCTTY));
  int code = fd.valid() ? 0 : ENOENT;
  const std::uint64_t bytes = amount.percent != 0 ? before.value / 100 * amount.percent : amount.bytes;
  if (code == 0) code = v1 ? write_text(fd.get(), "0") : write_number(fd.get(), bytes);
  const Number after = read_number(node.files.usage.get());
  // EAGAIN: less than asked for.
  const bool less = after.value < before.value;
  const auto outcome = code == 0 || (code == EAGAIN && less) ? policy::Outcome::done : policy::Outcome::failed;
  Words<192> words(job.decision.detail);
  if (outcome == policy::Outcome::failed)
    words << file << ": " << reason(code);
  else
    words.size(before.value).operator<<(" -> ").size(after.value);
  const FixedText<192> detail = job.decision.detail;
  job.decision.old_value = before.value;
  job.decision.new_value = after.value;
  finish(job, outcome, detail.view());
}

// The eventfd for memory in use that comes close to the limit, anew where the limit has changed. Writing to
// cgroup.event_control waits for an RCU grace period, about 8 ms.
void Worker::put_threshold(Node& node) {
  const Number limit = read_number(node.files.limit.get());
  const std::uint64_t mark = limit.code != 0 || limit.value == sys::unlimited ? 0 : policy::early_mark(limit.value);
  if (mark == node.mark.load() || node.gone) return;
  sys::Fd fresh;
  if (mark != 0) {
    const sys::Fd control(sys::open_part(node.files.dir.get(), "cgroup.event_control", O_WRONLY | O_NOCTTY));
    fresh = sys::Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!control.valid() || !fresh.valid()) return;
    // The kernel asks for the file by number; any that is open does.
    if (write_text(control.get(), fmt::format("{} {} {}", fresh.get(), node.files.usage.get(), mark)) != 0) return;
    // Edge triggered: the memory thread does not read what this thread may close.
    epoll_event e{.events = EPOLLIN | EPOLLET, .data = {.ptr = &node.threshold_source}};
    (void)epoll_ctl(epoll_, EPOLL_CTL_ADD, fresh.get(), &e);
  }
  node.threshold = std::move(fresh);  // closing takes the old one out of the group and of epoll
  node.mark = mark;
}

// Lowers what was raised. What the processes need by now cannot be taken away: tried again later. What somebody else
// has changed meanwhile is left alone.
bool Worker::lower(Job& job) {
  Node& node = *job.node;
  const std::uint64_t base = node.base_limit, raised = node.raised_limit;
  if (node.gone || node.retired || base == 0) return true;
  const Micros now = now_micros();
  if (node.lower_at.load() > now) {  // raised again meanwhile
    job.at = node.lower_at;
    return false;
  }
  const Number limit = read_number(node.files.limit.get());
  if (limit.code != 0 || limit.value != raised) {
    node.base_limit = 0;
    return true;
  }
  const auto& raise = std::get<policy::Raise>(job.action->what);
  const Number usage = read_number(node.files.usage.get());
  int code = EBUSY;
  // Below what is in use v1 refuses after having reclaimed what it could, and v2 kills; so v2 is not asked.
  if (node.version == Version::v1 || usage.value < policy::early_mark(base))
    code = write_limit(node, raised, base).code;
  Decision& d = job.decision;
  d.event.set("decay");
  d.action.set("lower");
  d.usage = usage.value;
  d.limit_bytes = raised;
  d.old_value = raised;
  if (code == EBUSY) {
    job.at = now + std::clamp<Micros>(raise.decay_after / 4, second, 60 * second);
    return false;
  }
  node.base_limit = 0;
  const Number after = read_number(node.files.limit.get());
  d.new_value = after.value;
  FixedText<192> detail;
  Words<192> words(detail);
  if (code != 0)
    words << limit_file(node) << ": " << reason(code);
  else
    words.size(raised).operator<<(" -> ").size(after.value);
  job.woke = now;
  finish(job, code == 0 ? policy::Outcome::done : policy::Outcome::failed, detail.view());
  if (node.mark.load() != 0) put_threshold(node);
  return true;
}

}  // namespace cgx::daemon::memory
