// SPDX-License-Identifier: Apache-2.0
#include "cgx/policy/engine.h"

#include <algorithm>

#include "cgx/sys/text.h"

namespace cgx::policy {
namespace {

constexpr Micros ms = 1000;
constexpr std::uint64_t page = 4096;
constexpr std::uint64_t mib = std::uint64_t{1} << 20U;

// Useless, or harmful, once the memory is there again. Raising then still keeps the next one away, and the others tell.
bool only_while_waiting(const Action& action) {
  return std::holds_alternative<Kill>(action.what) || std::holds_alternative<Freeze>(action.what) ||
         std::holds_alternative<Reclaim>(action.what);
}

bool only_tells(const Action& action) { return std::holds_alternative<Log>(action.what); }

// What a failed charge inside a system call does not justify: nobody waits, and the caller may well have coped.
bool too_harsh(const Action& action) {
  return std::holds_alternative<Kill>(action.what) || std::holds_alternative<Freeze>(action.what);
}

// How long the effect of an action may take to show: tasks that were woken must have run.
Micros settle_time(const Action& action) {
  if (std::holds_alternative<Kill>(action.what)) return 200 * ms;
  if (std::holds_alternative<Freeze>(action.what) || std::holds_alternative<Thaw>(action.what)) return 0;
  return 30 * ms;
}

}  // namespace

std::string_view name_of(Outcome outcome) {
  constexpr std::array<std::string_view, 5> names{"done", "failed", "skipped", "limited", "pending"};
  return names[static_cast<std::size_t>(outcome)];
}

std::string_view name_of(Trigger trigger) {
  constexpr std::array<std::string_view, 4> names{"oom", "threshold", "failcnt", "pressure"};
  return names[static_cast<std::size_t>(trigger)];
}

Micros timeout_of(const Action& action) {
  if (action.timeout != 0) return action.timeout;
  if (const Kill* kill = std::get_if<Kill>(&action.what)) return kill->grace + 2000 * ms;
  return 5000 * ms;
}

void Progress::begin(Trigger trigger, bool pauses, Micros pause_max, Micros window, Micros now) {
  *this = {};
  phase_ = Phase::ready;
  trigger_ = trigger;
  pauses_ = pauses;
  began_ = now;
  window_ = window;
  pause_max_ = pause_max;
  if (pauses) give_back_ = now + pause_max;
}

Next Progress::finish(bool give_back) {
  phase_ = Phase::idle;
  return {.what = give_back ? Next::What::give_back : Next::What::end};
}

// After an action: over, or on to the next one, or too early to tell.
Next Progress::settle(Look look, Micros now) {
  if (trigger_ == Trigger::pressure) {
    // A trigger fires once a window at most; silence for longer than that is the end of the pressure.
    if (look.waiting) {
      phase_ = Phase::ready;
    } else if (now >= until_) {
      return finish(false);
    } else {
      return {.at = until_};
    }
    return {};
  }
  if (!look.waiting) return finish(false);
  if (now >= until_) {
    phase_ = Phase::ready;
    return {};
  }
  const Micros pause = std::min<Micros>(ms << std::min(looks_++, 5U), until_ - now);
  return {.at = now + pause};
}

Next Progress::next(std::span<const Action> list, Look look, Micros now) {
  if (phase_ == Phase::idle || look.gone) return finish(false);
  // A program that uses memory faster than one looks again would seem to be helped by no raise.
  if (phase_ == Phase::settling && look.waiting && look.renewed) begin(trigger_, pauses_, pause_max_, window_, now);
  if (now >= give_back_) return finish(look.waiting);
  if (phase_ == Phase::settling) {
    Next n = settle(look, now);
    if (phase_ != Phase::ready) {
      n.at = std::min(n.at, give_back_);
      return n;
    }
  }
  if (phase_ == Phase::pending) {
    if (trigger_ != Trigger::pressure && pauses_ && !look.waiting) return finish(false);
    if (now < until_) return {.at = std::min(until_, give_back_)};
    report(Outcome::failed, list, now);
  }
  if (list.empty() && pauses_ && look.waiting) return {.at = std::min(now + 50 * ms, give_back_)};  // others may act
  // Ready. Where tasks wait, the list ends with their waiting; else its first action that does something is done once.
  for (; step_ < list.size(); ++step_) {
    const Action& action = list[step_];
    if (trigger_ == Trigger::failcnt && too_harsh(action)) continue;
    if (trigger_ == Trigger::threshold && !only_tells(action) && !std::holds_alternative<Raise>(action.what)) break;
    if (!look.waiting && only_while_waiting(action)) continue;
    if (!look.waiting && !only_tells(action) && (acted_ || pauses_)) break;
    phase_ = Phase::pending;
    until_ = now + timeout_of(action);
    return {.what = Next::What::start, .step = step_, .at = std::min(until_, give_back_)};
  }
  return finish(pauses_ && look.waiting);
}

void Progress::report(Outcome outcome, std::span<const Action> list, Micros now) {
  if (phase_ != Phase::pending || outcome == Outcome::pending || step_ >= list.size()) return;
  const Action& action = list[step_++];
  phase_ = Phase::ready;
  if (outcome != Outcome::done || only_tells(action)) return;
  acted_ = true;
  const Micros time = trigger_ == Trigger::pressure ? 2 * window_ : settle_time(action);
  if (time == 0) return;
  phase_ = Phase::settling;
  looks_ = 0;
  until_ = now + time;
}

bool Allowance::allows(const Action::Budget& budget, Micros now) const {
  if (budget.times == 0 || taken_ < budget.times) return true;
  // The one that lies `times` back must have left the period. Where that one is not kept any more, the oldest that is
  // stands for it.
  const std::uint64_t back = std::min<std::uint64_t>(budget.times, at_.size());
  const Micros then = at_[(taken_ - back) % at_.size()];
  const Micros period = budget.times <= at_.size() ? budget.within : budget.within * at_.size() / budget.times;
  return now - then >= period;
}

bool Allowance::take(const Action::Budget& budget, Micros now) {
  if (!allows(budget, now)) return false;
  at_[taken_++ % at_.size()] = now;
  return true;
}

Raised raise_to(const Raise& raise, const Room& room) {
  if (room.limit >= sys::unlimited / 2) return {room.limit, "there is no limit"};
  const std::uint64_t by = raise.by.percent == 0
                               ? raise.by.bytes
                               : room.limit / 100 * raise.by.percent + room.limit % 100 * raise.by.percent / 100;
  const std::uint64_t wanted = room.limit + std::min(by, sys::unlimited / 2 - room.limit);
  std::uint64_t most = wanted;
  std::string_view bound = "it would be raised by less than a page";
  const auto cap = [&](std::uint64_t value, std::string_view what) {
    if (value >= most) return;
    most = value;
    bound = what;
  };
  cap(raise.up_to == 0 ? sys::unlimited : raise.up_to, "up_to is reached");
  cap(room.above, "the limit of a group above is reached");
  cap(room.host, "the host has no more memory");
  cap(room.limit + std::min(room.available, sys::unlimited / 2), "the host has no memory available");
  most = most / page * page;
  if (most < room.limit + page) return {room.limit, bound};
  return {most, {}};
}

std::uint64_t early_mark(std::uint64_t limit) {
  const std::uint64_t margin = limit < 8 * mib ? limit / 8 : std::clamp(limit / 16, mib, 64 * mib);
  return (limit - margin) / page * page;
}

}  // namespace cgx::policy
