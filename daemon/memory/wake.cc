// SPDX-License-Identifier: Apache-2.0
// What the kernel tells, and what it does not: which group is meant, whose limit it was, and whether there is anything
// to do at all. A wake means "look now" and never more; what is acted on was read after it.
#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <sys/epoll.h>
#include <unistd.h>

#include "daemon/memory/thread.h"

namespace cgx::daemon::memory {
namespace {

// Looks after a wake, 1, 2, 4 ... 512 ms apart: the kernel reports before it kills, and tells of the kill by nothing.
constexpr unsigned settle_rounds = 10;
// Within this time all wakes for one group's limit are one event.
constexpr Micros storm = 50 * ms;

void drain(const sys::Fd& event) {
  std::uint64_t count = 0;
  (void)!read(event.get(), &count, sizeof count);
}

bool removed(int code) { return code == ENODEV || code == ENOENT; }

// The list has ended without relief, and the kernel decides until this shortage is over: its own killer's events are no
// new shortage.
bool given_back(const Node& node) { return node.rearm_at != never; }

// Most of what is near the limit can be had back: the kernel does that by itself, and no one runs out.
bool has_cache(const Node& node, std::uint64_t limit) { return reclaimable(node) > limit - policy::early_mark(limit); }

// The group on the way up whose charges have failed since they were last accounted for, by an event or by age: those of
// the last eight seconds count, since a process may be kept from the CPU between its failed charge and the OOM.
Node* failed_above(Node& node) {
  Node* found = nullptr;
  for (Node* n = &node; n != nullptr; n = n->parent) {
    const Number count = read_failures(*n);
    if (count.code != 0 || count.value <= n->failcnt_told) continue;
    n->failcnt = n->failcnt_told = n->failcnt_next = count.value;
    if (found == nullptr) found = n;
  }
  if (found != nullptr) return found;
  // Not counted (see counts_failures()): the one that has been at its limit, and is the least below it now.
  std::uint64_t least = sys::unlimited;
  for (Node* n = &node; n != nullptr; n = n->parent)
    if (const std::uint64_t gap = gap_to_limit(*n); gap < least) {
      least = gap;
      found = n;
    }
  return found;
}

// v2: the group on the way up that ran out of memory at its own limit.
Node* oom_above(Node& node) {
  Node* found = nullptr;
  for (Node* n = &node; n != nullptr; n = n->parent) {
    if (!n->files.local.valid()) continue;
    const Counts counts = read_counts(n->files.local.get());
    if (counts.code != 0 || counts.oom <= n->oom_local) continue;
    n->oom_local = counts.oom;
    if (found == nullptr) found = n;
  }
  return found;
}

}  // namespace

void Thread::on_event(const Source& source, unsigned events, Micros now) {
  switch (source.kind) {
    case Source::Kind::control:
      break;
    case Source::Kind::memory:
      if (source.node->version == Version::v1)
        on_v1(*source.node, now);
      else
        on_v2(*source.node, now);
      break;
    case Source::Kind::threshold:
      on_threshold(*source.node, now);
      break;
    case Source::Kind::pressure:
      if (!source.pressure->level && (events & EPOLLERR) != 0)  // the group was removed
        (void)epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, source.pressure->fd.get(), nullptr);
      else
        on_pressure(*source.pressure, now);
      break;
    case Source::Kind::victim:
      victim_step(source.pressure != nullptr ? source.pressure->run : source.node->run, now);
      break;
  }
}

void Thread::on_v1(Node& node, Micros woke) {
  const OomState state = read_oom(node);
  if (removed(state.code)) {  // which signals the eventfd too
    gone(node);
    return;
  }
  if (node.gone || node.program == nullptr) return;
  // Everybody below the group that ran out is told. It is the one that is acted on; where it has no policy, whoever is
  // told first reports it. Tasks that go on take the mark from the groups one by one, so that it says who waits, but
  // not whose limit it was; that is who failed to charge.
  Node* root = state.under_oom ? oom_root(node) : nullptr;
  if (root != nullptr && root->pauses() && root->armed) {
    if (root->run.progress.idle()) begin(root->run, root->program->oom, policy::Trigger::oom, *root, root, woke);
    (void)failed_above(node);
  } else if (root = failed_above(node); root != nullptr && woke - root->oom_told > storm) {
    // The kernel's killer is on, or all is over already.
    if (root->program == nullptr)
      report(node, root, "oom", 1, "the group whose limit was reached has no policy");
    else if (root->run.progress.idle() && !given_back(*root))
      begin(root->run, root->program->oom, policy::Trigger::oom, *root, root, woke);
    root->oom_told = woke;
  }
  drain(node.event);
  told_kills(node, state.oom_kill, woke);
  node.settle_at = woke + ms;
  node.settles = 0;
  mark_busy(node);
}

void Thread::on_v2(Node& node, Micros woke) {
  const Counts all = read_counts(node.files.events.get());
  if (removed(all.code)) {
    gone(node);
    return;
  }
  if (all.code != 0 || node.gone || node.program == nullptr) return;
  const Counts local = node.files.local.valid() ? read_counts(node.files.local.get()) : all;
  const bool at_high = local.high > node.high_local, at_max = local.max > node.max_local;
  node.high_local = local.high;
  node.max_local = local.max;
  if (node.run.progress.idle()) {
    const bool mine = local.oom > node.oom_local;
    if (!given_back(node) && ((node.pauses() && (at_high || at_max)) || (node.program->raise_first && at_max))) {
      // Reclaim comes first: with files in memory the limit is touched all the time, and nobody runs out.
      const Fill fill = read_fill(node);
      if (fill.code == 0 && fill.full && (mine || !has_cache(node, fill.limit)))
        begin(node.run, node.program->oom, policy::Trigger::oom, node, &node, woke);
      else if (fill.full)
        node.settle_at = woke + 10 * ms;
    } else if (Node* root = mine ? oom_above(node) : nullptr; root != nullptr && !given_back(*root)) {
      begin(node.run, node.program->oom, policy::Trigger::oom, node, root, woke);
    }
  }
  node.oom_local = std::max(node.oom_local, local.oom);
  if (all.oom_kill > node.oom_kill) {
    // Counts include the groups below: what happened there is told of there.
    for (Node* child : node.children)
      if (child->registered && !child->gone) on_v2(*child, woke);
    told_kills(node, all.oom_kill, woke);
  }
  if (node.settle_at == never) {
    node.settle_at = woke + ms;
    node.settles = 5;
  }
  mark_busy(node);
}

void Thread::told_kills(Node& node, std::uint64_t kills, Micros now) {
  if (kills <= node.oom_kill) return;
  const std::uint64_t more = kills - node.oom_kill;
  node.oom_kill = kills;
  if (node.version == Version::v2)
    for (Node* above = node.parent; above != nullptr; above = above->parent) above->oom_kill += more;
  Node* limit_of = node.version == Version::v1 ? nullptr : oom_above(node);
  if (node.program == nullptr) return;
  report(node, limit_of, "oom_kill", kills, {});
  (void)now;
}

// Again and again for a while after a wake: for the kill that no event tells of, and for tasks that wait although a run
// has ended. A second OOM below a group that is under OOM already is not signalled.
void Thread::settle(Node& node, Micros now) {
  node.settle_at = never;
  if (node.gone || (node.program == nullptr && !node.registered)) return;
  bool waits = false;
  if (node.version == Version::v1) {
    const OomState state = read_oom(node);
    if (removed(state.code)) {
      gone(node);
      return;
    }
    told_kills(node, state.oom_kill, now);
    waits = state.under_oom && state.disabled;
    if (!waits && node.run.progress.idle()) node.paused = false;
    if (!waits || !node.run.progress.idle())
      node.waits_since = never;
    else if (node.waits_since == never)
      node.waits_since = now;
    if (waits && node.pauses() && node.run.progress.idle()) {
      Node* root = oom_root(node);
      if (root == &node && (stuck(node, now) || has_no_room(read_fill(node), charged_ahead_)))
        begin(node.run, node.program->oom, policy::Trigger::oom, node, &node, now);
    }
  } else {
    const Counts all = read_counts(node.files.events.get());
    if (removed(all.code)) {
      gone(node);
      return;
    }
    told_kills(node, all.oom_kill, now);
    if (node.pauses() && node.armed && node.run.progress.idle()) {
      const Fill fill = read_fill(node);
      waits = fill.full;
      if (waits && !has_cache(node, fill.limit))
        begin(node.run, node.program->oom, policy::Trigger::oom, node, &node, now);
    }
  }
  if (waits) node.settles = std::min(node.settles, 6U);  // no longer than 64 ms apart
  if (waits || node.settles < settle_rounds) node.settle_at = now + (ms << node.settles);
  ++node.settles;
}

void Thread::on_threshold(Node& node, Micros woke) {
  const Fill fill = read_fill(node);
  if (removed(fill.code)) {
    gone(node);
    return;
  }
  // It is told of both ways, and late; and near the limit with much that can be reclaimed is no shortage.
  if (node.program != nullptr && node.program->raise_first && node.run.progress.idle() && fill.code == 0 &&
      fill.limit != sys::unlimited && fill.usage >= policy::early_mark(fill.limit) && !has_cache(node, fill.limit))
    begin(node.run, node.program->oom, policy::Trigger::threshold, node, &node, woke);
  // The descriptor is the slow worker's, who may be changing it: edge triggered, and never read.
}

// The threshold belongs where the limit is now.
void Thread::follow_limit(Node& node) {
  if (node.version != Version::v1 || node.program == nullptr || !node.program->raise_first || !options_.thresholds)
    return;
  const Number limit = read_number(node.files.limit.get());
  const std::uint64_t mark = limit.code != 0 || limit.value == sys::unlimited ? 0 : policy::early_mark(limit.value);
  if (mark != node.mark.load()) (void)slow_->post({.kind = Job::Kind::threshold, .node = node.shared_from_this()});
}

void Thread::on_pressure(Pressure& p, Micros woke) {
  if (p.level) drain(p.fd);
  if (p.program == nullptr || p.retired || p.node->gone) return;
  if (!p.run.progress.idle()) {
    p.run.told_again = true;
    proceed(p.run);
  } else {
    p.run.program = p.program;
    p.run.window = p.program->rules[p.rule].window;
    begin(p.run, p.program->pressure[p.rule], policy::Trigger::pressure, *p.node, p.node.get(), woke);
  }
  if (!p.run.progress.idle() && std::ranges::find(set_.busy_pressures, &p) == set_.busy_pressures.end())
    set_.busy_pressures.push_back(&p);
}

void Thread::sweep_node(Node& node, Micros now) {
  if (node.gone) return;
  if (node.version == Version::v2) {
    const Counts all = read_counts(node.files.events.get());
    if (removed(all.code)) {
      gone(node);
      return;
    }
    if (!node.pauses() || !node.run.progress.idle() || node.rearm_at != never) return;
    // The tripwire follows the limit, whoever sets it.
    if (const Number limit = read_number(node.files.limit.get()); limit.code == 0 && limit.value != sys::unlimited &&
                                                                  node.own_high >= limit.value &&
                                                                  policy::early_mark(limit.value) != node.wire)
      arm(node);
    return;
  }
  const Number count = read_failures(node);
  if (removed(count.code)) {
    gone(node);
    return;
  }
  const std::uint64_t more = count.value > node.failcnt ? count.value - node.failcnt : 0;
  node.failcnt = count.value;
  if (sweeps_ % 8 == 0) {
    node.failcnt_told = node.failcnt_next;
    node.failcnt_next = count.value;
    node.counts = counts_failures(node);
  }
  if (node.program == nullptr || !node.run.progress.idle()) return;
  follow_limit(node);
  if (!node.armed) return;
  const OomState state = read_oom(node);
  if (state.under_oom) {  // an event that got lost
    if (state.disabled && node.settle_at == never) {
      node.settle_at = now;
      node.settles = 0;
      mark_busy(node);
    }
    return;
  }
  // With the killer off, a charge in a system call fails, and the caller gets EFAULT or ENOMEM or writes less; no event
  // tells. Failures of charges that reclaim has mended count too, so memory has to be really short.
  // Where failures are not counted, being at the limit has to do, once each time that it comes there.
  if (more == 0 && node.counts) return;
  const Fill fill = read_fill(node);
  const bool was_full = std::exchange(node.full_seen, fill.full);
  if (fill.code != 0 || !fill.full || (more == 0 && was_full)) return;
  if ((node.failcnt_acted != 0 && now - node.failcnt_acted < 10 * second) || has_cache(node, fill.limit)) return;
  node.failcnt_acted = now;
  begin(node.run, node.program->oom, policy::Trigger::failcnt, node, &node, now);
}

void Thread::gone(Node& node) {
  if (node.gone) return;
  node.gone = true;
  if (!node.run.progress.idle()) finish(node.run);
  if (node.frozen) thaw_node(node);
  node.armed = false;
  node.paused = false;
  node.settle_at = node.rearm_at = never;
  if (node.registered)
    (void)epoll_ctl(
        epoll_.get(), EPOLL_CTL_DEL, (node.version == Version::v1 ? node.event : node.files.events).get(), nullptr);
}

void Thread::report(Node& node, Node* limit_of, std::string_view event, std::uint64_t count, std::string_view detail) {
  Decision d;
  d.time = std::chrono::system_clock::now();
  d.group.set(node.name);
  d.event.set(event);
  d.count = count;
  if (limit_of != nullptr) {
    d.limit_of.set(limit_of->name);
    const Fill fill = read_fill(*limit_of);
    d.limit.set(limit_file(*limit_of, fill));
    d.usage = fill.usage;
    d.limit_bytes = fill.limit;
  }
  d.action.set("none");
  d.result.set("done");
  d.detail.set(detail);
  outbox_.send(d);
}

void Thread::begin(Run& run, const Actions& actions, policy::Trigger trigger, Node& node, Node* limit_of, Micros woke) {
  run.node = &node;
  if (trigger != policy::Trigger::pressure) run.program = node.program;
  run.actions = &actions;
  run.woke = woke;
  run.due = run.kill_at = never;
  run.token = 0;
  run.told_again = trigger == policy::Trigger::pressure;
  run.held = run.refreeze = false;
  run.stuck = stuck(node, now_micros());
  run.told = 0;
  run.raised_from = 0;
  run.pauses = trigger == policy::Trigger::oom && node.pauses() && node.armed;
  if (node.version == Version::v1 && run.pauses) run.pauses = read_oom(node).disabled;
  run.progress.begin(trigger, run.pauses, run.program->pause_max, run.window, woke);
  const policy::Look first = look(run);
  if (run.pauses && !first.waiting) {
    // Over already; tasks that have been woken show as waiting until they have run.
    run.progress.stop();
    return;
  }
  if (run.pauses) node.paused = true;
  Decision& d = run.decision;
  d = {};
  d.group.set(node.name);
  d.event.set(name_of(trigger));
  d.limit_of.set(limit_of->name);
  d.limit.set(limit_file(*limit_of, run.fill));
  d.usage = run.fill.usage;
  d.limit_bytes = run.fill.limit;
  mark_busy(node);
  proceed(run, first);
}

}  // namespace cgx::daemon::memory
