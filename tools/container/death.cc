// SPDX-License-Identifier: Apache-2.0
#include "death.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <thread>
#include <vector>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/place.h"
#include "cgx/container/json_tree.h"
#include "cgx/sys/count.h"
#include "cgx/sys/program.h"

#include "tools/signals.h"

namespace cgx::launcher {
namespace {

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
std::string last_kill(const container::json::Value& decisions,
                      const std::string& group,
                      std::int64_t since,
                      pid_t first) {
  using container::json::fill;
  std::string found;
  for (const auto decision : decisions) {
    std::string whose, action, result, event;
    pid_t victim = 0;  // none where all of a group were killed
    if (!fill(victim, decision["pid"]) || !fill(whose, decision["group"]) || !fill(action, decision["action"]) ||
        !fill(result, decision["result"]) || !fill(event, decision["event"]))
      continue;
    if (action.starts_with("kill") && result == "done" && usec_of(decision["time"]) >= since &&
        (victim == 0 || victim == first) && lies_in(group, whose))
      found = fmt::format("{} of cgxd, for {} of {}", action, event, whose);
  }
  return found;
}

Result<container::json::Tree> ask_daemon(const std::string& helper,
                                         std::string_view question,
                                         std::string_view count,
                                         std::string_view group = {}) {
  const std::vector<std::string> words{std::string(question), "system", "json", std::string(count), std::string(group)};
  return container::json::parse(CGX_TRY(sys::run_program(helper, words, -1)));
}

// The groups of policies that `name` is, or is in: cgxd kills nowhere else.
std::vector<std::string> managed_above(const std::string& helper, const std::string& name) {
  std::vector<std::string> found;
  const auto tree = ask_daemon(helper, "groups", "0");
  if (!tree) return found;
  for (const auto group : container::json::Value(*tree, 0)["groups"])
    if (std::string top; container::json::fill(top, group) && lies_in(name, top)) found.push_back(std::move(top));
  return found;
}

// Whether a shortage there is not over for cgxd: what it has done about it may not be in its history yet.
bool is_at_work(const std::string& helper, const std::vector<std::string>& groups) {
  return std::ranges::any_of(groups, [&](const std::string& group) {
    const auto tree = ask_daemon(helper, "get", "0", group);
    bool paused = false;
    return tree && container::json::fill(paused, container::json::Value(*tree, 0)["values"]["Paused"]) && paused;
  });
}

std::string memory_reason(const Ending& e, bool all) {
  // The host, or why the limit is unknown: both have no group.
  const bool sentence = e.oom_group.empty() && !e.oom_limit.empty();
  const container::Cause cause{.count = e.oom_kills, .group = e.oom_group, .limit = e.oom_limit};
  return fmt::format("{} for memory: {}",
                     all ? std::string("killed") : fmt::format("{} of its processes killed", e.oom_kills),
                     sentence ? e.oom_limit : cause.memory_text());
}

}  // namespace

Counters count_now(const Cgroup& group) {
  return {.memory = container::read_memory(group), .pids = container::read_pids(group)};
}

void explain_death(const Cgroup& group, const Counters& before, Ending& ending) {
  const Counters after = count_now(group);
  const container::Cause memory = container::memory_cause(before.memory, after.memory);
  ending.oom_kills = memory.count;
  ending.oom_group = memory.group;
  // A kill that could not be counted is seen by its signal alone.
  const bool unknown = !memory.unread.empty() && (memory.count > 0 || ending.signal == SIGKILL);
  ending.oom_limit = memory.host || unknown ? memory.memory_text() : memory.limit;
  if (memory.count == 0 && memory.unread.empty()) {
    const auto reached = container::memory_limits_reached(before.memory, after.memory);
    if (!reached.empty())
      ending.reached = fmt::format("{} {} reached while it ran (the log of cgxd or dmesg may tell who sent it)",
                                   fmt::join(reached, ", "),
                                   reached.size() == 1 ? "was" : "were");
    else
      ending.reached =
          fmt::format("no group {} had reached a limit of memory (dmesg and the logs of the host may tell who sent it)",
                      after.memory.whole || after.memory.levels.empty() ? "of it" : "that can be seen from here");
  }
  const container::Cause pids = container::pids_cause(before.pids, after.pids);
  ending.pids_refused = pids.count;
  ending.pids_group = pids.group;
  ending.pids_limit = pids.count > 0 && !pids.unread.empty() ? pids.unknown_text() : pids.limit;
}

std::string policy_of_death(const Cgroup& group, std::string_view started, pid_t first, bool patient) {
  const auto since = parse_rfc3339(started);
  if (!since || access("/run/dbus/system_bus_socket", R_OK) != 0) return {};
  const auto helper = sys::helper_path("cgx-bus");
  if (!helper) return {};
  const std::string name = name_from_root(group);
  const std::vector<std::string> managed = managed_above(*helper, name);
  if (managed.empty()) return {};
  // cgxd is told of the end at the same moment as we are, and its history has it a little later.
  constexpr std::array pauses{0, 50, 200, 750, 1500};
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (std::size_t round = 0; round < pauses.size();) {
    std::this_thread::sleep_for(std::chrono::milliseconds(pauses[round]));
    const auto tree = ask_daemon(*helper, "history", "50");
    if (!tree) return {};
    std::string found = last_kill(container::json::Value(*tree, 0)["decisions"], name, *since, first);
    if (!found.empty() || !patient) return found;
    if (!is_at_work(*helper, managed) || std::chrono::steady_clock::now() > until) ++round;
  }
  return {};
}

std::string name_from_root(const Cgroup& group) {
  const Hierarchies& all = group.hierarchies();
  const Hierarchy* h = all.of(Controller::memory) != nullptr ? all.of(Controller::memory) : all.unified();
  if (h == nullptr) return group.name();
  const std::string path = h->path(group.name());
  const std::string& top = h->mount_point();
  return path.size() > top.size() + 1 && path.starts_with(top + "/") ? path.substr(top.size() + 1) : group.name();
}

bool killed_for_memory(const Ending& e) { return e.oom_kills > 0 && e.killer.empty() && e.status == 128 + SIGKILL; }

std::string plain_reason(const Ending& e) {
  std::string why;
  if (!e.killer.empty()) {
    why = fmt::format("killed by {}", e.killer);
    if (e.oom_kills > 0) why += "; " + memory_reason(e, false);
  } else if (e.oom_kills > 0) {
    why = memory_reason(e, e.signal == SIGKILL);
  } else if (!e.policy.empty()) {
    why = fmt::format("killed by a policy: {}", e.policy);
  } else if (e.signal == SIGKILL && !e.oom_limit.empty()) {
    why = fmt::format("killed by SIGKILL; if for memory, {}", e.oom_limit);
  } else if (e.signal == SIGKILL) {
    why = "killed by SIGKILL";
    if (!e.reached.empty()) why += "; " + e.reached;
  } else if (e.signal != 0) {
    why = fmt::format("died of signal {}", tool::signal_name(e.signal));
  }
  if (e.pids_refused > 0) {
    why += fmt::format("{}{} refused: ", why.empty() ? "" : "; ", sys::counted(e.pids_refused, "process", "processes"));
    why += !e.pids_group.empty()   ? fmt::format("{} of {}", e.pids_limit, e.pids_group)
           : !e.pids_limit.empty() ? e.pids_limit
                                   : "by no limit that can be seen from here";
  }
  return why;
}

}  // namespace cgx::launcher
