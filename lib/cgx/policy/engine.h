// SPDX-License-Identifier: Apache-2.0
// What to do next about memory that ran short: (where a list of actions stands, what a look at the group found, the
// time) -> the next step. Pure: no I/O and no clock; all times are microseconds of one monotonic clock. Allocates
// nothing, so that it may run between the kernel's signal and the action.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "cgx/policy/policy.h"

namespace cgx::policy {

using Micros = std::uint64_t;
inline constexpr Micros never = ~Micros{0};

// What began a run of a list of actions.
enum class Trigger : std::uint8_t {
  oom,        // the limit is reached and nothing could be reclaimed
  threshold,  // memory in use came close to the limit
  failcnt,    // v1: a charge failed in a system call, which no event tells
  pressure,   // a pressure rule
};

// What a look at the group found.
struct Look {
  bool gone = false;     // the group was removed
  bool waiting = false;  // what began the run is not over: tasks wait, or pressure was told of again
  bool renewed = false;  // tasks have used what the last raise gave them, and wait again: a shortage of its own
};

enum class Outcome : std::uint8_t { done, failed, skipped, limited, pending };
[[nodiscard]] std::string_view name_of(Outcome outcome);
[[nodiscard]] std::string_view name_of(Trigger trigger);

struct Next {
  enum class What : std::uint8_t {
    wait,       // look again at `at`, or when something is told
    start,      // begin action `step`
    give_back,  // let the kernel's own killer decide; the run is over
    end,        // the run is over
  };
  What what = What::wait;
  std::size_t step = 0;
  Micros at = never;
};

// Where one run of a list stands. begin(), then next() until it answers `end` or `give_back`; after `start`, report()
// says what came of the action, again where it was pending.
class Progress {
 public:
  // `pauses`: tasks wait until the run ends, for `pause_max` at most. `window`: of a pressure rule.
  void begin(Trigger trigger, bool pauses, Micros pause_max, Micros window, Micros now);
  [[nodiscard]] Next next(std::span<const Action> list, Look look, Micros now);
  void report(Outcome outcome, std::span<const Action> list, Micros now);

  [[nodiscard]] bool idle() const { return phase_ == Phase::idle; }
  [[nodiscard]] bool pending() const { return phase_ == Phase::pending; }
  // The action that is pending has taken longer than it may; report() that it failed.
  [[nodiscard]] bool timed_out(Micros now) const { return pending() && now >= until_; }
  [[nodiscard]] std::size_t step() const { return step_; }
  [[nodiscard]] Trigger trigger() const { return trigger_; }
  [[nodiscard]] Micros began() const { return began_; }
  void stop() { phase_ = Phase::idle; }

 private:
  enum class Phase : std::uint8_t { idle, ready, pending, settling };
  Next finish(bool give_back);
  Next settle(Look look, Micros now);

  Phase phase_ = Phase::idle;
  Trigger trigger_ = Trigger::oom;
  bool pauses_ = false;
  bool acted_ = false;  // an action of this run has changed something
  unsigned looks_ = 0;
  std::size_t step_ = 0;
  Micros began_ = 0, give_back_ = never, until_ = never, window_ = 0, pause_max_ = never;
};

// How long an action may take, where the policy does not say.
[[nodiscard]] Micros timeout_of(const Action& action);

// `limit: 3/10m`: how often something may happen. Of more than 64 times, the last 64 may not come faster than at that
// rate.
class Allowance {
 public:
  // Whether it may happen now; counts it if so. A budget of 0 times has no bound.
  [[nodiscard]] bool take(const Action::Budget& budget, Micros now);
  // The same without counting it.
  [[nodiscard]] bool allows(const Action::Budget& budget, Micros now) const;

 private:
  std::array<Micros, 64> at_{};
  std::uint64_t taken_ = 0;
};

// How far a limit may be raised.
struct Room {
  std::uint64_t limit = 0;      // in force
  std::uint64_t above = 0;      // the tightest limit of the groups above; sys::unlimited: none
  std::uint64_t host = 0;       // all memory of the host
  std::uint64_t available = 0;  // of it, what is free or can be made so
};
struct Raised {
  std::uint64_t limit = 0;   // the new one; the old one where it cannot be raised
  std::string_view why_not;  // a literal
};
[[nodiscard]] Raised raise_to(const Raise& raise, const Room& room);

// v1: the memory in use that calls for a raise before the limit is reached. v2: memory.high, as a tripwire below
// memory.max. Whole pages.
[[nodiscard]] std::uint64_t early_mark(std::uint64_t limit);

}  // namespace cgx::policy
