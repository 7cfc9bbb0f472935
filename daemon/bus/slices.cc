// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/slices.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

namespace cgx::daemon {
namespace {

constexpr const char* state_file = "/slices";

std::vector<Limit> limits_of(const policy::GroupPolicy& group) {
  std::vector<Limit> limits;
  for (const policy::PolicyLimit& limit : group.limits) limits.push_back(limit.limit);
  return limits;
}

// Whether the limit is among those that are left for files.
bool stays(const std::vector<Limit>& files, const Limit& limit) {
  return std::ranges::any_of(files, [&](const Limit& f) { return f.knob == limit.knob && f.file == limit.file; });
}

Result<> rename(std::string& group) {
  if (!group.empty()) group = CGX_TRY(slice_of(group)).group;
  return {};
}

Result<> rename_in(policy::Action& action) {
  if (auto* freeze = std::get_if<policy::Freeze>(&action.what)) return rename(freeze->group);
  if (auto* thaw = std::get_if<policy::Thaw>(&action.what)) return rename(thaw->group);
  if (auto* set = std::get_if<policy::Set>(&action.what)) return rename(set->group);
  return {};
}

}  // namespace

Result<policy::Policies> on_slices(const Hierarchies& hierarchies, policy::Policies policies) {
  for (policy::Rule& rule : policies.rules)
    if (policies.find(rule.target) != nullptr) CGX_CHECK(rename(rule.target));
  for (policy::GroupPolicy& group : policies.groups) {
    const std::vector<Limit> limits = limits_of(group);
    const auto divided = located(divide(hierarchies, limits), group.name);
    if (!divided) return std::unexpected(divided.error());
    std::erase_if(group.limits, [&](const policy::PolicyLimit& l) { return !stays(divided->files, l.limit); });
    if (group.owner)
      return std::unexpected(Error{.code = ENOTSUP,
                                   .what = "is a slice of systemd, which cannot be given to a user",
                                   .group = group.name,
                                   .knob = "owner",
                                   .value = group.owner_text,
                                   .hint = "a service or scope in it can, by Delegate= and User="});
    CGX_CHECK(rename(group.name));
    for (policy::Action& action : group.on_oom) CGX_CHECK(rename_in(action));
    for (policy::PressureRule& rule : group.on_pressure)
      for (policy::Action& action : rule.actions) CGX_CHECK(rename_in(action));
  }
  return policies;
}

Slices::Slices(const Hierarchies& hierarchies, std::string state_dir)
    : hierarchies_(&hierarchies), state_dir_(std::move(state_dir)) {
  if (const auto text = sys::read_path(state_dir_ + state_file))
    for (const std::string_view line : sys::lines(*text))
      if (!line.empty()) made_.emplace_back(line);
}

void Slices::keep() const {
  std::string text;
  for (const std::string& group : made_) text += group + "\n";
  const std::string path = state_dir_ + state_file;
  const sys::Fd file(::open((path + ".new").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  // Where it cannot be kept, slices that no policy names any more stay after a restart: no reason to fail.
  if (file.valid() && write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()))
    (void)::rename((path + ".new").c_str(), path.c_str());
}

Result<SystemdManager*> Slices::manager() {
  if (!manager_ || !manager_->connected()) manager_ = CGX_TRY(SystemdManager::connect());
  return manager_.get();
}

Result<> Slices::put_all(const policy::Policies& policies) {
  SystemdManager* systemd = CGX_TRY(manager());
  for (const policy::GroupPolicy& group : policies.groups) {
    const std::vector<Limit> limits = limits_of(group);
    // The files are for those who apply the rest of the policy.
    std::vector<Limit> theirs;
    const auto divided = divide(*hierarchies_, limits);
    if (!divided) return located(Result<>(std::unexpected(divided.error())), group.name);
    for (const Limit& limit : limits)
      if (!stays(divided->files, limit)) theirs.push_back(limit);
    // Kept first: where this ends here, the slice is known to be ours.
    if (std::ranges::find(made_, group.name) == made_.end()) {
      made_.push_back(group.name);
      keep();
    }
    CGX_CHECK(systemd->put(*hierarchies_, group.name, theirs, group.description));
  }
  return {};
}

Result<policy::Policies> Slices::put(const policy::Policies& policies) {
  policy::Policies left = CGX_TRY(on_slices(*hierarchies_, policies));
  if (auto done = put_all(policies); !done) {
    (void)put_all(policies_);  // the cause is what is told
    return std::unexpected(done.error());
  }
  policies_ = policies;
  SystemdManager* systemd = CGX_TRY(manager());
  // Children before parents.
  for (std::size_t i = made_.size(); i-- > 0;) {
    if (policies.find(made_[i]) != nullptr) continue;
    const bool above = std::ranges::any_of(
        policies.groups, [&](const policy::GroupPolicy& g) { return g.name.starts_with(made_[i] + "/"); });
    // One that is above others, or not empty, stays for them, without limits.
    if (above || !systemd->remove(*hierarchies_, made_[i]))
      CGX_CHECK(systemd->put(*hierarchies_, made_[i], {}, ""));
    else
      made_.erase(made_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  keep();
  return left;
}

std::string Slices::unit_of(const std::string& group) const {
  for (const std::string& made : made_)
    if (const auto slice = slice_of(made); slice && slice->group == group) return slice->unit;
  return {};
}

Result<> Slices::changed(const std::string& group, std::span<const Limit> limits) {
  const std::string unit = unit_of(group);
  if (unit.empty()) return {};
  const Divided divided = CGX_TRY(located(divide(*hierarchies_, limits), group));
  if (divided.properties.empty()) return {};
  SystemdManager* systemd = CGX_TRY(manager());
  return located(systemd->set_properties(unit, divided.properties), group);
}

Result<> Slices::attach(const std::string& group, pid_t pid) {
  for (const std::string& made : made_)
    if (const auto slice = slice_of(made); slice && slice->group == group) {
      SystemdManager* systemd = CGX_TRY(manager());
      return systemd->attach(made, std::span(&pid, 1));
    }
  return fail(ENOENT, "is no slice of a policy");
}

}  // namespace cgx::daemon
