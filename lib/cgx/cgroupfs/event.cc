// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/event.h"

#include <cerrno>

#include <fmt/format.h>

#include "cgx/sys/text.h"

namespace cgx {
namespace {

constexpr std::array<std::string_view, event_kind_count> names{"oom",
                                                               "under_oom",
                                                               "oom_kill",
                                                               "low",
                                                               "high",
                                                               "max",
                                                               "threshold",
                                                               "pressure",
                                                               "populated",
                                                               "empty",
                                                               "frozen",
                                                               "thawed",
                                                               "created",
                                                               "removed"};

constexpr std::array<std::string_view, 4> resources{"cpu", "memory", "io", "irq"};
constexpr std::array<std::string_view, 2> shares{"some", "full"};
constexpr std::array<std::string_view, 3> levels{"low", "medium", "critical"};
constexpr std::array<std::string_view, 4> files{"cpu.pressure", "memory.pressure", "io.pressure", "irq.pressure"};

// 0 where the file has no such key.
Result<std::uint64_t> count(std::string_view file, std::string_view key, std::uint64_t most = sys::unlimited) {
  const auto text = sys::keyed(file, key);
  if (!text) return 0;
  const auto n = sys::parse_u64(*text, 0, most);
  if (!n) return fail(EBADMSG, fmt::format("{} is no number that is known here", key));
  return *n;
}
Result<bool> flag(std::string_view file, std::string_view key) { return CGX_TRY(count(file, key, 1)) == 1; }

template <std::size_t N>
std::size_t index_of(const std::array<std::string_view, N>& words, std::string_view word) {
  std::size_t i = 0;
  while (i < N && words[i] != word) ++i;
  return i;
}

}  // namespace

std::string_view name_of(EventKind kind) { return names[bit(kind)]; }
std::string_view name_of(PressureLevel level) { return levels[static_cast<std::size_t>(level)]; }

Result<EventKind> parse_event(std::string_view word) {
  const std::size_t i = index_of(names, word);
  if (i < names.size()) return static_cast<EventKind>(i);
  auto error = bad_value(word, "is not an event");
  const std::string_view close = sys::nearest(word, {names.begin(), names.end()});
  error.error().hint =
      close.empty() ? fmt::format("events: {}", fmt::join(names, ", ")) : fmt::format("did you mean {}?", close);
  return error;
}

Event& Event::with(std::string_view name, std::uint64_t value) {
  if (used < all.size()) all[used++] = {name, value};
  return *this;
}

Result<MemoryEvents> MemoryEvents::parse(std::string_view file) {
  MemoryEvents e;
  e.low = CGX_TRY(count(file, "low"));
  e.high = CGX_TRY(count(file, "high"));
  e.max = CGX_TRY(count(file, "max"));
  e.oom = CGX_TRY(count(file, "oom"));
  e.oom_kill = CGX_TRY(count(file, "oom_kill"));
  return e;
}

Result<OomControl> OomControl::parse(std::string_view file) {
  OomControl c;
  c.oom_kill_disable = CGX_TRY(flag(file, "oom_kill_disable"));
  c.under_oom = CGX_TRY(flag(file, "under_oom"));
  c.oom_kill = CGX_TRY(count(file, "oom_kill"));
  return c;
}

Result<GroupState> GroupState::parse(std::string_view file) {
  GroupState s;
  s.populated = CGX_TRY(flag(file, "populated"));
  s.frozen = CGX_TRY(flag(file, "frozen"));
  return s;
}

std::vector<Event> changes(const MemoryEvents& before, const MemoryEvents& after) {
  std::vector<Event> events;
  const auto grown = [&](EventKind kind, std::uint64_t from, std::uint64_t to) {
    if (to > from) events.push_back(Event{.kind = kind}.with(name_of(kind), to).with("new", to - from));
  };
  grown(EventKind::low, before.low, after.low);
  grown(EventKind::high, before.high, after.high);
  grown(EventKind::max, before.max, after.max);
  grown(EventKind::oom, before.oom, after.oom);
  grown(EventKind::oom_kill, before.oom_kill, after.oom_kill);
  return events;
}

std::vector<Event> changes(const GroupState& before, const GroupState& after) {
  std::vector<Event> events;
  if (after.populated != before.populated)
    events.push_back({.kind = after.populated ? EventKind::populated : EventKind::empty});
  if (after.frozen != before.frozen) events.push_back({.kind = after.frozen ? EventKind::frozen : EventKind::thawed});
  return events;
}

std::vector<Event> changes(OomProgress& progress, const OomControl& after, bool woken, bool settled) {
  std::vector<Event> events;
  if (woken) {
    progress.told = false;
    if (!progress.was_paused)
      events.push_back(
          Event{.kind = EventKind::oom}.with("oom_kill", after.oom_kill).with("under_oom", after.under_oom ? 1 : 0));
  }
  // With the killer on, under_oom is 1 for an instant only, unless the pause is that of a group above.
  if (after.under_oom && !progress.told && (after.oom_kill_disable || progress.was_paused || settled)) {
    progress.told = true;
    events.push_back(Event{.kind = EventKind::under_oom}.with("under_oom", 1));
  }
  if (woken || !after.under_oom) progress.was_paused = false;
  if (after.oom_kill > progress.seen.oom_kill)
    events.push_back(Event{.kind = EventKind::oom_kill}
                         .with("oom_kill", after.oom_kill)
                         .with("new", after.oom_kill - progress.seen.oom_kill));
  progress.seen = after;
  return events;
}

std::string_view PressureTrigger::file() const { return files[static_cast<std::size_t>(resource)]; }

std::string PressureTrigger::kernel_text() const {
  return fmt::format("{} {} {}", shares[static_cast<std::size_t>(share)], stall, window);
}

std::string PressureTrigger::text() const {
  return fmt::format("{}:{}:{}/{}",
                     resources[static_cast<std::size_t>(resource)],
                     shares[static_cast<std::size_t>(share)],
                     sys::format_time(stall),
                     sys::format_time(window));
}

Result<Pressure> parse_pressure(std::string_view text) {
  const auto wrong = [&](std::string what) {
    auto error = bad_value(text, std::move(what));
    error.error().hint = "RESOURCE:some|full:STALL/WINDOW as memory:some:150ms/1s, or v1's memory:low|medium|critical";
    return error;
  };
  const std::vector<std::string_view> parts = sys::split(text, ':');
  const std::size_t resource = index_of(resources, parts[0]);
  if (resource == resources.size()) return wrong("does not begin with cpu, memory, io or irq");
  if (parts.size() == 2) {
    const std::size_t level = index_of(levels, parts[1]);
    if (parts[0] != "memory" || level == levels.size()) return wrong("is neither a pressure trigger nor a level");
    return static_cast<PressureLevel>(level);
  }
  if (parts.size() != 3) return wrong("is not a pressure trigger");
  PressureTrigger trigger{.resource = static_cast<PressureTrigger::Resource>(resource)};
  const std::size_t share = index_of(shares, parts[1]);
  if (share == shares.size()) return wrong("has neither some nor full");
  trigger.share = static_cast<PressureTrigger::Share>(share);
  if (trigger.resource == PressureTrigger::Resource::irq && trigger.share == PressureTrigger::Share::some)
    return wrong("is not counted: irq has full only");
  const auto times = sys::parse_pair(parts[2], '/');
  if (!times) return wrong("has no STALL/WINDOW");
  const auto stall = sys::parse_time(times->first);
  const auto window = sys::parse_time(times->second);
  if (!stall || !window) return wrong("has a STALL or WINDOW that is not a time such as 150ms");
  if (*window < 500'000 || *window > 10'000'000) return wrong("has a window that is not between 500ms and 10s");
  if (*stall == 0 || *stall > *window) return wrong("has a stall that is not between 1us and its window");
  trigger.stall = *stall;
  trigger.window = *window;
  return trigger;
}

Result<std::uint64_t> stalled_total(std::string_view file, PressureTrigger::Share share) {
  for (const std::string_view line : sys::lines(file)) {
    const std::vector<std::string_view> fields = sys::words(line);
    if (fields.empty() || fields[0] != shares[static_cast<std::size_t>(share)]) continue;
    for (const std::string_view field : fields)
      if (field.starts_with("total="))
        if (const auto n = sys::parse_u64(field.substr(6))) return *n;
  }
  return fail(EBADMSG, fmt::format("has no total of {}", shares[static_cast<std::size_t>(share)]));
}

}  // namespace cgx
