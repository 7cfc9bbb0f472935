// SPDX-License-Identifier: Apache-2.0
// Lists of actions as functions of what was seen and of time.
#include "cgx/policy/engine.h"

#include <doctest/doctest.h>

#include "cgx/sys/text.h"

namespace engine_test {

using namespace cgx;
using namespace cgx::policy;
using What = Next::What;

namespace {

template <class T>
Action act(T what) {
  Action a;
  a.what = std::move(what);
  return a;
}
constexpr std::uint64_t mib = std::uint64_t{1} << 20U;
constexpr Micros s = 1'000'000;
const Look waiting{.gone = false, .waiting = true};
const Look over{};

}  // namespace

TEST_CASE("engine: a list stops as soon as it is over") {
  const std::vector<Action> list{act(Log{}), act(Raise{}), act(Kill{})};
  Progress p;
  p.begin(Trigger::oom, true, 5 * s, 0, 100);
  Next n = p.next(list, waiting, 100);
  CHECK(n.what == What::start);
  CHECK(n.step == 0);
  p.report(Outcome::done, list, 101);
  n = p.next(list, waiting, 101);  // telling changes nothing: no waiting for an effect
  CHECK(n.what == What::start);
  CHECK(n.step == 1);
  p.report(Outcome::done, list, 102);
  SUBCASE("over") {
    CHECK(p.next(list, over, 102).what == What::end);
    CHECK(p.idle());
  }
  SUBCASE("tasks need a moment to run, and then it is over") {
    n = p.next(list, waiting, 102);
    CHECK(n.what == What::wait);
    CHECK(n.at == 1102);
    CHECK(p.next(list, over, 1102).what == What::end);
  }
  SUBCASE("not over: the next one") {
    n = p.next(list, waiting, 102 + 40'000);
    CHECK(n.what == What::start);
    CHECK(n.step == 2);
    p.report(Outcome::skipped, list, 50'000);
    CHECK(p.next(list, waiting, 50'000).what == What::give_back);
  }
  SUBCASE("gone") { CHECK(p.next(list, {.gone = true, .waiting = true}, 103).what == What::end); }
}

TEST_CASE("engine: what a raise gave is used up at once, and the list begins anew") {
  const std::vector<Action> list{act(Raise{}), act(Kill{})};
  const Look renewed{.waiting = true, .renewed = true};
  Progress p;
  p.begin(Trigger::oom, true, 2 * s, 0, 0);
  for (Micros now = 0; now < 10 * s; now += s) {  // pause_max is of each shortage
    const Next n = p.next(list, now == 0 ? waiting : renewed, now);
    REQUIRE(n.what == What::start);
    CHECK(n.step == 0);
    p.report(Outcome::done, list, now + 1);
  }
  // A raise that nobody has used did not help.
  const Next n = p.next(list, waiting, 9 * s + 40'000);
  CHECK(n.what == What::start);
  CHECK(n.step == 1);
}

TEST_CASE("engine: pause_max ends a pause, whatever is pending") {
  const std::vector<Action> list{act(Exec{.argv = {"true"}, .user = {}})};
  Progress p;
  p.begin(Trigger::oom, true, 2 * s, 0, 0);
  CHECK(p.next(list, waiting, 0).what == What::start);
  Next n = p.next(list, waiting, 1);
  CHECK(n.what == What::wait);
  CHECK(n.at == 2 * s);  // before the program's own time-out
  CHECK(p.next(list, waiting, 2 * s).what == What::give_back);
}

TEST_CASE("engine: an empty list waits for somebody else to act") {
  Progress p;
  p.begin(Trigger::oom, true, 2 * s, 0, 0);
  Next n = p.next({}, waiting, 0);
  CHECK(n.what == What::wait);
  CHECK(n.at == 50'000);
  CHECK(p.next({}, over, 50'000).what == What::end);
  p.begin(Trigger::oom, true, 2 * s, 0, 0);
  CHECK(p.next({}, waiting, 2 * s).what == What::give_back);
  p.begin(Trigger::oom, false, 2 * s, 0, 0);
  CHECK(p.next({}, waiting, 0).what == What::end);
}

TEST_CASE("engine: an action that takes too long has failed") {
  std::vector<Action> list{act(Exec{.argv = {"true"}, .user = {}}), act(Log{})};
  list[0].timeout = s;
  Progress p;
  p.begin(Trigger::oom, true, 5 * s, 0, 0);
  CHECK(p.next(list, waiting, 0).what == What::start);
  CHECK_FALSE(p.timed_out(s - 1));
  CHECK(p.timed_out(s));
  const Next n = p.next(list, waiting, s);
  CHECK(n.what == What::start);
  CHECK(n.step == 1);
}

TEST_CASE("engine: with the kernel's killer on, what is over is raised for and told, but not killed for") {
  const std::vector<Action> list{act(Log{}), act(Kill{}), act(Raise{}), act(Exec{.argv = {"true"}, .user = {}})};
  Progress p;
  p.begin(Trigger::oom, false, 0, 0, 0);
  CHECK(p.next(list, over, 0).step == 0);
  p.report(Outcome::done, list, 1);
  const Next n = p.next(list, over, 1);
  CHECK(n.what == What::start);
  CHECK(n.step == 2);
  p.report(Outcome::done, list, 2);
  CHECK(p.next(list, over, 2).what == What::end);
}

TEST_CASE("engine: a failed charge stops and kills nobody, coming close to the limit only raises") {
  const std::vector<Action> list{act(Freeze{}), act(Kill{}), act(Raise{}), act(Kill{})};
  Progress p;
  p.begin(Trigger::failcnt, false, 0, 0, 0);
  CHECK(p.next(list, waiting, 0).step == 2);
  p.report(Outcome::failed, list, 1);
  CHECK(p.next(list, waiting, 1).what == What::end);
  const std::vector<Action> early{act(Log{}), act(Raise{}), act(Kill{})};
  p.begin(Trigger::threshold, false, 0, 0, 0);
  CHECK(p.next(early, waiting, 0).step == 0);
  p.report(Outcome::done, early, 0);
  CHECK(p.next(early, waiting, 0).step == 1);
  p.report(Outcome::failed, early, 0);
  CHECK(p.next(early, waiting, 0).what == What::end);
}

TEST_CASE("engine: pressure goes on as long as its trigger fires") {
  const std::vector<Action> list{act(Reclaim{}), act(Kill{})};
  Progress p;
  p.begin(Trigger::pressure, false, 0, s, 0);
  CHECK(p.next(list, waiting, 0).step == 0);
  p.report(Outcome::done, list, 1);
  Next n = p.next(list, over, 1);
  CHECK(n.what == What::wait);
  CHECK(n.at == 2 * s + 1);
  SUBCASE("silence") { CHECK(p.next(list, over, 2 * s + 1).what == What::end); }
  SUBCASE("again") {
    n = p.next(list, waiting, s);
    CHECK(n.what == What::start);
    CHECK(n.step == 1);
  }
}

TEST_CASE("engine: how often an action may be done") {
  Allowance a;
  const Action::Budget three{.times = 3, .within = 10 * s};
  CHECK(a.take(three, 1 * s));
  CHECK(a.take(three, 2 * s));
  CHECK(a.take(three, 3 * s));
  CHECK_FALSE(a.take(three, 10 * s));
  CHECK(a.take(three, 11 * s));
  CHECK_FALSE(a.take(three, 11 * s));
  CHECK(a.take(three, 12 * s));
  Allowance b;
  for (int i = 0; i < 1000; ++i) CHECK(b.take({}, 0));
  Allowance c;  // more than are kept: no faster than at that rate
  const Action::Budget many{.times = 128, .within = 128 * s};
  unsigned taken = 0;
  for (Micros t = 0; t < 64; ++t) taken += c.take(many, t * s / 10) ? 1 : 0;
  CHECK(taken == 64);
  for (Micros t = 64; t < 300; ++t) taken += c.take(many, t * s / 10) ? 1 : 0;
  CHECK(taken <= 128);
}

TEST_CASE("engine: how far a limit is raised") {
  const Room room{.limit = 64 * mib, .above = sys::unlimited, .host = 1024 * mib, .available = 512 * mib};
  const auto by = [](std::uint64_t bytes, unsigned percent, std::uint64_t up_to) {
    return Raise{.by = {.bytes = bytes, .percent = percent}, .up_to = up_to, .decay_after = 0};
  };
  CHECK(raise_to(by(0, 25, 1024 * mib), room).limit == 80 * mib);
  CHECK(raise_to(by(16 * mib, 0, 1024 * mib), room).limit == 80 * mib);
  CHECK(raise_to(by(5000, 0, 1024 * mib), room).limit == 64 * mib + 4096);  // whole pages
  CHECK(raise_to(by(0, 25, 70 * mib), room).limit == 70 * mib);
  Raised r = raise_to(by(0, 25, 64 * mib), room);
  CHECK(r.limit == 64 * mib);
  CHECK(r.why_not == "up_to is reached");
  Room tight = room;
  tight.above = 64 * mib;
  CHECK(raise_to(by(0, 25, 0), tight).why_not == "the limit of a group above is reached");
  tight = room;
  tight.available = 0;
  CHECK(raise_to(by(0, 25, 0), tight).why_not == "the host has no memory available");
  tight = room;
  tight.host = 66 * mib;
  CHECK(raise_to(by(0, 25, 0), tight).limit == 66 * mib);
  CHECK(raise_to(by(0, 25, 0), {.limit = sys::unlimited}).why_not == "there is no limit");
  CHECK(raise_to(by(100, 0, 0), room).limit == 64 * mib);
  CHECK(raise_to(by(sys::unlimited, 0, 0), room).limit == 576 * mib);
}

TEST_CASE("engine: where it is early enough") {
  CHECK(early_mark(64 * mib) == 60 * mib);
  CHECK(early_mark(16 * mib) == 15 * mib);
  CHECK(early_mark(4 * mib) == std::uint64_t{3584} * 1024);
  CHECK(early_mark(64 * 1024 * mib) == (64 * 1024 - 64) * mib);
  CHECK(early_mark(0) == 0);
}

}  // namespace engine_test
