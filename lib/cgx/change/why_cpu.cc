// SPDX-License-Identifier: Apache-2.0
#include "cgx/change/why_cpu.h"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <string_view>

#include <sched.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/change/online.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

// A quota or runtime in a period, in microseconds; no quota: no limit.
struct Share {
  std::optional<std::uint64_t> quota;
  std::uint64_t period = 0;
  [[nodiscard]] bool limits() const { return quota.has_value() && period != 0; }
  [[nodiscard]] double ratio() const { return static_cast<double>(*quota) / static_cast<double>(period); }
};

// The files of `group` as they would be after `step`. A file that cannot be read is nullopt, and proves nothing.
class Files {
 public:
  Files(const Cgroup& group, const Step& step) : group_(&group), step_(&step) {}
  [[nodiscard]] std::optional<std::string> text(std::string_view file) const {
    if (step_->group == group_->name() && step_->file == file) return std::string(sys::trim(step_->text));
    const auto now = group_->read(*step_->hierarchy, file);
    return now ? std::optional(std::string(sys::trim(*now))) : std::nullopt;
  }
  // "-1", "max" and what is no number: nullopt.
  [[nodiscard]] std::optional<std::uint64_t> number(std::string_view file) const {
    const auto value = text(file);
    if (!value) return std::nullopt;
    const auto n = sys::parse_u64(*value);
    return n ? std::optional(*n) : std::nullopt;
  }
  [[nodiscard]] std::optional<Share> v1(std::string_view quota, std::string_view period) const {
    if (!text(quota)) return std::nullopt;
    return Share{number(quota), number(period).value_or(0)};
  }
  [[nodiscard]] std::optional<Share> cpu_max() const {
    const auto both = text("cpu.max");
    if (!both) return std::nullopt;
    const std::size_t space = both->find(' ');
    const auto quota = sys::parse_u64(both->substr(0, space));
    const auto period = sys::parse_u64(space == std::string::npos ? "100000" : both->substr(space + 1));
    return Share{quota ? std::optional(*quota) : std::nullopt, period ? *period : 0};
  }
  [[nodiscard]] std::optional<Share> rt() const { return v1("cpu.rt_runtime_us", "cpu.rt_period_us"); }

 private:
  const Cgroup* group_;
  const Step* step_;
};

Cgroup sibling_of(const Cgroup& group, std::string name) { return {group.hierarchies(), std::move(name)}; }

// The first group at or below the children of `group` whose quota exceeds `most`; groups without a quota of their own
// have that of the group above.
struct Found {
  std::string name;
  double ratio = 0;
};
std::optional<Found> child_above(const Cgroup& group, const Step& step, double most, unsigned depth = 0) {
  const auto children = children_of(group);
  if (!children || depth > 64) return std::nullopt;
  for (const std::string& child : *children) {
    const Cgroup inner = sibling_of(group, child_of(group.name(), child));
    const auto share = Files(inner, step).v1("cpu.cfs_quota_us", "cpu.cfs_period_us");
    if (share && share->limits()) {
      if (share->ratio() > most) return Found{inner.name(), share->ratio()};
    } else if (auto deeper = child_above(inner, step, most, depth + 1)) {
      return deeper;
    }
  }
  return std::nullopt;
}

// tg_set_cfs_bandwidth() and, on v1, tg_cfs_schedulable_down() of kernel/sched/core.c.
std::string why_cfs(const Cgroup& group, const Step& step, std::string& hint) {
  constexpr std::uint64_t least = 1000;
  constexpr std::uint64_t longest = 1'000'000;
  const bool v1 = step.hierarchy->version() == Version::v1;
  const Files files(group, step);
  const auto now = v1 ? files.v1("cpu.cfs_quota_us", "cpu.cfs_period_us") : files.cpu_max();
  if (!now) return {};
  if (group.name().empty()) return "cannot be set on the root group";
  if (now->period < least || now->period > longest)
    return fmt::format("has a period of {} us, outside {} to {} us", now->period, least, longest);
  if (!now->quota) return {};
  if (*now->quota < least) return fmt::format("is a quota of {} us, less than the kernel's {} us", *now->quota, least);
  const std::string_view burst_file = v1 ? "cpu.cfs_burst_us" : "cpu.max.burst";
  if (const auto burst = files.number(burst_file); burst && *burst > *now->quota) {
    if (step.file == burst_file) return fmt::format("exceeds the quota of {} us", *now->quota);
    hint = fmt::format("set the burst with it: --cpu-burst {}us", *now->quota);
    return fmt::format("is a quota of {} us, less than the {} us of {}", *now->quota, *burst, burst_file);
  }
  if (!v1) return {};
  for (std::string_view name = parent_of(group.name());; name = parent_of(name)) {
    const auto above = Files(sibling_of(group, std::string(name)), step).v1("cpu.cfs_quota_us", "cpu.cfs_period_us");
    if (above && above->limits()) {
      if (now->ratio() > above->ratio())
        return fmt::format(
            "is {:.4g}%, more than the {:.4g}% of {} above", now->ratio() * 100, above->ratio() * 100, shown(name));
      break;
    }
    if (name.empty()) break;
  }
  if (const auto child = child_above(group, step, now->ratio()))
    return fmt::format(
        "is {:.4g}%, less than the {:.4g}% of {} below it", now->ratio() * 100, child->ratio * 100, child->name);
  return {};
}

// The real-time shares of the groups in `group` together, and the names of those that have one.
double sum_below(const Cgroup& group, const Step& step, std::string& names) {
  double sum = 0;
  const auto children = children_of(group);
  if (!children) return 0;
  for (const std::string& child : *children) {
    const Cgroup inner = sibling_of(group, child_of(group.name(), child));
    const auto share = Files(inner, step).rt();
    if (!share || !share->limits() || *share->quota == 0) continue;
    sum += share->ratio();
    names += (names.empty() ? "" : ", ") + fmt::format("{} ({} of {} us)", inner.name(), *share->quota, share->period);
  }
  return sum;
}

std::string real_time_processes(const Cgroup& group) {
  std::string names;
  const auto ids = tasks_of(group);
  if (!ids) return names;
  for (const pid_t pid : *ids) {
    const int policy = sched_getscheduler(pid) & ~SCHED_RESET_ON_FORK;
    if (policy != SCHED_FIFO && policy != SCHED_RR) continue;
    const auto comm = sys::read_path(fmt::format("/proc/{}/comm", pid));
    names += fmt::format("{}{} ({})", names.empty() ? "" : ", ", pid, comm ? sys::trim(*comm) : "?");
  }
  return names;
}

// tg_rt_schedulable() of kernel/sched/rt.c. Shares are compared as the kernel does, in parts of 2^20.
std::string why_rt(const Cgroup& group, const Step& step, int code, std::string& hint) {
  const auto parts = [](double ratio) { return static_cast<std::uint64_t>(ratio * (1 << 20)); };
  const auto now = Files(group, step).rt();
  if (!now) return {};
  if (code == EBUSY) {
    const std::string names = now->quota == 0 ? real_time_processes(group) : std::string();
    return names.empty() ? names : "would leave real-time processes of the group without time: " + names;
  }
  if (now->period == 0) return "has a period of 0";
  if (!now->quota) return {};
  if (*now->quota > now->period) return fmt::format("is more than its period of {} us", now->period);
  std::string names;
  if (parts(sum_below(group, step, names)) > parts(now->ratio())) {
    hint = "lower the groups below first, or name them in the same command";
    return "is less than what groups below it have: " + names;
  }
  if (group.name().empty()) return {};
  const Cgroup parent = sibling_of(group, std::string(parent_of(group.name())));
  const auto outer = Files(parent, step).rt();
  names.clear();
  if (outer && outer->limits() && parts(sum_below(parent, step, names)) > parts(outer->ratio()))
    return fmt::format("is more than is left of the {} of {} us of {}, which is shared by {}",
                       *outer->quota,
                       outer->period,
                       shown(parent.name()),
                       names);
  return {};
}

}  // namespace

bool limits_bandwidth(std::string_view file) {
  return file.starts_with("cpu.cfs_") || file.starts_with("cpu.max") || file.starts_with("cpu.rt_");
}

std::string why_bandwidth(const Cgroup& group, const Step& step, int code, std::string& hint) {
  if (step.file.starts_with("cpu.rt_")) return why_rt(group, step, code, hint);
  if (code == EINVAL && limits_bandwidth(step.file)) return why_cfs(group, step, hint);
  return {};
}

std::optional<std::string> all_offline(const Knob& knob, std::string_view list) {
  if (knob.format != Format::list || knob.kind != Kind::limit) return std::nullopt;
  const HostList of = host_list_of(knob);
  const auto wanted = sys::IdSet::parse(list);
  const sys::IdSet online = host_ids(of).online;
  if (!wanted || wanted->empty() || online.empty()) return std::nullopt;
  const auto ids = wanted->ids();
  if (std::ranges::any_of(ids, [&](unsigned id) { return online.contains(id); })) return std::nullopt;
  const bool one = ids.size() == 1;
  const std::string_view what = of == HostList::cpus ? (one ? "CPU" : "CPUs") : (one ? "memory node" : "memory nodes");
  return fmt::format("{} {} {} offline: the group uses what its parent has until {} online",
                     what,
                     wanted->text(),
                     one ? "is" : "are",
                     one ? "it is" : "one of them is");
}

}  // namespace cgx
