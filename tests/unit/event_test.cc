// SPDX-License-Identifier: Apache-2.0
// Events as values: names, files that count them, differences, pressure triggers.
#include "cgx/cgroupfs/event.h"

#include <cerrno>

#include <doctest/doctest.h>

namespace event_test {

using namespace cgx;

namespace {

std::string told(const std::vector<Event>& events) {
  std::string text;
  for (const Event& e : events) {
    text += text.empty() ? "" : " | ";
    text += name_of(e.kind);
    for (const Counter& c : e.counters()) text += " " + std::string(c.name) + "=" + std::to_string(c.value);
  }
  return text;
}

OomControl control(bool disable, bool under, std::uint64_t kills) {
  return {.oom_kill_disable = disable, .under_oom = under, .oom_kill = kills};
}

}  // namespace

TEST_CASE("event: every name is parsed back") {
  for (std::size_t i = 0; i < event_kind_count; ++i) {
    const auto kind = static_cast<EventKind>(i);
    CHECK(!name_of(kind).empty());
    CHECK(parse_event(name_of(kind)).value() == kind);
  }
}

TEST_CASE("event: an unknown name is a usage error with a hint") {
  const auto close = parse_event("oom-kill");
  REQUIRE_FALSE(close.has_value());
  CHECK(close.error().fault == Fault::usage);
  CHECK(close.error().hint == "did you mean oom_kill?");
  CHECK(parse_event("something").error().hint.starts_with("events: oom, under_oom, "));
  for (const char* word : {"", "OOM", " oom", "oom "}) CHECK_FALSE(parse_event(word).has_value());
}

TEST_CASE("event: memory.events is parsed by key") {
  const auto e = MemoryEvents::parse("oom_kill 5\nlow 1\nhigh 2\nmax 3\noom 4\noom_group_kill 9\n");
  CHECK(e.value() == MemoryEvents{.low = 1, .high = 2, .max = 3, .oom = 4, .oom_kill = 5});
  CHECK(MemoryEvents::parse("").value() == MemoryEvents{});
  for (const char* text : {"low x\n", "high -1\n", "max 18446744073709551616\n", "oom 1 2\n", "oom_kill \n"})
    CHECK(MemoryEvents::parse(text).error().code == EBADMSG);
}

TEST_CASE("event: memory.oom_control and cgroup.events are parsed by key") {
  CHECK(OomControl::parse("oom_kill_disable 1\nunder_oom 1\noom_kill 7\n").value() == control(true, true, 7));
  CHECK(OomControl::parse("oom_kill_disable 0\nunder_oom 0\n").value() == control(false, false, 0));
  CHECK(OomControl::parse("under_oom 2\n").error().code == EBADMSG);
  CHECK(GroupState::parse("populated 1\nfrozen 0\n").value() == GroupState{.populated = true});
  CHECK(GroupState::parse("populated 0\nfrozen 1\n").value() == GroupState{.frozen = true});
  CHECK(GroupState::parse("populated yes\n").error().code == EBADMSG);
}

TEST_CASE("event: each grown counter is one event, with its total and growth") {
  const MemoryEvents before{.low = 1, .high = 10, .max = 5, .oom = 1, .oom_kill = 0};
  CHECK(told(changes(before, before)).empty());
  CHECK(told(changes(before, {.low = 2, .high = 10, .max = 9, .oom = 2, .oom_kill = 1})) ==
        "low low=2 new=1 | max max=9 new=4 | oom oom=2 new=1 | oom_kill oom_kill=1 new=1");
  CHECK(told(changes(before, {.low = 1, .high = 11, .max = 5, .oom = 1})) == "high high=11 new=1");
  // A counter never goes back; if it seems to, nothing is told.
  CHECK(told(changes(before, MemoryEvents{})).empty());
}

TEST_CASE("event: state changes are told once") {
  const GroupState none;
  CHECK(told(changes(none, none)).empty());
  CHECK(told(changes(none, {.populated = true})) == "populated");
  CHECK(told(changes({.populated = true}, {.populated = false, .frozen = true})) == "empty | frozen");
  CHECK(told(changes({.populated = true, .frozen = true}, {.populated = true})) == "thawed");
}

TEST_CASE("event: v1 with the killer on tells the OOM at once and the kill when it is counted") {
  OomProgress p;
  CHECK(told(changes(p, control(false, false, 0), true, false)) == "oom oom_kill=0 under_oom=0");
  CHECK(told(changes(p, control(false, false, 0), false, false)).empty());
  CHECK(told(changes(p, control(false, false, 1), false, false)) == "oom_kill oom_kill=1 new=1");
  CHECK(told(changes(p, control(false, false, 1), false, true)).empty());
  // Two OOMs that the kernel merged into one wake.
  CHECK(told(changes(p, control(false, false, 3), true, false)) ==
        "oom oom_kill=3 under_oom=0 | oom_kill oom_kill=3 new=2");
  // A kill of which no wake told.
  CHECK(told(changes(p, control(false, false, 4), false, false)) == "oom_kill oom_kill=4 new=1");
}

TEST_CASE("event: v1 with the killer off tells each pause once") {
  OomProgress p;
  CHECK(told(changes(p, control(true, true, 0), true, false)) == "oom oom_kill=0 under_oom=1 | under_oom under_oom=1");
  CHECK(told(changes(p, control(true, true, 0), false, false)).empty());
  CHECK(told(changes(p, control(true, false, 0), false, false)).empty());
  CHECK(told(changes(p, control(true, true, 0), true, false)) == "oom oom_kill=0 under_oom=1 | under_oom under_oom=1");
}

TEST_CASE("event: v1: a pause from before the watching is under_oom, but no oom") {
  OomProgress p{.seen = control(true, true, 0), .was_paused = true};
  CHECK(told(changes(p, control(true, true, 0), true, false)) == "under_oom under_oom=1");
  CHECK(told(changes(p, control(true, true, 0), true, false)) == "oom oom_kill=0 under_oom=1 | under_oom under_oom=1");
}

TEST_CASE("event: v1: the pause of a group above is told when it lasts, an instant of under_oom is not") {
  OomProgress p;
  CHECK(told(changes(p, control(false, true, 0), true, false)) == "oom oom_kill=0 under_oom=1");
  CHECK(told(changes(p, control(false, true, 0), false, false)).empty());
  CHECK(told(changes(p, control(false, true, 0), false, true)) == "under_oom under_oom=1");
  CHECK(told(changes(p, control(false, true, 0), false, true)).empty());
}

TEST_CASE("event: pressure triggers are parsed and written for the kernel") {
  const auto p = parse_pressure("memory:some:150ms/1s");
  REQUIRE(p.has_value());
  const auto t = std::get<PressureTrigger>(*p);
  CHECK(t.kernel_text() == "some 150000 1000000");
  CHECK(t.file() == "memory.pressure");
  CHECK(t.text() == "memory:some:150ms/1s");
  CHECK(std::get<PressureTrigger>(parse_pressure("cpu:full:1us/500ms").value()).kernel_text() == "full 1 500000");
  CHECK(std::get<PressureTrigger>(parse_pressure("io:some:10s/10s").value()).file() == "io.pressure");
  CHECK(std::get<PressureTrigger>(parse_pressure("irq:full:1s/2s").value()).file() == "irq.pressure");
  CHECK(std::get<PressureLevel>(parse_pressure("memory:low").value()) == PressureLevel::low);
  CHECK(std::get<PressureLevel>(parse_pressure("memory:critical").value()) == PressureLevel::critical);
}

TEST_CASE("event: wrong pressure triggers are usage errors that name the value") {
  for (const char* text : {"",
                           ":",
                           "memory",
                           "memory:",
                           "memory:high",
                           "cpu:low",
                           "disk:some:150ms/1s",
                           "memory:any:150ms/1s",
                           "memory:some:150ms",
                           "memory:some:150ms/",
                           "memory:some:/1s",
                           "memory:some:150/1s",
                           "memory:some:150ms/1s:x",
                           "memory:some:150ms/499ms",
                           "memory:some:150ms/10001ms",
                           "memory:some:0ms/1s",
                           "memory:some:1001ms/1s",
                           "irq:some:150ms/1s",
                           "memory:some:150ms/1s/1s",
                           " memory:some:150ms/1s",
                           "memory:some:-1s/1s",
                           "Memory:some:150ms/1s",
                           "memory:some:999999999999h/1s"}) {
    CAPTURE(text);
    const auto p = parse_pressure(text);
    REQUIRE_FALSE(p.has_value());
    CHECK(p.error().fault == Fault::usage);
    CHECK(p.error().value == text);
    CHECK_FALSE(p.error().hint.empty());
  }
}

TEST_CASE("event: the total of a pressure file is that of its line") {
  constexpr std::string_view file =
      "some avg10=0.00 avg60=1.50 avg300=0.00 total=123\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
  CHECK(stalled_total(file, PressureTrigger::Share::some).value() == 123);
  CHECK(stalled_total(file, PressureTrigger::Share::full).value() == 7);
  CHECK(stalled_total("", PressureTrigger::Share::some).error().code == EBADMSG);
  CHECK(stalled_total("some total=x\n", PressureTrigger::Share::some).error().code == EBADMSG);
  CHECK(stalled_total("full total=1\n", PressureTrigger::Share::some).error().code == EBADMSG);
}

TEST_CASE("event: an event holds three numbers") {
  Event e;
  e.with("a", 1).with("b", 2).with("c", 3).with("d", 4);
  REQUIRE(e.counters().size() == 3);
  CHECK(e.counters()[2].value == 3);
}

}  // namespace event_test
