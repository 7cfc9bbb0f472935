// SPDX-License-Identifier: Apache-2.0
// The action `kill`: one process at a time, and no other one.
#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "cgx/sys/count.h"

#include "daemon/memory/thread.h"

namespace cgx::daemon::memory {

using policy::Outcome;

namespace {

// How many more the budget allows now, as far as Few has room.
std::uint64_t left_of(policy::Allowance allowance, const policy::Action::Budget& budget, Micros now) {
  std::uint64_t left = 0;
  while (left < Few::room && allowance.take(budget, now)) ++left;
  return left;
}

}  // namespace

Outcome Thread::kill(Run& run, const policy::Kill& k, Micros now) {
  Node& node = *run.node;
  Decision& d = run.decision;
  if (!kills_.allows(kill_budget_, now)) {
    Words<192>(d.detail) << "no more than " << options_.kills_per_hour
                         << sys::noun(options_.kills_per_hour, " kill an hour", " kills an hour");
    return Outcome::limited;
  }
  Words<192> words(d.detail);
  if (k.pick == policy::Pick::all) {
    run.few = kill_budget_.times == 0 ? Few() : Few(left_of(kills_, kill_budget_, now));
    const Struck struck = kill_each(node.files.dir.get(), node.place, k, k.signal, run.few);
    run.few.close();
    run.victim = struck.last;
    for (std::uint64_t i = 0; i < struck.count; ++i) (void)kills_.take(kill_budget_, now);
    words << "signal " << static_cast<std::uint64_t>(k.signal) << " to " << struck.count
          << sys::noun(struck.count, " process", " processes");
    if (run.few.left_some() && kills_.allows(kill_budget_, now))
      words << ": no more than " << Few::room << " at once";
    else if (run.few.left_some())
      words << ": no more than " << options_.kills_per_hour
            << sys::noun(options_.kills_per_hour, " kill an hour", " kills an hour");
    if (struck.count == 0) return Outcome::skipped;
    run.victim_fd = sys::Fd(std::max(open_victim(run.victim, node.place), -1));
  } else {
    // Between the search and the signal it may end, and its number mean somebody else; then another one is looked for.
    for (int attempt = 0; attempt < 3 && !run.victim_fd.valid(); ++attempt) {
      run.victim = find_victim(node.files.dir.get(), k).victim;
      if (run.victim.pid == 0) break;
      run.victim_fd = sys::Fd(std::max(open_victim(run.victim, node.place), -1));
    }
    if (!run.victim_fd.valid()) {
      words << "there is no process that may be killed";
      return Outcome::skipped;
    }
  }
  d.pid = run.victim.pid;
  d.rss = run.victim.rss;
  d.age = run.victim.age;
  command_of(run.victim.pid, d.command);
  if (d.command.length == 0) d.command.set(run.victim.comm.view());
  if (k.pick != policy::Pick::all) {
    (void)kills_.take(kill_budget_, now);
    words << "signal " << static_cast<std::uint64_t>(k.signal);
  }
  if (const Outcome outcome = strike(run, k.signal); outcome != Outcome::done) return outcome;
  if (!run.victim_fd.valid()) return Outcome::done;
  run.victim_source = {.kind = Source::Kind::victim, .node = &node, .pressure = run.pressure};
  epoll_event e{.events = EPOLLIN, .data = {.ptr = &run.victim_source}};
  (void)epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, run.victim_fd.get(), &e);
  run.kill_at = k.signal == SIGKILL ? never : now + k.grace;
  return Outcome::pending;
}

// Sends the signal, and sees to it that it can take effect.
Outcome Thread::strike(Run& run, int signal) {
  if (!run.victim_fd.valid()) {  // of many, and ended already
    let_act(run, signal);
    return Outcome::done;
  }
  if (const int code = send_signal(run.victim_fd.get(), signal); code != 0 && code != ESRCH) {
    Words<192>(run.decision.detail) << "signal " << static_cast<std::uint64_t>(signal) << ": " << reason(code);
    return Outcome::failed;
  }
  let_act(run, signal);
  if (signal == SIGKILL)
    if (const int copy = fcntl(run.victim_fd.get(), F_DUPFD_CLOEXEC, 0); copy >= 0)
      if (!quick_->post({.kind = Job::Kind::release_memory, .pidfd = copy, .decision = {}})) close(copy);
  return Outcome::done;
}

void Thread::let_act(Run& run, int signal) {
  Node& node = *run.node;
  // v1 keeps frozen processes from dying, v2 from handling a signal.
  const bool stopped = node.freezer_version == Version::v1 || signal != SIGKILL;
  if (stopped && node.files.freezer.valid() && is_frozen(node)) {
    if (node.frozen) {
      thaw_node(node);
      run.held = false;
    } else if (freeze(node, false) == 0) {
      run.refreeze = true;
    }
  }
  // Who waits at v1's limit handles no signal but SIGKILL. Room for one more page wakes all for another try.
  if (signal == SIGKILL || node.version != Version::v1 || !run.pauses) return;
  const Number limit = read_number(node.files.limit.get());
  if (limit.code == 0 && limit.value + 4096 <= limit_above(node))
    (void)write_limit(node, limit.value, limit.value + 4096);
}

void Thread::drop_victim(Run& run) {
  if (run.victim_fd.valid()) {
    // Copies of the descriptor keep it in epoll.
    (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, run.victim_fd.get(), nullptr);
    run.victim_fd.reset(-1);
  }
  if (run.refreeze) (void)freeze(*run.node, true);
  run.refreeze = false;
  run.kill_at = never;
}

// The victim has ended, or has had the time that it was given to.
void Thread::victim_step(Run& run, Micros now) {
  if (!run.victim_fd.valid() || run.progress.idle()) {
    run.kill_at = never;
    return;
  }
  pollfd p{.fd = run.victim_fd.get(), .events = POLLIN, .revents = 0};
  const bool ended = poll(&p, 1, 0) > 0;
  if (!ended && now < run.kill_at) return;
  if (!ended) {
    run.kill_at = never;
    const auto& k = std::get<policy::Kill>(run.actions->list[run.progress.step()].what);
    Words<192>(run.decision.detail) << "SIGKILL after signal " << static_cast<std::uint64_t>(k.signal);
    if (k.pick == policy::Pick::all) (void)kill_each(run.node->files.dir.get(), run.node->place, k, SIGKILL, run.few);
    // Still in the group? The descriptor itself can only be the process that it was.
    if (const int again = open_victim(run.victim, run.node->place); again >= 0) {
      close(again);
      if (strike(run, SIGKILL) == Outcome::done) return;
    }
    run.decision.detail.set("it left the group in time");
  }
  drop_victim(run);
  const Outcome outcome = ended ? Outcome::done : Outcome::skipped;
  tell(run, outcome);
  run.progress.report(outcome, run.actions->list, now_micros());
  proceed(run);
}

}  // namespace cgx::daemon::memory
