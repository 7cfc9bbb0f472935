// SPDX-License-Identifier: Apache-2.0
// Names of events, pressure triggers and the files that count events.
#include <algorithm>

#include "cgx/cgroupfs/event.h"

#include "fuzz.h"

using namespace cgx;

void cgx::fuzz::one(std::string_view input) {
  if (const auto kind = parse_event(input))
    FUZZ_CHECK(name_of(*kind) == input);
  else
    FUZZ_CHECK(kind.error().fault == Fault::usage && !kind.error().hint.empty());

  if (const auto p = parse_pressure(input)) {
    if (const auto* t = std::get_if<PressureTrigger>(&*p)) {
      FUZZ_CHECK(t->window >= 500'000 && t->window <= 10'000'000 && t->stall > 0 && t->stall <= t->window);
      FUZZ_CHECK(std::get<PressureTrigger>(parse_pressure(t->text()).value()) == *t);
      FUZZ_CHECK(t->kernel_text().find_first_not_of("somefull 0123456789") == std::string::npos);
    } else {
      FUZZ_CHECK(input == "memory:" + std::string(name_of(std::get<PressureLevel>(*p))));
    }
  } else {
    FUZZ_CHECK(p.error().fault == Fault::usage);
  }

  // The input is two readings of one file.
  const std::size_t half = input.size() / 2;
  const std::string_view first = input.substr(0, half);
  const std::string_view second = input.substr(half);
  const auto before = MemoryEvents::parse(first);
  const auto after = MemoryEvents::parse(second);
  if (before && after) {
    std::uint64_t grown = 0;
    for (const Event& e : changes(*before, *after)) {
      FUZZ_CHECK(e.counters().size() == 2 && e.counters()[1].value > 0 &&
                 e.counters()[0].value >= e.counters()[1].value);
      ++grown;
    }
    FUZZ_CHECK(grown <= 5 && grown + changes(*after, *before).size() <= 5);
    FUZZ_CHECK(changes(*after, *after).empty());
  }
  const auto from = GroupState::parse(first);
  const auto to = GroupState::parse(second);
  if (from && to) FUZZ_CHECK(changes(*from, *to).empty() == (*from == *to));

  OomProgress progress;
  const auto one = OomControl::parse(first);
  const auto two = OomControl::parse(second);
  if (one && two) {
    std::uint64_t told = 0;
    for (const auto& events : {changes(progress, *one, true, false), changes(progress, *two, false, true)})
      for (const Event& e : events)
        if (e.kind == EventKind::oom_kill) told += e.counters()[1].value;
    FUZZ_CHECK(told == std::max(one->oom_kill, two->oom_kill));
    FUZZ_CHECK(progress.seen == *two);
  }
  for (const auto share : {PressureTrigger::Share::some, PressureTrigger::Share::full}) {
    const auto total = stalled_total(input, share);
    FUZZ_CHECK(total || total.error().code == EBADMSG);
  }
}
