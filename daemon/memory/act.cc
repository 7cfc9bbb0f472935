// SPDX-License-Identifier: Apache-2.0
// A run of a list of actions, on the memory thread: what the engine says is done here, and told.
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "cgx/sys/count.h"
#include "cgx/sys/text.h"

#include "daemon/memory/thread.h"

namespace cgx::daemon::memory {
namespace {

using policy::Look;
using policy::Next;
using policy::Outcome;

bool only_raises_or_tells(const policy::Action& action) {
  return std::holds_alternative<policy::Raise>(action.what) || std::holds_alternative<policy::Log>(action.what);
}

}  // namespace

Look Thread::look(Run& run) {
  const Node& node = *run.node;
  if (node.gone) return {.gone = true};
  if (run.progress.trigger() == policy::Trigger::pressure) return {.waiting = run.told_again};
  run.fill = read_fill(node);
  if (run.fill.code == ENODEV || run.fill.code == ENOENT) return {.gone = true};
  if (run.progress.trigger() == policy::Trigger::threshold)
    return {.waiting = run.fill.usage >= policy::early_mark(run.fill.limit)};
  // Tasks that were woken show as waiting until they have run; so room comes first, and then who waits.
  const bool renewed = run.raised_from != 0 && run.fill.usage > run.raised_from;
  if (node.version == Version::v1 && run.pauses)
    return {.waiting = (run.stuck || has_no_room(run.fill, charged_ahead_)) && read_oom(node).under_oom,
            .renewed = renewed};
  return {.waiting = run.fill.full, .renewed = renewed};
}

void Thread::proceed(Run& run, Look look_now) {
  for (int round = 0; round < 64; ++round) {
    const Micros now = now_micros();
    if (run.progress.timed_out(now)) {
      // What a worker does is told by the worker.
      if (run.token == 0) {
        if (run.decision.detail.length == 0) run.decision.detail.set("took too long");
        drop_victim(run);
        tell(run, Outcome::failed);
      }
      run.token = 0;
      run.progress.report(Outcome::failed, run.actions->list, now);
    }
    if (look_now.waiting && look_now.renewed) {
      run.raised_from = 0;
      run.woke = now;
      run.decision.usage = run.fill.usage;
      run.decision.limit_bytes = run.fill.limit;
    }
    const Next next = run.progress.next(run.actions->list, look_now, now);
    look_now.renewed = false;
    run.due = next.at;
    switch (next.what) {
      case Next::What::wait:
        // With nothing to do but to wait for others, tasks that the tripwire slows down would creep on to the limit.
        if (run.node->version == Version::v2 && run.pauses && run.actions->list.empty() && look_now.waiting) hold(run);
        return;
      case Next::What::end:
        finish(run);
        return;
      case Next::What::give_back:
        give_back(run);
        return;
      case Next::What::start:
        break;
    }
    const Outcome outcome = start_step(run, next.step, now);
    if (outcome == Outcome::pending) return;
    run.progress.report(outcome, run.actions->list, now_micros());
    look_now = look(run);
    tell(run, outcome);
  }
  run.due = now_micros() + 1000;
}

Outcome Thread::start_step(Run& run, std::size_t step, Micros now) {
  const policy::Action& action = run.actions->list[step];
  Decision& d = run.decision;
  d.action.set(action.name());
  d.detail.length = 0;
  d.command.length = 0;
  d.pid = 0;
  d.rss = d.age = d.old_value = d.new_value = 0;
  d.policy_line = action.place.line;
  run.told_again = false;
  policy::Allowance& allowance = (*run.actions->allowances)[step];
  if (!allowance.allows(action.limit, now)) {
    Words<192>(d.detail) << "as often as the policy allows: " << action.limit.times
                         << sys::noun(action.limit.times, " time in ", " times in ") << action.limit.within / second
                         << " s";
    return Outcome::limited;
  }
  if (run.node->version == Version::v2 && run.pauses && !only_raises_or_tells(action)) hold(run);
  const Outcome outcome = std::visit(
      [&](const auto& what) -> Outcome {
        using T = std::decay_t<decltype(what)>;
        if constexpr (std::is_same_v<T, policy::Raise>) return raise(run, what);
        if constexpr (std::is_same_v<T, policy::Kill>) return kill(run, what, now);
        if constexpr (std::is_same_v<T, policy::Freeze>) return freeze_step(run, what, now);
        if constexpr (std::is_same_v<T, policy::Thaw>) return thaw_step(run);
        if constexpr (std::is_same_v<T, policy::Set>) return hand_over(run, Job::Kind::set, action);
        if constexpr (std::is_same_v<T, policy::Exec>) return hand_over(run, Job::Kind::exec, action);
        if constexpr (std::is_same_v<T, policy::Reclaim>) return hand_over(run, Job::Kind::reclaim, action);
        if constexpr (std::is_same_v<T, policy::Log>) {
          run.decision.detail.set(what.message);
          return Outcome::done;
        }
      },
      action.what);
  if (outcome == Outcome::done || outcome == Outcome::pending) (void)allowance.take(action.limit, now);
  return outcome;
}

Outcome Thread::raise(Run& run, const policy::Raise& r) {
  Node& node = *run.node;
  Decision& d = run.decision;
  const Number limit = read_number(node.files.limit.get());
  if (limit.code != 0) {
    Words<192>(d.detail) << limit_file(node) << ": " << reason(limit.code);
    return Outcome::failed;
  }
  const policy::Raised raised =
      raise_to(r, {.limit = limit.value, .above = limit_above(node), .host = total_, .available = available_});
  if (raised.limit == limit.value) {
    Words<192>(d.detail) << limit_file(node) << " stays at ";
    FixedText<192> size;
    Words<192>(size).size(limit.value);
    const FixedText<192> before = d.detail;
    Words<192>(d.detail) << before.view() << size.view() << ": " << raised.why_not;
    return Outcome::skipped;
  }
  const Written written = write_limit(node, limit.value, raised.limit);
  Words<192> words(d.detail);
  d.old_value = limit.value;
  d.new_value = raised.limit;
  if (written.code != 0) {
    words << written.file << ": " << reason(written.code);
    return Outcome::failed;
  }
  words.size(limit.value).operator<<(" -> ").size(raised.limit);
  std::uint64_t none = 0;
  run.raised_from = limit.value;
  (void)node.base_limit.compare_exchange_strong(none, limit.value);
  node.raised_limit = raised.limit;
  if (r.decay_after != 0) {
    node.lower_at = now_micros() + r.decay_after;
    Job job{.kind = Job::Kind::lower,
            .node = node.shared_from_this(),
            .program = run.program,
            .action = &run.actions->list[run.progress.step()],
            .at = node.lower_at,
            .decision = {}};
    job.decision.group = d.group;
    job.decision.limit_of = d.group;
    job.decision.limit.set(limit_file(node));
    job.decision.policy_line = d.policy_line;
    // None is needed where one waits already: it finds that it is to be later.
    if (none == 0) (void)slow_->post(std::move(job));
  }
  return Outcome::done;
}

Outcome Thread::hand_over(Run& run, Job::Kind kind, const policy::Action& action) {
  Job job{.kind = kind,
          .node = run.node->shared_from_this(),
          .program = run.program,
          .action = &action,
          .token = ++tokens_,
          .woke = run.woke,
          .paused = run.pauses,
          .decision = run.decision};
  job.decision.id = 0;
  Worker& worker = kind == Job::Kind::reclaim ? *slow_ : *quick_;
  if (!worker.post(std::move(job))) {
    run.decision.detail.set("too many actions wait already");
    return Outcome::failed;
  }
  run.token = tokens_;
  ++run.told;
  return Outcome::pending;
}

Outcome Thread::freeze_step(Run& run, const policy::Freeze& f, Micros now) {
  const std::shared_ptr<Node>& named = run.actions->targets[run.progress.step()];
  Node& target = named != nullptr ? *named : *run.node;
  Words<192> words(run.decision.detail);
  words << target.name;
  if (target.frozen && (run.held || target.thaw_at != never)) {
    if (f.duration != 0) target.thaw_at = now + f.duration;
    return Outcome::done;
  }
  if (is_frozen(target)) {
    words << " is frozen already";
    return Outcome::skipped;
  }
  if (const int code = freeze_node(target); code != 0) {
    words << ": " << reason(code);
    return Outcome::failed;
  }
  if (f.duration != 0)
    target.thaw_at = now + f.duration;
  else
    run.froze = named != nullptr ? named : run.node->shared_from_this();
  mark_busy(target);
  return Outcome::done;
}

Outcome Thread::thaw_step(Run& run) {
  const std::shared_ptr<Node>& named = run.actions->targets[run.progress.step()];
  Node& target = named != nullptr ? *named : *run.node;
  Words<192>(run.decision.detail) << target.name;
  if (run.froze.get() == &target) run.froze.reset();
  if (target.frozen) {
    if (!run.held || &target != run.node) thaw_node(target);
    return Outcome::done;
  }
  const int code = freeze(target, false);
  if (code != 0) Words<192>(run.decision.detail) << target.name << ": " << reason(code);
  return code == 0 ? Outcome::done : Outcome::failed;
}

// v2 has no pause: what takes longer than a raise happens to a frozen group.
void Thread::hold(Run& run) {
  if (run.held || run.node->frozen || is_frozen(*run.node)) return;
  if (freeze_node(*run.node) == 0) run.held = true;
}

int Thread::freeze_node(Node& node) {
  stop_at("freeze");
  if (const int code = frozen_log_.note(node); code != 0) return code;
  stop_at("noted");
  if (const int code = freeze(node, true); code != 0) {
    frozen_log_.thawed();
    return code;
  }
  node.frozen = true;
  stop_at("frozen");
  return 0;
}

void Thread::thaw_node(Node& node) {
  stop_at("thaw");
  (void)freeze(node, false);
  node.frozen = false;
  node.thaw_at = never;
  frozen_log_.thawed();
  stop_at("thawed");
}

// The kernel decides, until this shortage is over.
void Thread::release_killer(Node& node) {
  stop_at("release");
  if (node.frozen) thaw_node(node);
  if (node.armed && node.version == Version::v1) (void)disable_killer(node, false);
  if (node.armed && node.version == Version::v2 && node.wire != 0) {
    (void)write_number(node.files.high.get(), node.own_high);
    node.wire = 0;
  }
  node.armed = false;
  node.rearm_at = now_micros() + second;
  mark_busy(node);
  stop_at("released");
}

void Thread::give_back(Run& run) {
  Node& node = *run.node;
  Decision& d = run.decision;
  drop_victim(run);
  release_killer(node);
  d.action.set("release");
  d.pid = 0;
  d.command.length = 0;
  d.rss = d.age = d.old_value = d.new_value = 0;
  d.policy_line = 0;
  d.detail.set("given back to the kernel's killer");
  tell(run, Outcome::done);
  finish(run);
}

void Thread::finish(Run& run) {
  Node& node = *run.node;
  drop_victim(run);
  run.progress.stop();
  if (run.held && node.frozen) thaw_node(node);
  run.held = false;
  if (run.froze != nullptr && run.froze->frozen) thaw_node(*run.froze);
  run.froze.reset();
  if (run.told == 0 && run.progress.trigger() != policy::Trigger::threshold) {
    run.decision.action.set("none");
    run.decision.detail.set(run.pauses ? "it was over by itself" : "");
    tell(run, Outcome::done);
  }
  run.token = 0;
  run.due = run.kill_at = never;
  if (node.version == Version::v2) node.paused = false;
  node.waits_since = never;
  if (node.gone || node.retired) return;
  follow_limit(node);  // who goes on using memory is soon there again
  node.settle_at = now_micros() + 1000;
  node.settles = 0;
  mark_busy(node);
}

void Thread::tell(Run& run, Outcome outcome) {
  Decision& d = run.decision;
  d.result.set(name_of(outcome));
  d.time = std::chrono::system_clock::now();
  d.took = now_micros() - run.woke;
  ++run.told;
  outbox_.send(d);
}

}  // namespace cgx::daemon::memory
