// SPDX-License-Identifier: Apache-2.0
// What the kernel can tell of a group, as values: names of events, the files that count them, and what lies between two
// readings of such a file. Pure: no I/O and no clock. Where events come from is in watch.h and tree_watch.h.
#pragma once

#include <array>
#include <bitset>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cgx/sys/result.h"

namespace cgx {

enum class EventKind : std::uint8_t {
  oom,        // the limit is reached and nothing could be reclaimed
  under_oom,  // v1: processes are paused at the limit, since memory.oom_control has its killer off
  oom_kill,   // the kernel killed a process of the group
  low,        // v2: reclaimed although below memory.low
  high,       // v2: throttled, being over memory.high
  max,        // v2: at memory.max, before reclaim is tried
  threshold,  // memory in use passed a threshold, up or down
  pressure,   // stalled for as long as a trigger says
  populated,  // the first process came into the group or below it
  empty,      // the last one went
  frozen,     // all processes of the group have stopped
  thawed,
  created,  // a group was made below a watched one
  removed,
};
inline constexpr std::size_t event_kind_count = 14;
using EventSet = std::bitset<event_kind_count>;
constexpr std::size_t bit(EventKind kind) { return static_cast<std::size_t>(kind); }

[[nodiscard]] std::string_view name_of(EventKind kind);
// Unknown words are Fault::usage, with the nearest name as hint.
[[nodiscard]] Result<EventKind> parse_event(std::string_view word);

// A number that belongs to an event; the kernel's key where it has one. Names are literals.
struct Counter {
  std::string_view name;
  std::uint64_t value = 0;
};

// Copied without allocating. `group` lives as long as the source that told of the event.
struct Event {
  std::chrono::system_clock::time_point time;
  std::string_view group;
  EventKind kind = EventKind::oom;
  std::uint8_t used = 0;
  std::array<Counter, 3> all{};

  Event& with(std::string_view name, std::uint64_t value);  // those over three are dropped
  [[nodiscard]] std::span<const Counter> counters() const { return {all.data(), used}; }
};

// v2 memory.events. Keys that a kernel does not have are 0; what is no number is EBADMSG, also below.
struct MemoryEvents {
  std::uint64_t low = 0, high = 0, max = 0, oom = 0, oom_kill = 0;
  [[nodiscard]] static Result<MemoryEvents> parse(std::string_view file);
  bool operator==(const MemoryEvents&) const = default;
};
// v1 memory.oom_control.
struct OomControl {
  bool oom_kill_disable = false;
  bool under_oom = false;
  std::uint64_t oom_kill = 0;  // kernels before 4.13 do not count
  [[nodiscard]] static Result<OomControl> parse(std::string_view file);
  bool operator==(const OomControl&) const = default;
};
// v2 cgroup.events.
struct GroupState {
  bool populated = false;
  bool frozen = false;  // kernels before 5.2 do not tell
  [[nodiscard]] static Result<GroupState> parse(std::string_view file);
  bool operator==(const GroupState&) const = default;
};

// The events between two readings, without time and group. Each grown counter is one event with its new total and, as
// `new`, by how much it grew: the kernel merges what comes close together.
[[nodiscard]] std::vector<Event> changes(const MemoryEvents& before, const MemoryEvents& after);
[[nodiscard]] std::vector<Event> changes(const GroupState& before, const GroupState& after);

// What v1's memory.oom_control says after a wake. The kernel wakes at the OOM, before the kill, and never for the kill
// itself; so a reading is repeated for a short time after each wake.
struct OomProgress {
  OomControl seen;
  bool told = false;        // under_oom, since the last wake
  bool was_paused = false;  // under_oom when the watching began: the kernel's first wake tells of that one
};
// `woken`: the eventfd fired; `settled`: enough time has passed since then for a kill to be over.
[[nodiscard]] std::vector<Event> changes(OomProgress& progress, const OomControl& after, bool woken, bool settled);

// A PSI trigger: stalled for `stall` microseconds within `window`.
struct PressureTrigger {
  enum class Resource : std::uint8_t { cpu, memory, io, irq };
  enum class Share : std::uint8_t { some, full };  // some tasks, or all that were not idle
  Resource resource = Resource::memory;
  Share share = Share::some;
  std::uint64_t stall = 0;
  std::uint64_t window = 0;
  bool operator==(const PressureTrigger&) const = default;

  [[nodiscard]] std::string_view file() const;    // "memory.pressure"
  [[nodiscard]] std::string kernel_text() const;  // "some 150000 1000000"
  [[nodiscard]] std::string text() const;         // "memory:some:150ms/1s"
};
// v1's memory.pressure_level.
enum class PressureLevel : std::uint8_t { low, medium, critical };
[[nodiscard]] std::string_view name_of(PressureLevel level);

// `memory:some:150ms/1s` (resource cpu, memory, io or irq; a window of 500ms to 10s; a stall up to it; irq has `full`
// only), or v1's `memory:medium`. All else is Fault::usage.
using Pressure = std::variant<PressureTrigger, PressureLevel>;
[[nodiscard]] Result<Pressure> parse_pressure(std::string_view text);

// The `total` (microseconds) of the `some` or `full` line of a pressure file; EBADMSG where there is none.
[[nodiscard]] Result<std::uint64_t> stalled_total(std::string_view file, PressureTrigger::Share share);

}  // namespace cgx
