// SPDX-License-Identifier: Apache-2.0
// cgx events: what was asked for, and a line an event.
#include <algorithm>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "cgx/sys/harmless.h"
#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

#include "command.h"
#include "events_monitor.h"

namespace cgx::tool {
namespace {

using std::chrono::system_clock;

// 2026-11-23T12:00:00.123Z
std::string time_text(system_clock::time_point time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(time - whole).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(system_clock::to_time_t(whole)), ms);
}

std::string line(const Event& e) {
  const std::string group = sys::harmless(shown(e.group));
  std::string text = fmt::format("{} {} {}", time_text(e.time), group, name_of(e.kind));
  for (const Counter& c : e.counters())
    if (c.name != "new" || c.value != 1) text += fmt::format(" {}={}", c.name, c.value);
  return text + "\n";
}

std::string json_line(const Event& e) {
  sys::JsonWriter json;
  json.open_object().key("time").string(time_text(e.time)).key("group").string(shown(e.group));
  json.key("event").string(name_of(e.kind));
  for (const Counter& c : e.counters()) json.key(c.name).number(c.value);
  json.close_object();
  return json.take() + "\n";
}

// The first object: who starts cgx can wait for it before making events.
std::string watching_line(const EventsMonitor& monitor) {
  sys::JsonWriter json;
  json.open_object().key("time").string(time_text(system_clock::now())).key("group").null();
  json.key("event").string("watching").key("groups").number(monitor.groups()).key("events").open_array();
  const EventSet tells = monitor.tells();
  for (std::size_t i = 0; i < event_kind_count; ++i)
    if (tells.test(i)) json.string(name_of(static_cast<EventKind>(i)));
  json.close_array().close_object();
  return json.take() + "\n";
}

template <class T>
Result<T> flag(Result<T> result, std::string_view name) {
  return located(std::move(result), "", name);
}

Result<EventsRequest> request_of(const Call& call) {
  EventsRequest r;
  for (const std::string& word : call.words) {
    std::string name = CGX_TRY(parse_group_name(word));
    if (std::ranges::find(r.names, name) == r.names.end()) r.names.push_back(std::move(name));
  }
  r.recursive = call.on("recursive");
  if (call.on("until")) r.until = CGX_TRY(flag(parse_event(call.get("until")), "--until"));
  if (call.on("timeout"))
    r.timeout = std::chrono::microseconds(
        std::min<std::uint64_t>(CGX_TRY(flag(sys::parse_time(call.get("timeout")), "--timeout")), 1ULL << 52U));
  for (const std::string_view text : call.all("mem-threshold")) {
    const std::uint64_t size = CGX_TRY(flag(sys::parse_size(text), "--mem-threshold"));
    if (size == 0 || size == sys::unlimited)
      return flag(Result<EventsRequest>(bad_value(text, "is never passed")), "--mem-threshold");
    if (std::ranges::find(r.thresholds, size) == r.thresholds.end()) r.thresholds.push_back(size);
  }
  for (const std::string_view text : call.all("pressure")) {
    const Pressure pressure = CGX_TRY(flag(parse_pressure(text), "--pressure"));
    if (std::ranges::find(r.pressures, pressure) == r.pressures.end()) r.pressures.push_back(pressure);
  }
  return r;
}

}  // namespace

Result<int> run_events(const Call& call) {
  EventsRequest request = CGX_TRY(request_of(call));
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  EventsMonitor monitor(
      hierarchies, std::move(request), [&call](const Event& e) { print(call.json ? json_line(e) : line(e)); });
  CGX_CHECK(monitor.begin());
  if (call.json) print(watching_line(monitor));
  return monitor.run();
}

}  // namespace cgx::tool
