// SPDX-License-Identifier: Apache-2.0
// container pause, unpause, update: a container's group while it runs; and when it is started again.
//
// pause, unpause --json: {"containers": [{"name": "web", "paused": true}, ...]}
// update --json: as that of cgx set, whose transaction it is.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>

#include <fmt/format.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/change/explain.h"

#include "commands.h"
#include "options.h"
#include "tools/bad_flag.h"
#include "tools/groups.h"
#include "tools/oci/container.h"
#include "view.h"

namespace cgx::launcher {
namespace {

Result<std::string> set_paused(const std::string& name, bool paused) {
  const Known known = CGX_TRY(find(name));
  CGX_CHECK(needs_to_run(known));
  CGX_CHECK(needs_group(known, paused ? "pause" : "unpause"));
  const Hierarchies hierarchies = CGX_TRY(container::hierarchies_of(known.state));
  const Cgroup group(hierarchies, known.state.group);
  // Not known.status: a container that has not executed its program yet may be frozen too.
  if (CGX_TRY(frozen(group)) == paused)
    return fail(EINVAL, fmt::format("container {} is {}paused", known.record.id, paused ? "already " : "not "));
  const Deadline deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  const auto done = paused ? freeze(group, deadline) : thaw(group, deadline);
  if (!done) return std::unexpected(explain_rights(group, done.error()));
  return known.record.id;
}

Result<int> set_all_paused(const Call& call, bool paused) {
  sys::JsonWriter json;
  json.open_object().key("containers").open_array();
  const int status = for_each_name(call, [&](const std::string& name) -> Result<> {
    const std::string id = CGX_TRY(set_paused(name, paused));
    json.open_object().key("name").string(id).key("paused").boolean(paused).close_object();
    tell_done(call, name);
    return {};
  });
  json.close_array().close_object();
  if (call.json) tool::print(json.take() + "\n");
  return status;
}

// What tells a row of a limit from another one of the same flag: its text without its numbers after `=` or, where it
// has none, without what follows its last colon. So that a limit changed each minute does not fill the record.
std::string row_of_limit(const Knob& knob, std::string_view text) {
  if (knob.format == Format::device_rules) return std::string(text);
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    const std::size_t colon = text.rfind(':');
    return std::string(text.substr(0, colon == std::string_view::npos ? 0 : colon));
  }
  std::string row;
  bool value = false;
  for (const char c : text) {
    if (c == '=' || c == ',') value = c == '=';
    if (!value) row += c;
  }
  return row;
}

void take_limits(Pairs& limits, const std::vector<tool::LimitFlag>& given) {
  // As cgx run records them.
  const auto flag_of = [](const tool::LimitFlag& f) {
    return f.knob != nullptr ? fmt::format("--{}", f.knob->flag) : f.file;
  };
  const auto replaces = [&](const tool::LimitFlag& f, const std::pair<std::string, std::string>& old) {
    if (old.first != flag_of(f)) return false;
    if (f.knob == nullptr || !tool::adds(f.knob->format)) return true;
    return row_of_limit(*f.knob, old.second) == row_of_limit(*f.knob, f.text);
  };
  for (const tool::LimitFlag& f : given) std::erase_if(limits, [&](const auto& old) { return replaces(f, old); });
  for (const tool::LimitFlag& f : given) limits.emplace_back(flag_of(f), f.text);
}

// Their locks are taken in the order of names, as every update does, so that two of them do not wait for each other.
// Each once: an Entry that goes takes the lock of this process with it.
Result<std::vector<Known>> find_all_to_change(const Call& call, const std::optional<RestartPolicy>& policy) {
  std::vector<std::string> names;
  names.reserve(call.words.size());
  for (const std::string& word : call.words) names.push_back(CGX_TRY(find(word)).entry.id());
  std::ranges::sort(names);
  const auto twice = std::ranges::unique(names);
  names.erase(twice.begin(), twice.end());
  std::vector<Known> found;
  for (const std::string& name : names) {
    found.push_back(CGX_TRY(find_exactly(name, call.dry_run ? Store::How::look : Store::How::change)));
    // When it is started again can be said between two runs, too.
    if (!policy || !call.limits.empty() || !goes_on(found.back())) CGX_CHECK(needs_to_run(found.back()));
    if (!call.limits.empty()) CGX_CHECK(needs_group(found.back(), "update"));
    if (policy && policy->restart != Restart::no && found.back().record.remove)
      return tool::bad_flag(
          "restart", call.get("restart"), fmt::format("contradicts --rm, with which {} was started", name));
  }
  return found;
}

Result<> set_scope(const Call& call, const State& state, const std::vector<Limit>& limits) {
  if (!call.dry_run) return oci::set_scope_limits(state, limits);
  std::string steps = fmt::format("systemd: {}\n", state.systemd_scope);
  for (const tool::LimitFlag& f : call.limits)
    steps += fmt::format("  {} <- {}\n", f.knob != nullptr ? f.knob->flag : f.file, f.text);
  tool::print_steps(call, steps);
  return {};
}

Result<> set_limits(const Call& call, const std::vector<Known>& containers, const std::vector<Limit>& limits) {
  Call set = call;
  set.words.clear();
  for (const Known& known : containers)
    if (known.state.systemd_scope.empty() && known.state.bases.empty()) set.words.push_back(known.state.group);
  if (!set.words.empty()) (void)CGX_TRY(tool::run_set(set));
  for (const Known& known : containers) {
    if (!known.state.systemd_scope.empty() || known.state.bases.empty()) continue;
    set.words = {known.state.group};
    (void)CGX_TRY(tool::run_set_in(CGX_TRY(container::hierarchies_of(known.state)), set));
  }
  // Systemd would take back what is not a property of its unit.
  for (const Known& known : containers)
    if (!known.state.systemd_scope.empty()) CGX_CHECK(located(set_scope(call, known.state, limits), known.state.group));
  return {};
}

void show_policy(const Call& call, const std::vector<Known>& containers) {
  std::string steps;
  for (const Known& known : containers)
    steps += fmt::format("restart of {} <- {}\n", known.record.id, call.get("restart"));
  tool::print_steps(call, steps);
}

Result<int> update_in_knobs(const Call& call) {
  std::optional<RestartPolicy> policy;
  if (call.on("restart")) policy = CGX_TRY(parse_restart(std::string(call.get("restart"))));
  if (call.limits.empty() && !policy) {
    Error e{.code = EINVAL, .what = "no limit is given", .hint = "cgx container update --help lists them"};
    e.fault = Fault::usage;
    return std::unexpected(std::move(e));
  }
  // A value that is wrong is so before it is asked whether there are such containers.
  const std::vector<Limit> limits = CGX_TRY(tool::limits_of(call));
  std::vector<Known> containers = CGX_TRY(find_all_to_change(call, policy));
  if (!limits.empty()) CGX_CHECK(set_limits(call, containers, limits));
  if (call.limits.empty() && !call.dry_run && call.json) tool::print("{\"groups\":[],\"notes\":[]}\n");
  if (call.dry_run) {
    if (policy && (limits.empty() || !call.json)) show_policy(call, containers);
    return 0;
  }
  for (Known& known : containers) {
    take_limits(known.record.limits, call.limits);
    if (policy) {
      known.record.restart = policy->restart;
      known.record.restart_most = policy->most;
    }
    const auto written = write_record(known.entry, known.record);
    if (!written) {
      Error e = written.error();
      e.what = fmt::format("{}run.json of container {} could not be written: {}",
                           limits.empty() ? "" : "the limits are in force, but ",
                           known.record.id,
                           e.text());
      return std::unexpected(std::move(e));
    }
  }
  for (const std::string& name : call.words) tell_done(call, name);
  return 0;
}

}  // namespace

Result<int> pause(const Call& call) { return set_all_paused(call, true); }
Result<int> unpause(const Call& call) { return set_all_paused(call, false); }

Result<int> update(const Call& given) {
  const Call call = CGX_TRY(with_docker_limits(given));
  return tool::as_typed(update_in_knobs(call), call);
}

}  // namespace cgx::launcher
