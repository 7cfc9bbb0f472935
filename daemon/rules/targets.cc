// SPDX-License-Identifier: Apache-2.0
#include "daemon/rules/targets.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/resource.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/place.h"
#include "cgx/cgroupfs/presence.h"
#include "cgx/cgroupfs/tasks.h"
#include "cgx/change/owner.h"
#include "cgx/change/plan.h"

namespace cgx::daemon {
namespace {

constexpr std::chrono::minutes sweep_pause{1};

// A quarter of the descriptors that this process may have, and not more than a thousand groups.
std::size_t bound(const Hierarchies& hierarchies) {
  rlimit limit{};
  const bool known = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  const std::size_t files = known ? limit.rlim_cur / 4 : 4096;
  return std::clamp<std::size_t>(files / std::max<std::size_t>(hierarchies.all().size(), 1), 4, 1000);
}

}  // namespace

Targets::Targets(const Hierarchies& hierarchies) : hierarchies_(&hierarchies), most_open_(bound(hierarchies)) {}

Result<Targets::Target*> Targets::open(const std::string& name, bool by_template) {
  if (const auto at = by_name_.find(name); at != by_name_.end()) {
    open_.splice(open_.begin(), open_, at->second);
    return &open_.front();
  }
  auto files = open_files(name);
  if (!files && files.error().code == ENOENT) {
    if (by_template && made_.size() >= most_made)
      return std::unexpected(Error{.code = ENOSPC,
                                   .what = fmt::format("rules have made {} groups already", most_made),
                                   .group = name,
                                   .hint = "a target with %p or %c makes a group for each number or name"});
    CGX_CHECK(make(name));
    if (by_template) made_.try_emplace(name);
    files = open_files(name);
  }
  Target target = CGX_TRY(std::move(files));
  while (open_.size() >= most_open_) forget(open_.back().name);
  open_.push_front(std::move(target));
  by_name_[name] = open_.begin();
  return &open_.front();
}

void Targets::forget(const std::string& name) {
  const auto at = by_name_.find(name);
  if (at == by_name_.end()) return;
  const auto target = at->second;
  by_name_.erase(at);
  open_.erase(target);
}

void Targets::forget_all() {
  by_name_.clear();
  open_.clear();
}

Result<> Targets::make(const std::string& name) {
  const Desired desired{
      .group = name, .existing = Existing::allow, .only = CGX_TRY(controllers_above(*hierarchies_, name))};
  Transaction transaction(*hierarchies_);
  CGX_CHECK(transaction.apply(desired));
  transaction.commit();
  return {};
}

Result<Targets::Target> Targets::open_files(const std::string& name) const {
  // A unit's processes are systemd's to place.
  if (const auto unit = systemd_unit_of(*hierarchies_, name))
    return std::unexpected(refuse_for_systemd(name, *unit, nullptr, ""));
  Target target{.name = name, .files = {}};
  const std::string file = name.empty() ? "cgroup.procs" : name + "/cgroup.procs";
  for (const Hierarchy& h : hierarchies_->all()) {
    auto fd = sys::open_beneath(CGX_TRY(h.root()), file, O_WRONLY);
    if (fd)
      target.files.push_back({&h, *std::move(fd)});
    else if (fd.error().code != ENOENT)
      return located(Result<Target>(std::unexpected(fd.error())), shown(name), "cgroup.procs");
  }
  if (target.files.empty()) return fail(ENOENT, "there is no such group");
  return target;
}

bool Targets::occupied(const std::string& name) const {
  const Cgroup group(*hierarchies_, name);
  if (const auto there = is_there(group); there && !*there) return false;
  const auto inside = populated(group);
  const auto below = children_of(group);
  return !inside || *inside || !below || !below->empty();
}

void Targets::sweep(std::chrono::steady_clock::time_point now) {
  if (now - swept_ < sweep_pause) return;
  swept_ = now;
  for (auto made = made_.begin(); made != made_.end();) {
    const std::string& name = made->first;
    if (occupied(name)) {
      made->second.was_empty = false;
      ++made;
      continue;
    }
    if (!made->second.was_empty) {
      made->second.was_empty = true;
      ++made;
      continue;
    }
    // Nobody but this thread moves processes there by rules. Who comes in by other ways makes rmdir fail (EBUSY).
    forget(name);
    if (remove_group(Cgroup(*hierarchies_, name), Below::keep))
      made = made_.erase(made);
    else
      ++made;
  }
}

}  // namespace cgx::daemon
