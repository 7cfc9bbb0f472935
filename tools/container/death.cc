// SPDX-License-Identifier: Apache-2.0
#include "death.h"

#include <charconv>
#include <chrono>
#include <csignal>
#include <thread>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/place.h"
#include "cgx/cgroupfs/tasks.h"
#include "cgx/container/json_tree.h"
#include "cgx/sys/program.h"
#include "cgx/sys/text.h"

#include "tools/signals.h"

namespace cgx::launcher {
namespace {

std::string file_of(const Cgroup& group, Controller controller, std::string_view file) {
  auto text = group.read(controller, file);
  return text ? std::move(*text) : std::string();
}

bool is_v1(const Cgroup& group, Controller controller) {
  const Hierarchy* h = group.hierarchies().of(controller);
  return h != nullptr && h->version() == Version::v1;
}

std::uint64_t number_in(const std::string& text) { return sys::parse_u64(sys::trim(text)).value_or(0); }

Counters::Of counters_of(const Cgroup& group) {
  Counters::Of of;
  if (is_v1(group, Controller::memory)) {
    of.kills = sys::keyed_u64(file_of(group, Controller::memory, "memory.oom_control"), "oom_kill").value_or(0);
    of.limit_hits = number_in(file_of(group, Controller::memory, "memory.failcnt")) +
                    number_in(file_of(group, Controller::memory, "memory.memsw.failcnt"));
  } else {
    std::string events = file_of(group, Controller::memory, "memory.events.local");
    if (events.empty()) events = file_of(group, Controller::memory, "memory.events");
    of.kills = sys::keyed_u64(events, "oom_kill").value_or(0);
    of.limit_hits = sys::keyed_u64(events, "oom").value_or(0);
  }
  std::string events = file_of(group, Controller::pids, "pids.events.local");
  if (events.empty()) events = file_of(group, Controller::pids, "pids.events");
  of.refused = sys::keyed_u64(events, "max").value_or(0);
  return of;
}

std::string limit_of(const Cgroup& group, Controller controller, std::string_view v1, std::string_view v2) {
  const std::string_view file = is_v1(group, controller) ? v1 : v2;
  const std::string text = file_of(group, controller, file);
  return fmt::format("{} {}", file, sys::trim(text));
}

template <class F>
void upwards(const Cgroup& group, F f) {
  for (std::string_view name = group.name(); !name.empty(); name = parent_of(name))
    if (!f(Cgroup(group.hierarchies(), std::string(name)))) return;
}

// Seconds since the epoch, with a fraction.
std::int64_t usec_of(const container::json::Value& time) {
  std::uint64_t whole = 0;
  if (time.kind() == container::json::Kind::natural && container::json::fill(whole, time))
    return static_cast<std::int64_t>(whole) * 1'000'000;
  const std::string_view text = time.raw_text();
  double seconds = 0;
  (void)std::from_chars(text.data(), text.data() + text.size(), seconds);
  return static_cast<std::int64_t>(seconds * 1e6);
}

// The last decision since then that has killed `first`, or all of a group that it was in; empty: none.
std::string last_kill(const container::json::Value& decisions, const Cgroup& group, std::int64_t since, pid_t first) {
  using container::json::fill;
  std::string found;
  for (const auto decision : decisions) {
    std::string whose, action, result, event;
    pid_t victim = 0;  // none where all of a group were killed
    if (!fill(victim, decision["pid"]) || !fill(whose, decision["group"]) || !fill(action, decision["action"]) ||
        !fill(result, decision["result"]) || !fill(event, decision["event"]))
      continue;
    if (action.starts_with("kill") && result == "done" && usec_of(decision["time"]) >= since &&
        (victim == 0 || victim == first) && lies_in(group.name(), whose))
      found = fmt::format("{} of cgxd, for {} of {}", action, event, whose);
  }
  return found;
}

}  // namespace

Counters count_now(const Cgroup& group) {
  Counters counters;
  upwards(group, [&](const Cgroup& g) {
    counters.groups[g.name()] = counters_of(g);
    return true;
  });
  return counters;
}

void explain_death(const Cgroup& group, const Counters& before, Ending& ending) {
  const auto grown = [&](const Cgroup& g, std::uint64_t Counters::Of::* what) {
    const auto was = before.groups.find(g.name());
    const std::uint64_t now = counters_of(g).*what;
    const std::uint64_t then = was == before.groups.end() ? 0 : was->second.*what;
    return now > then ? now - then : 0;
  };
  ending.oom_kills = grown(group, &Counters::Of::kills);
  if (const auto below = groups_below(group))  // of containers in it
    for (const std::string& name : *below) ending.oom_kills += counters_of(Cgroup(group.hierarchies(), name)).kills;
  if (ending.oom_kills > 0) {
    const Hierarchy* h = group.hierarchies().of(Controller::memory);
    const bool nested = h != nullptr && h->dir() != h->mount_point();
    ending.oom_limit = nested ? "a limit of the group that it was started in" : "the memory of the host";
    upwards(group, [&](const Cgroup& g) {
      if (grown(g, &Counters::Of::limit_hits) == 0) return true;
      ending.oom_group = g.name();
      ending.oom_limit = limit_of(g, Controller::memory, "memory.limit_in_bytes", "memory.max");
      return false;
    });
  }
  upwards(group, [&](const Cgroup& g) {
    ending.pids_refused = grown(g, &Counters::Of::refused);
    if (ending.pids_refused == 0) return true;
    ending.pids_group = g.name();
    ending.pids_limit = limit_of(g, Controller::pids, "pids.max", "pids.max");
    return false;
  });
}

std::string policy_of_death(const Cgroup& group, std::string_view started, pid_t first, bool patient) {
  const auto since = parse_rfc3339(started);
  if (!since || access("/run/dbus/system_bus_socket", R_OK) != 0) return {};
  const auto helper = sys::helper_path("cgx-bus");
  if (!helper) return {};
  // cgxd is told of the end at the same moment as we are, and its history has it a little later.
  for (const int pause : {0, 50, 200, 750}) {
    std::this_thread::sleep_for(std::chrono::milliseconds(pause));
    const auto text = sys::run_program(*helper, std::vector<std::string>{"history", "system", "json", "50", ""}, -1);
    const auto tree = text ? container::json::parse(*text) : std::unexpected(text.error());
    if (!tree) return {};
    std::string found = last_kill(container::json::Value(*tree, 0)["decisions"], group, *since, first);
    if (!found.empty() || !patient) return found;
  }
  return {};
}

std::string plain_reason(const Ending& e) {
  std::string why;
  if (e.oom_kills > 0) {
    const bool first = e.signal == SIGKILL;
    why = fmt::format("{} for memory: {}{}",
                      first ? std::string("killed") : fmt::format("{} of its processes killed", e.oom_kills),
                      e.oom_limit,
                      e.oom_group.empty() ? "" : " of " + e.oom_group);
  } else if (!e.policy.empty()) {
    why = fmt::format("killed by a policy: {}", e.policy);
  } else if (e.signal != 0) {
    why = fmt::format("died of signal {}", tool::signal_name(e.signal));
  }
  if (e.pids_refused > 0)
    why += fmt::format(
        "{}{} processes refused: {} of {}", why.empty() ? "" : "; ", e.pids_refused, e.pids_limit, e.pids_group);
  return why;
}

}  // namespace cgx::launcher
