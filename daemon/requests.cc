// SPDX-License-Identifier: Apache-2.0
// What others may ask the daemon to do.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sys/stat.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/device_node.h"
#include "cgx/cgroupfs/disk.h"
#include "cgx/cgroupfs/presence.h"
#include "cgx/cgroupfs/spared.h"
#include "cgx/cgroupfs/tasks.h"
#include "cgx/change/owner.h"
#include "cgx/change/plan.h"
#include "cgx/policy/read.h"
#include "cgx/sys/count.h"
#include "cgx/sys/text.h"

#include "daemon/daemon.h"

namespace cgx::daemon {
namespace {

constexpr std::chrono::seconds patience{10};  // for a group to freeze, thaw or become empty

Deadline deadline() { return std::chrono::steady_clock::now() + patience; }

Result<std::vector<Limit>> limits_of(const LimitTexts& texts) {
  const DeviceNames names{.disk = disk_of, .node = device_node};
  std::vector<Limit> limits;
  for (const auto& [name, text] : texts) {
    const Knob* const knob = find_knob(name);
    // A kernel file by its name. cgxd writes it as root, so it must be a setting and a file of that very group:
    // cgroup.procs would take any process of the host.
    if (knob == nullptr ? name.find('.') != std::string::npos : knob->flag.empty())
      CGX_CHECK(located(policy::check_raw(name, text), "", name, text));
    if (knob != nullptr) {
      limits.push_back({knob, CGX_TRY(located(parse_value(*knob, text, names), "", name)), text, {}});
      continue;
    }
    if (name.find('.') != std::string::npos) {
      limits.push_back({nullptr, std::string(), text, name});
      continue;
    }
    auto error = bad_value(name, "is neither a flag of a limit (like mem) nor a kernel file (like memory.max)");
    std::vector<std::string_view> known;
    for_each_knob([&](const Knob& k) {
      if (!k.flag.empty()) known.push_back(k.flag);
    });
    if (const auto near = sys::nearest(name, known); !near.empty())
      error.error().hint = fmt::format("did you mean {}?", near);
    return error;
  }
  return limits;
}

constexpr auto no_owner = static_cast<uid_t>(-1);

// A controller of cgroup2 comes from above. The owner of a group cannot enable one in groups of others, and cgxd does
// not do it for the owner.
Result<> check_enabling(const Hierarchies& hierarchies, const Desired& desired, uid_t owner) {
  if (owner == no_owner) return {};
  const Plan plan = CGX_TRY(Plan::make_structure(hierarchies, desired));
  for (const Step& step : plan.steps()) {
    if (step.verb != Verb::enable) continue;
    const Cgroup group(hierarchies, step.group);
    const auto dir = group.dir(*step.hierarchy);
    struct stat status{};
    if (!dir ? dir.error().code == ENOENT : fstat(*dir, &status) == 0 && status.st_uid == owner) continue;
    return std::unexpected(
        Error{.code = EACCES,
              .what = fmt::format(
                  "needs {} in {}, a group of another user", step.text, step.hierarchy->path(step.group, step.file)),
              .group = desired.group,
              .hint = "root may enable the controller there"});
  }
  return {};
}

std::vector<std::string> lines_of(const std::vector<policy::Change>& changes) {
  std::vector<std::string> lines;
  for (const policy::Change& change : changes) lines.push_back(change.text());
  return lines;
}

Answer answer_of(const Knob& knob, const Value& value) {
  if (const auto* const number = std::get_if<std::uint64_t>(&value); number != nullptr && *number != sys::unlimited)
    return *number;
  return exact(knob, value);
}

}  // namespace

Result<std::vector<std::string>> Daemon::list_groups() {
  std::vector<std::string> names;
  const auto world = shared_.get();  // held over the loop: a new one may take its place
  for (const ManagedGroup& group : world->groups) names.push_back(group.name);
  return names;
}

Result<std::string> Daemon::named(const std::string& name) const {
  if (name.empty()) return bad_value("/", "is the root of all groups, which GetGroup and Explain alone accept");
  std::string group = CGX_TRY(parse_group_name(name));
  if (!slices_ || CGX_TRY(is_there(Cgroup(hierarchies_, group)))) return group;
  return keeper_.place(group);
}

Result<Answers> Daemon::get_group(const std::string& name) {
  const std::string group = name.empty() ? std::string() : CGX_TRY(named(name));
  const Cgroup cgroup(hierarchies_, group);
  const auto world = shared_.get();
  const auto managed = std::ranges::find(world->groups, group, &ManagedGroup::name);
  const bool waits = managed != world->groups.end() && managed->waits;
  if (!waits) CGX_CHECK(cgroup.require());
  Answers answers{{"Name", std::string(shown(group))}, {"Managed", is_managed(group)}};
  if (managed != world->groups.end()) {
    answers.emplace_back("Description", managed->description);
    answers.emplace_back("Source", managed->source);
    answers.emplace_back("Unit", managed->unit);
    answers.emplace_back("Oom", managed->oom);
    answers.emplace_back("Warnings", managed->warnings);
    answers.emplace_back("Left", managed->left);
    answers.emplace_back("Waits", waits);
  }
  if (waits) return answers;
  if (memory_)
    for (const MemoryThread::Watched& watched : memory_->watched())
      if (watched.group == group) {
        answers.emplace_back("UnderOom", watched.under_oom);
        answers.emplace_back("Paused", watched.paused);
        answers.emplace_back("OomCount", watched.oom);
        answers.emplace_back("OomKillCount", watched.oom_kill);
        answers.emplace_back("MemoryUsage", watched.usage);
      }
  if (const auto pids = tasks_of(cgroup)) answers.emplace_back("Processes", static_cast<std::uint64_t>(pids->size()));
  if (const auto is_frozen = frozen(cgroup)) answers.emplace_back("Frozen", *is_frozen);
  // The limits in force, by the kernel's names.
  for_each_knob([&](const Knob& knob) {
    if (knob.kind != Kind::limit && knob.kind != Kind::protection && knob.kind != Kind::weight) return;
    if (const auto value = read_knob(cgroup, knob); value && *value)
      answers.emplace_back(std::string(knob.name), answer_of(knob, **value));
  });
  return answers;
}

Result<> Daemon::create_group(const std::string& name, const LimitTexts& limits, uid_t owner) {
  if (name.empty()) return bad_value("/", "is the root, which is always there");
  Desired desired{
      .group = CGX_TRY(parse_group_name(name)), .limits = CGX_TRY(limits_of(limits)), .existing = Existing::refuse};
  if (owner != no_owner) desired.owner = cgx::Owner{.uid = owner};
  CGX_CHECK(check_enabling(hierarchies_, desired, owner));
  Transaction transaction(hierarchies_);
  CGX_CHECK(transaction.apply(desired));
  transaction.commit();
  made_.insert(desired.group);
  log_->info(fmt::format("{} is made, as asked for", desired.group), {{"group", desired.group}});
  made_changed();
  return {};
}

Result<> Daemon::set_limits(const std::string& name, const LimitTexts& limits, uid_t owner) {
  const Desired desired{.group = CGX_TRY(named(name)),
                        .limits = CGX_TRY(limits_of(limits)),
                        .existing = owner == no_owner ? Existing::require : Existing::follow};
  CGX_CHECK(check_enabling(hierarchies_, desired, owner));
  if (slices_ && !slices_->unit_of(desired.group).empty()) return slices_->changed(desired.group, desired.limits);
  Transaction transaction(hierarchies_);
  CGX_CHECK(transaction.apply(desired));
  transaction.commit();
  for (const Limit& limit : desired.limits) {
    keeper_.override_limit(desired.group, limit);
    const std::string knob(limit.knob != nullptr ? limit.knob->name : limit.file);
    log_->info(fmt::format("{} {} is {}, as asked for", desired.group, knob, limit.given),
               {{"group", desired.group}, {"knob", knob}});
  }
  return {};
}

Result<> Daemon::delete_group(const std::string& name) {
  const std::string group = CGX_TRY(named(name));
  if (const policy::GroupPolicy* const policy = keeper_.policies().find(group))
    return std::unexpected(Error{.code = EBUSY,
                                 .what = fmt::format("is in the policy {}:{}", policy->place.file, policy->place.line),
                                 .group = group,
                                 .hint = "take it out of there, and it goes"});
  const Cgroup cgroup(hierarchies_, group);
  CGX_CHECK(cgroup.require());
  if (const auto unit = systemd_unit_of(hierarchies_, group))
    return std::unexpected(refuse_for_systemd(group, *unit, nullptr, ""));
  CGX_CHECK(remove_group(cgroup, Below::keep));
  made_.erase(group);
  log_->info(fmt::format("{} is removed, as asked for", group), {{"group", group}});
  made_changed();
  return {};
}

void Daemon::made_changed() {
  std::string text;
  for (const std::string& group : made_) text += group + "\n";
  if (const auto done = state_.write(made_file, text); !done) log_->warning(done.error().text());
  hand_out();
  picture();
}

Result<> Daemon::attach_process(const std::string& name, pid_t pid) {
  const Cgroup cgroup(hierarchies_, CGX_TRY(named(name)));
  CGX_CHECK(cgroup.require());
  CGX_CHECK(check_spared(cgroup, {&pid, 1}));
  if (slices_ && !slices_->unit_of(cgroup.name()).empty()) return slices_->attach(cgroup.name(), pid);
  if (const auto unit = systemd_unit_of(hierarchies_, cgroup.name()))
    return std::unexpected(refuse_for_systemd(cgroup.name(), *unit, nullptr, ""));
  return attach(cgroup, pid);
}

Result<> Daemon::freeze(const std::string& name) {
  return cgx::freeze(Cgroup(hierarchies_, CGX_TRY(named(name))), deadline());
}

Result<> Daemon::thaw(const std::string& name) {
  return cgx::thaw(Cgroup(hierarchies_, CGX_TRY(named(name))), deadline());
}

Result<std::uint64_t> Daemon::kill(const std::string& name, int signal) {
  const Cgroup cgroup(hierarchies_, CGX_TRY(named(name)));
  CGX_CHECK(cgroup.require());
  const std::size_t count = CGX_TRY(kill_all(cgroup, signal, deadline()));
  log_->info(
      fmt::format(
          "{}: signal {} to {}, as asked for", cgroup.name(), signal, sys::counted(count, "process", "processes")),
      {{"group", cgroup.name()}});
  return static_cast<std::uint64_t>(count);
}

Result<std::vector<std::string>> Daemon::apply(const std::string& yaml) {
  Keeper::Outcome outcome = keeper_.request(yaml);
  std::vector<std::string> lines = lines_of(outcome.changes);
  CGX_CHECK(settle(outcome, "a request"));
  tell_status();
  return lines;
}

Result<std::vector<std::string>> Daemon::plan(const std::string& yaml) { return lines_of(CGX_TRY(keeper_.plan(yaml))); }

Result<> Daemon::reload() {
  auto done = settle(keeper_.reload(), "a request");
  tell_status();
  return done;
}

std::vector<Decision> Daemon::history(std::size_t most) { return history_.last(most); }

Result<std::vector<std::string>> Daemon::explain(const std::string& name) {
  if (!memory_) return fail(ENOTSUP, "there are no memory events on this host");
  const std::string group = name.empty() ? std::string() : CGX_TRY(named(name));
  std::vector<std::string> lines;
  for (const MemoryThread::Explained& step : CGX_TRY(memory_->explain(group)))
    lines.push_back(step.victim == 0 ? fmt::format("{}: {}", step.step, step.what)
                                     : fmt::format("{}: {}: {} ({})", step.step, step.what, step.victim, step.command));
  return lines;
}

Answers Daemon::status() {
  const auto world = shared_.get();
  Answers answers{
      {"Version", std::string(CGX_VERSION)},
      {"PolicyValid", world->policy_valid},
      {"Problems", world->problems},
      {"Groups", static_cast<std::uint64_t>(world->groups.size())},
      {"Rules", static_cast<std::uint64_t>(keeper_.policies().rules.size())},
      {"Reloads", world->reloads},
      {"LastReload",
       static_cast<std::uint64_t>(
           std::chrono::duration_cast<std::chrono::microseconds>(world->last_reload.time_since_epoch()).count())},
      {"Drifts", drifts_},
      {"Manager", world->manager},
      {"Layout", std::string(hierarchies_.layout())},
      {"StateDirectory", state_.path()},
      {"Metrics", server_ ? server_->address() : std::string("off")},
      {"MemoryEvents", memory_ != nullptr},
      {"Decisions", static_cast<std::uint64_t>(history_.size())}};
  if (memory_) answers.emplace_back("Watched", static_cast<std::uint64_t>(memory_->watched().size()));
  if (sorter_) {
    const Sorter::Stats stats = sorter_->stats();
    answers.emplace_back("RulesEvents", stats.events);
    answers.emplace_back("RulesMoved", stats.moved);
    answers.emplace_back("RulesFailed", stats.failed);
    answers.emplace_back("RulesLost", stats.lost);
    answers.emplace_back("RulesRescans", stats.rescans);
  }
  std::vector<std::string> warnings;
  for (const auto& [group, text] : keeper_.warnings()) warnings.push_back(text);
  answers.emplace_back("Warnings", std::move(warnings));
  std::vector<std::string> waiting;
  std::vector<std::string> left;
  for (const ManagedGroup& group : world->groups) {
    if (group.waits) waiting.push_back(group.name);
    for (const std::string& key : group.left) left.push_back(fmt::format("{} {}", group.name, key));
  }
  answers.emplace_back("Waiting", std::move(waiting));
  answers.emplace_back("Left", std::move(left));
  return answers;
}

bool Daemon::policy_valid() { return keeper_.valid(); }
std::chrono::system_clock::time_point Daemon::last_reload() { return keeper_.last_reload(); }

bool Daemon::owns(uid_t user, const std::string& name, Part part) {
  // Where the name stands for a slice, the group that would be changed is systemd's.
  const std::string placed = keeper_.place(name);
  if (name.empty() || (placed != name && is_there(Cgroup(hierarchies_, placed)).value_or(true))) return false;
  const Cgroup cgroup(hierarchies_, name);
  // If a group cannot be looked at, its owner is unknown, and the owner of a group above may be another user.
  const auto there = is_there(cgroup);
  if (!there) return false;
  const bool everywhere = part == Part::fresh || !*there;
  for (const Hierarchy& h : hierarchies_.all()) {
    const auto own = cgroup.dir(h);
    if (!own && !says_absent(own.error())) return false;
    if (!everywhere && !own) continue;
    std::string_view group = part == Part::itself ? std::string_view(name) : parent_of(name);
    struct stat status{};
    for (;; group = parent_of(group)) {
      const Cgroup nearest(hierarchies_, std::string(group));
      const auto dir = nearest.dir(h);
      if (dir && fstat(*dir, &status) == 0) break;
      // A group of root's within a delegated subtree is root's alone, so the nearest one decides.
      if (dir || dir.error().code != ENOENT || group.empty()) return false;
    }
    if (status.st_uid != user) return false;
  }
  return true;
}

}  // namespace cgx::daemon
