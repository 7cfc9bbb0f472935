// SPDX-License-Identifier: Apache-2.0
// cgx freeze, cgx thaw, cgx kill.
//
// freeze, thaw --json: [{"name": "web", "frozen": true}, ...]
// kill --json: [{"name": "web", "signal": "KILL", "processes": 3}, ...]
#include <cerrno>

#include <signal.h>
#include <string.h>

#include <fmt/format.h>

#include "cgx/change/explain.h"
#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

#include "groups.h"
#include "processes.h"
#include "signals.h"

namespace cgx::tool {
namespace {

std::string freezer_line(const Cgroup& group, bool freezing) {
  const Hierarchy* h = freezer_of(group);
  if (h == nullptr) return {};
  const bool v1 = h->version() == Version::v1;
  return fmt::format("{} <- {}\n",
                     h->path(group.name(), v1 ? "freezer.state" : "cgroup.freeze"),
                     v1 ? (freezing ? "FROZEN" : "THAWED") : (freezing ? "1" : "0"));
}

// Freezes or thaws all groups, or none: those done before a failure go back to what they were.
Result<> change_all(const std::vector<Cgroup>& groups, bool freezing, Deadline deadline) {
  std::vector<const Cgroup*> changed;
  for (const Cgroup& group : groups) {
    const Hierarchy* h = freezer_of(group);
    const auto before = h != nullptr && !group.name().empty() ? told_to_freeze(group, *h) : Result<bool>(false);
    const auto done = !before    ? Result<>(std::unexpected(before.error()))
                      : freezing ? freeze(group, deadline)
                                 : thaw(group, deadline);
    if (done) {
      if (*before != freezing) changed.push_back(&group);
      continue;
    }
    // A second's grace: undoing has to work where the time is up.
    const auto later = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    for (const Cgroup* c : changed) (void)(freezing ? thaw(*c, later) : freeze(*c, later));
    return std::unexpected(explain_rights(group, done.error()));
  }
  return {};
}

Result<int> run_change(const Call& call, bool freezing) {
  const Deadline deadline = CGX_TRY(deadline_of(call));
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  const std::vector<Cgroup> groups = CGX_TRY(existing_groups(hierarchies, call.words));
  for (const Cgroup& group : groups) CGX_CHECK(leave_to_systemd(group, freezing ? "freeze" : "thaw"));
  if (call.dry_run) {
    std::string out;
    for (const Cgroup& group : groups) out += freezer_line(group, freezing);
    print_steps(call, out);
    return 0;
  }
  CGX_CHECK(change_all(groups, freezing, deadline));
  if (call.json) {
    sys::JsonWriter json;
    json.open_array();
    for (const Cgroup& group : groups)
      json.open_object().key("name").string(group.name()).key("frozen").boolean(CGX_TRY(frozen(group))).close_object();
    json.close_array();
    print(json.take() + "\n");
  }
  return 0;
}

// What killing would do: cgroup.kill where there is one, and the signals.
Result<std::string> kill_plan(const Cgroup& group, int signal) {
  std::string out;
  const Hierarchy* v2 = group.hierarchies().unified();
  const auto dir = v2 != nullptr ? group.dir(*v2) : Result<int>(-1);
  const bool by_kernel = signal == SIGKILL && dir && *dir >= 0 && sys::exists(*dir, "cgroup.kill");
  if (by_kernel) out += fmt::format("{} <- 1\n", v2->path(group.name(), "cgroup.kill"));
  if (by_kernel && group.present().size() == 1) return out;
  if (const Hierarchy* freezer = freezer_of(group); signal == SIGKILL && !by_kernel && freezer != nullptr)
    out += freezer_line(group, true);
  for (const pid_t id : CGX_TRY(tasks_below(group))) out += fmt::format("kill -{} {}\n", signal_name(signal), id);
  if (signal == SIGKILL && !by_kernel) out += freezer_line(group, false);
  return out;
}

}  // namespace

Result<int> run_freeze(const Call& call) { return run_change(call, true); }
Result<int> run_thaw(const Call& call) { return run_change(call, false); }

Result<int> run_kill(const Call& call) {
  const int signal = CGX_TRY(located(parse_signal(call.get("signal", "KILL")), "", "--signal"));
  const Deadline deadline = CGX_TRY(deadline_of(call));
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  const std::vector<Cgroup> groups = CGX_TRY(existing_groups(hierarchies, call.words));
  if (call.dry_run) {
    std::string out;
    for (const Cgroup& group : groups) out += CGX_TRY(kill_plan(group, signal));
    print_steps(call, out);
    return 0;
  }
  sys::JsonWriter json;
  json.open_array();
  for (const Cgroup& group : groups) {
    const std::size_t count = CGX_TRY(kill_all(group, signal, deadline));
    json.open_object().key("name").string(group.name()).key("signal").string(signal_name(signal));
    json.key("processes").number(count).close_object();
  }
  json.close_array();
  if (call.json) print(json.take() + "\n");
  return 0;
}

}  // namespace cgx::tool
