// SPDX-License-Identifier: Apache-2.0
#include "daemon/keeper.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/change/slice.h"
#include "cgx/sys/text.h"

namespace cgx::daemon {
namespace {

constexpr std::string_view requested_name = "bus";  // the source of what D-Bus has asked for
constexpr std::string_view requested_file = "requested.yaml";
constexpr std::string_view sources_file = "sources";
constexpr std::string_view changed_file = "changed";
// What actions change: raise and its decay, and the tripwire of a pause.
bool is_high(const Limit& limit) { return limit.knob != nullptr && limit.knob->name == "memory.high"; }
bool is_memory_limit(const Limit& limit) {
  return limit.knob != nullptr &&
         (limit.knob->flag == "mem" || limit.knob->flag == "memsw" || limit.knob->flag == "swap" || is_high(limit));
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  for (const std::string_view line : sys::lines(text))
    if (!line.empty()) lines.emplace_back(line);
  return lines;
}

// The file `changed`: a line a group, `FROM TO NAME`; a name alone is what cgxd wrote before it kept the limits.
std::pair<std::string, Raised> changed_of(const std::string& line) {
  const auto parts = sys::split(line, ' ');
  if (parts.size() >= 3)
    if (const auto from = sys::parse_u64(parts[0]), to = sys::parse_u64(parts[1]); from && to)
      return {line.substr(parts[0].size() + parts[1].size() + 2), {.from = *from, .to = *to}};
  return {line, {}};
}

bool below(std::string_view file, std::string_view path) {
  return file == path || (file.starts_with(path) && file.substr(path.size()).starts_with('/'));
}

// The owner's write is seen at the next look only, so two looks in a row have to count.
std::chrono::microseconds contest_of(const Settings& settings) {
  return std::max<std::chrono::microseconds>(std::chrono::minutes(1),
                                             2 * std::chrono::microseconds(settings.drift_check));
}

std::vector<std::string> paths_of(const Settings& settings) {
  std::vector<std::string> paths;
  if (!settings.policy_dir.empty()) paths.push_back(settings.policy_dir);
  for (const std::string& path : settings.policies)
    if (std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(path);
  return paths;
}

policy::Maker maker_of(const Settings& settings) {
  const bool automatic = settings.manager == ManagerChoice::automatic;
  const bool systemd = automatic ? systemd_is_manager() : settings.manager == ManagerChoice::systemd;
  return systemd ? policy::Maker::systemd : policy::Maker::cgx;
}

}  // namespace

policy::Loaded load_policies(const Settings& settings, const std::string& requested, const Hierarchies& hierarchies) {
  std::vector<std::string> there;
  for (std::string& path : paths_of(settings))
    // That nobody has put policies into the directory of every host yet is no mistake.
    if (path != settings.policy_dir || access(path.c_str(), F_OK) == 0 || errno != ENOENT)
      there.push_back(std::move(path));
  policy::Loaded loaded = policy::load(there, policy::From::trusted);
  if (!requested.empty()) {
    policy::Loaded more = policy::load_text(requested, requested_name);
    for (policy::GroupPolicy& group : more.policies.groups) {
      if (const policy::GroupPolicy* const other = loaded.policies.find(group.name)) {
        more.problems.push_back({.place = group.place,
                                 .path = "groups." + group.name,
                                 .what = fmt::format("is in {}:{} already", other->place.file, other->place.line)});
        continue;
      }
      loaded.policies.groups.push_back(std::move(group));
    }
    std::move(more.policies.rules.begin(), more.policies.rules.end(), std::back_inserter(loaded.policies.rules));
    std::move(more.problems.begin(), more.problems.end(), std::back_inserter(loaded.problems));
  }
  policy::check_host(loaded, hierarchies, maker_of(settings));
  return loaded;
}

Keeper::Keeper(const Hierarchies& hierarchies, const StateDir& state, const Settings& settings)
    : hierarchies_(&hierarchies),
      state_(&state),
      settings_(&settings),
      paths_(paths_of(settings)),
      contested_(contest_of(settings)) {}

Result<> Keeper::recall() {
  requested_ = CGX_TRY(state_->read(requested_file));
  former_sources_ = lines_of(CGX_TRY(state_->read(sources_file)));
  for (const std::string& line : lines_of(CGX_TRY(state_->read(changed_file)))) changed_.insert(changed_of(line));
  return {};
}

policy::ApplyOptions Keeper::options() const { return {.state_dir = state_->path(), .lenient = true}; }

std::vector<policy::Source> Keeper::sources(const policy::Policies& policies) const {
  std::vector<policy::Source> sources;
  sources.reserve(paths_.size() + 1 + former_sources_.size());
  for (const std::string& path : paths_) sources.push_back({.name = path, .policies = {}});
  sources.push_back({.name = std::string(requested_name), .policies = {}});
  for (const std::string& name : former_sources_)
    if (std::none_of(sources.begin(), sources.end(), [&](const policy::Source& s) { return s.name == name; }))
      sources.push_back({.name = name, .policies = {}});
  const auto source_of = [&](const policy::Place& place) -> policy::Policies& {
    for (policy::Source& source : sources)
      if (below(place.file, source.name)) return source.policies;
    return sources.front().policies;
  };
  for (const policy::GroupPolicy& group : policies.groups) source_of(group.place).groups.push_back(group);
  for (const policy::Rule& rule : policies.rules) source_of(rule.place).rules.push_back(rule);
  return sources;
}

std::string Keeper::place(const std::string& group) const { return slices_ != nullptr ? Slices::place(group) : group; }

// What the kernel has now, in place of what the policy says; whether that is something else.
bool Keeper::keep_actual(policy::GroupPolicy& group, bool (*which)(const Limit&)) const {
  bool differs = false;
  const Cgroup cgroup(*hierarchies_, place(group.name));
  for (policy::PolicyLimit& wanted : group.limits) {
    if (!which(wanted.limit)) continue;
    const auto actual = read_knob(cgroup, *wanted.limit.knob);
    if (!actual || !*actual || **actual == wanted.limit.value) continue;
    wanted.limit.value = **actual;
    wanted.limit.given = exact(*wanted.limit.knob, **actual);
    differs = true;
  }
  return differs;
}

policy::Policies Keeper::in_force(policy::Policies policies, When when) {
  RaisedLimits still;
  for (policy::GroupPolicy& group : policies.groups) {
    for (policy::PolicyLimit& limit : group.limits) limit.left = group.adopt && contested_.left(group.name, limit.key);
    const std::string placed = place(group.name);
    if (const auto changed = changed_.find(placed); changed != changed_.end() && keep_actual(group, is_memory_limit))
      still.insert(*changed);
    // On v2 the memory thread has its tripwire in memory.high.
    if (when == When::now && group.oom == policy::OomMode::pause) (void)keep_actual(group, is_high);
    const auto overrides = overrides_.find(placed);
    if (overrides == overrides_.end()) continue;
    for (const Limit& limit : overrides->second)
      for (policy::PolicyLimit& wanted : group.limits)
        if (wanted.limit.knob == limit.knob && wanted.limit.file == limit.file) wanted.limit = limit;
  }
  if (still != changed_) {
    changed_ = std::move(still);
    write_changed();
  }
  return policies;
}

Result<policy::Applied> Keeper::carry_out(const policy::Policies& policies) {
  return slices_ != nullptr ? slices_->apply(policies) : policy::apply(*hierarchies_, sources(policies), options());
}

void Keeper::write_changed() {
  std::vector<std::string> lines;
  for (const auto& [group, raised] : changed_) lines.push_back(fmt::format("{} {} {}", raised.from, raised.to, group));
  (void)state_->write(changed_file, joined(lines));
}

// A limit whose value in the policy is another one now is the policy's again.
void Keeper::forget_changes(const policy::Policies& next) {
  for (const policy::GroupPolicy& group : next.groups) {
    const policy::GroupPolicy* const before = loaded_.find(group.name);
    if (before == nullptr) continue;  // also after a restart
    for (const policy::PolicyLimit& limit : group.limits) {
      const auto same = [&](const policy::PolicyLimit& other) {
        return other.key == limit.key && other.limit.value == limit.limit.value;
      };
      if (std::any_of(before->limits.begin(), before->limits.end(), same)) continue;
      if (is_memory_limit(limit.limit)) changed_.erase(place(group.name));
      contested_.forget(group.name, limit.key);
    }
  }
}

// Before the groups are compared: one that comes meanwhile is found by the next look.
void Keeper::look_at_adopted() {
  for (auto& [name, known] : adopted_) {
    auto places = policy::found_in(*hierarchies_, name);
    if (!places || *places == known.places) continue;  // the comparison reports what cannot be looked at
    known = {.places = *std::move(places)};
    contested_.forget(name);
  }
}

// Where the group is; what is known of it where it cannot be looked at.
std::vector<policy::AdoptedIn> Keeper::places_of(const std::string& group) const {
  if (auto places = policy::found_in(*hierarchies_, group)) return *std::move(places);
  const auto known = adopted_.find(group);
  return known != adopted_.end() ? known->second.places : std::vector<policy::AdoptedIn>();
}

void Keeper::settle_adopted(const std::vector<std::string>& unset) {
  for (auto& [name, known] : adopted_)
    known.set = !known.places.empty() && std::find(unset.begin(), unset.end(), name) == unset.end();
}

bool Keeper::adopted_came() const {
  return std::any_of(adopted_.begin(), adopted_.end(), [this](const auto& entry) {
    const auto now = policy::found_in(*hierarchies_, entry.first);
    return now && *now != entry.second.places;
  });
}

std::vector<std::string> Keeper::left_to_owner(const policy::GroupPolicy& group) const {
  std::vector<std::string> keys;
  for (const policy::PolicyLimit& limit : group.limits)
    if (group.adopt && contested_.left(group.name, limit.key)) keys.push_back(limit.key);
  return keys;
}

Keeper::Outcome Keeper::take(policy::Loaded loaded, const std::string& requested) {
  Outcome outcome{.problems = loaded.problems};
  const RaisedLimits changed = changed_;
  const std::map<std::string, std::vector<Limit>> overrides = overrides_;
  const Contested contested = contested_;
  std::map<std::string, Adopted> adopted;
  Result<policy::Applied> applied;
  if (loaded.ok()) {
    forget_changes(loaded.policies);
    for (const policy::GroupPolicy& group : loaded.policies.groups)
      if (group.adopt) adopted.emplace(group.name, Adopted{places_of(group.name)});
    for (const auto& [name, known] : adopted_)
      if (const auto now = adopted.find(name); now == adopted.end() || now->second.places != known.places)
        contested_.forget(name);
    overrides_.clear();
    applied = carry_out(in_force(loaded.policies, When::loading));
    if (!applied) outcome.problems.push_back({.what = applied.error().text(), .hint = applied.error().hint});
  }
  problems_.clear();
  if (!loaded.ok() || !applied) {
    changed_ = changed;
    overrides_ = overrides;
    contested_ = contested;
    for (const policy::Problem& problem : outcome.problems)
      if (!problem.warning) problems_.push_back(problem.text());
    return outcome;
  }
  outcome.ok = true;
  outcome.changes = std::move(applied->changes);
  outcome.notes = std::move(applied->notes);
  adopted_ = std::move(adopted);
  settle_adopted(applied->unset);
  adopted_names_.clear();
  for (const auto& [name, known] : adopted_) adopted_names_.insert(name);
  told_.clear();
  for (policy::Stay& stay : applied->stays) {
    told_.insert(stay.about());
    outcome.problems.push_back({.what = std::move(stay.text), .warning = true});
  }
  loaded_ = std::move(loaded.policies);
  policies_ = slices_ != nullptr ? Slices::placed(loaded_) : loaded_;
  warnings_.clear();
  for (const policy::Problem& problem : outcome.problems) {
    // The group of a warning is the last one that begins before it in its file.
    const policy::GroupPolicy* of = nullptr;
    for (const policy::GroupPolicy& group : policies_.groups)
      if (group.place.file == problem.place.file && group.place.line <= problem.place.line &&
          (of == nullptr || group.place.line >= of->place.line))
        of = &group;
    if (of != nullptr) warnings_.emplace(of->name, problem.text());
  }
  requested_ = requested;
  former_sources_ = paths_;
  Result<> kept;
  if (requested_.empty())
    state_->remove(requested_file);
  else
    kept = state_->write(requested_file, requested_);
  if (kept) kept = state_->write(sources_file, joined(former_sources_));
  if (!kept)
    outcome.problems.push_back({.what = "a restart will not know of this: " + kept.error().text(), .warning = true});
  ++reloads_;
  last_reload_ = std::chrono::system_clock::now();
  return outcome;
}

Keeper::Outcome Keeper::reload() { return take(load_policies(*settings_, requested_, *hierarchies_), requested_); }
Keeper::Outcome Keeper::request(const std::string& yaml) {
  return take(load_policies(*settings_, yaml, *hierarchies_), yaml);
}

Result<std::vector<policy::Change>> Keeper::plan(const std::string& yaml) const {
  const policy::Loaded loaded = load_policies(*settings_, yaml, *hierarchies_);
  for (const policy::Problem& problem : loaded.problems)
    if (!problem.warning) return std::unexpected(Error{.code = EINVAL, .what = problem.text(), .fault = Fault::usage});
  return difference(loaded.policies);
}

Result<std::vector<policy::Change>> Keeper::difference(const policy::Policies& wanted) const {
  if (slices_ != nullptr) return slices_->plan(wanted);
  const auto plan = CGX_TRY(policy::PolicyPlan::make(*hierarchies_, sources(wanted), options()));
  return std::vector<policy::Change>(plan.changes().begin(), plan.changes().end());
}

Result<Keeper::Repairs> Keeper::put_right(Contested::Time now) {
  Repairs repairs;
  // Where the policies of the start are refused, nothing says what would be right.
  if (reloads_ == 0) return repairs;
  look_at_adopted();
  policy::Policies wanted = in_force(loaded_, When::now);
  const std::vector<policy::Change> changes = CGX_TRY(difference(wanted));
  // What has come and needs no limit is set as well.
  if (changes.empty()) settle_adopted({});
  if (changes.empty()) return repairs;
  const auto is_set = [this](const policy::Change& change) {
    const auto adopted = adopted_.find(change.group);
    return adopted == adopted_.end() || adopted->second.set;
  };
  for (const policy::Change& change : changes)
    if (adopted_.contains(change.group) && is_set(change) && contested_.put_back(change.group, change.key, now))
      repairs.left.push_back(change);
  if (!repairs.left.empty()) wanted = in_force(loaded_, When::now);
  policy::Applied applied = CGX_TRY(carry_out(wanted));
  for (policy::Change& change : applied.changes)
    (is_set(change) ? repairs.changes : repairs.adopted).push_back(std::move(change));
  settle_adopted(applied.unset);
  for (policy::Stay& stay : applied.stays)
    if (told_.insert(stay.about()).second) repairs.stays.push_back(std::move(stay));
  return repairs;
}

void Keeper::override_limit(const std::string& group, const Limit& limit) {
  std::vector<Limit>& limits = overrides_[group];
  std::erase_if(limits, [&](const Limit& other) { return other.knob == limit.knob && other.file == limit.file; });
  limits.push_back(limit);
}

void Keeper::changed_by_action(const std::string& group, const Decision& decision) {
  const auto [at, fresh] = changed_.try_emplace(group);
  const Raised before = at->second;
  if (decision.result.view() == "done") {
    if (decision.action.view() == "raise")
      at->second = {.from = before.from != 0 ? before.from : decision.old_value, .to = decision.new_value};
    if (decision.action.view() == "lower") at->second = {};
  }
  if (fresh || at->second != before) write_changed();
}

}  // namespace cgx::daemon
