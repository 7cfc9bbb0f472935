// SPDX-License-Identifier: Apache-2.0
// cgx explain: CPU quota, share, CPUs and memory nodes.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include <fmt/format.h>

#include "cgx/cgroupfs/walk.h"
#include "cgx/sys/text.h"

#include "explain.h"

namespace cgx::tool {
namespace {

constexpr auto measured_over = std::chrono::milliseconds(100);

// CPU time used in nanoseconds. On v1 cpuacct counts it, perhaps in another hierarchy than cpu's.
std::optional<std::uint64_t> cpu_time(Look& look, const Cgroup& group) {
  const Hierarchy* h = group.hierarchies().of(Controller::cpuacct);
  if (h == nullptr) return {};
  if (h->version() == Version::v1) return look.number(group, Controller::cpuacct, "cpuacct.usage");
  const auto usec = sys::keyed_u64(look.text(group, Controller::cpu, "cpu.stat"), "usage_usec");
  return usec ? std::optional(*usec * 1000) : std::nullopt;
}

// CPUs in use by each group of the path, measured; negative: not known.
std::vector<double> cpus_used(Look& look, const std::vector<Cgroup>& path) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::optional<std::uint64_t>> before;
  before.reserve(path.size());
  for (const Cgroup& group : path) before.push_back(cpu_time(look, group));
  std::this_thread::sleep_for(measured_over);
  std::vector<double> used;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const auto now = cpu_time(look, path[i]);
    const double elapsed = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
    used.push_back(before[i] && now && *now >= *before[i] ? static_cast<double>(*now - *before[i]) / elapsed : -1);
  }
  return used;
}

double rounded(double n) { return std::round(n * 1000) / 1000; }

Resource quota_of(Look& look, const std::vector<Cgroup>& path) {
  Resource r{.name = "cpu quota", .unit = "cpus"};
  const std::vector<double> used = cpus_used(look, path);
  if (used.front() >= 0) r.usage = rounded(used.front());
  double least = 0;
  const Knob* knob = find_knob("cpu.max");
  for (std::size_t i = 0; i < path.size(); ++i) {
    const Cgroup& group = path[i];
    const auto value = look.value(group, "cpu.max");
    const auto* quota = value ? std::get_if<sys::Quota>(&*value) : nullptr;
    const std::string stat = look.text(group, Controller::cpu, "cpu.stat");
    if (const auto throttled = sys::keyed_u64(stat, "nr_throttled"); throttled && *throttled != 0) {
      const std::uint64_t usec =
          sys::keyed_u64(stat, "throttled_usec").value_or(sys::keyed_u64(stat, "throttled_time").value_or(0) / 1000);
      happened(r,
               group,
               "cpu.stat",
               throttled,
               fmt::format("periods throttled of {}, {} in all",
                           sys::keyed_u64(stat, "nr_periods").value_or(0),
                           sys::format_time(usec)));
    }
    if (quota == nullptr || quota->quota == sys::unlimited || quota->period == 0) continue;
    const double limit = static_cast<double>(quota->quota) / static_cast<double>(quota->period);
    const double left = used[i] >= 0 ? std::max(0.0, limit - used[i]) : limit;
    if (!std::holds_alternative<std::monostate>(r.limit) && left >= least) continue;
    least = left;
    r.limit = rounded(limit);
    r.group = shown(group.name());
    if (const auto home = home_of(group.hierarchies(), *knob)) {
      r.knob = home->backing->files[0];
      r.file = home->hierarchy->path(group.name(), r.knob);
    }
    r.usage = used[i] >= 0 ? Amount(rounded(used[i])) : Amount();
    r.headroom = used[i] >= 0 ? Amount(rounded(left)) : Amount();
  }
  return r;
}

// The least CPU time that the group gets, in percent of what its parent's group gets, while all its siblings want more.
std::optional<double> share_at(Look& look, const Cgroup& group, std::string_view file) {
  const auto own = look.number(group, Controller::cpu, file);
  if (!own || *own == 0) return {};
  const Cgroup parent(group.hierarchies(), std::string(parent_of(group.name())));
  const Hierarchy* h = group.hierarchies().of(Controller::cpu);
  const auto siblings = look.kept(walk(parent, Depth::children));
  if (!siblings) return {};
  std::uint64_t sum = 0;
  for (const Listed& l : *siblings)
    if (l.in(*h)) sum += look.number(Cgroup(group.hierarchies(), l.name), Controller::cpu, file).value_or(0);
  return sum == 0 ? std::nullopt
                  : std::optional(100.0 * static_cast<double>(*own) / static_cast<double>(std::max(sum, *own)));
}

Resource share_of(Look& look, const std::vector<Cgroup>& path) {
  Resource r{.name = "cpu share", .unit = "percent"};
  const Hierarchy* h = path.front().hierarchies().of(Controller::cpu);
  const std::string_view file = h->version() == Version::v1 ? "cpu.shares" : "cpu.weight";
  double all = 100;
  double least = 0;
  for (const Cgroup& group : path) {
    if (group.name().empty()) continue;
    const auto share = share_at(look, group, file);
    if (!share) continue;
    all *= *share / 100;
    if (!r.group.empty() && *share >= least) continue;
    least = *share;
    r.group = group.name();
    r.knob = file;
    r.file = h->path(group.name(), file);
    r.usage = look.number(group, Controller::cpu, file).value_or(0);
  }
  if (r.group.empty()) return r;
  r.limit = rounded(all);
  r.note =
      fmt::format("of the host's CPU time while all groups beside those of the path want more; least at {} ({} {})",
                  r.group,
                  file,
                  std::get<std::uint64_t>(r.usage));
  r.usage = {};
  for (const Cgroup& group : path)
    if (look.text(group, Controller::cpu, "cpu.idle") == "1") {
      r.limit = 0.0;
      r.group = group.name();
      r.knob = "cpu.idle";
      r.file = h->path(group.name(), r.knob);
      r.note = "runs only when nothing else wants the CPU";
    }
  return r;
}

// v2: a group whose list has nothing that is online, or its parent's, uses what its parent has.
template <class F>
std::string unavailable(Look& look, const std::vector<Cgroup>& path, std::string_view own, F effective) {
  for (const Cgroup& group : path) {
    const auto list = sys::IdSet::parse(look.text(group, Controller::cpuset, own));
    const auto used = sys::IdSet::parse(effective(group));
    if (!list || !used || list->empty() || used->empty() ||
        std::ranges::any_of(list->ids(), [&](unsigned id) { return used->contains(id); }))
      continue;
    return fmt::format("{} {} of {} has nothing that is online in its parent: the group uses its parent's",
                       own,
                       list->text(),
                       group.name());
  }
  return {};
}

// The outermost group that has no more than the innermost one really gets: it is the one that narrows.
Resource set_of(Look& look,
                const std::vector<Cgroup>& path,
                std::string_view name,
                std::string_view own,
                std::string_view effective_v1,
                std::string_view effective_v2) {
  Resource r{.name = std::string(name)};
  const Hierarchy* h = path.front().hierarchies().of(Controller::cpuset);
  const bool v1 = h->version() == Version::v1;
  const auto effective = [&](const Cgroup& group) {
    std::string text = look.text(group, Controller::cpuset, v1 ? effective_v1 : effective_v2);
    return text.empty() && v1 ? look.text(group, Controller::cpuset, own) : text;
  };
  const Cgroup& innermost = path.front();
  if (v1 && !innermost.name().empty() && effective(innermost).empty()) {
    r.group = innermost.name();
    r.knob = own;
    r.file = h->path(r.group, own);
    r.note = "is empty: no process can join";
    return r;
  }
  std::string in_force;
  for (const Cgroup& group : path) {
    const std::string here = effective(group);
    if (here.empty()) continue;  // v2: the controller is not given to this group
    if (in_force.empty()) in_force = here;
    if (here != in_force) break;
    if (group.name().empty()) {
      r.group.clear();  // the root has no more: nothing narrows
      break;
    }
    if (look.text(group, Controller::cpuset, own).empty()) continue;
    r.group = group.name();
  }
  if (r.group.empty() || in_force.empty()) {
    r.group.clear();
    if (!in_force.empty()) r.note = fmt::format("all of the host's: {}", in_force);
    if (const std::string why = unavailable(look, path, own, effective); !why.empty())
      r.note += (r.note.empty() ? "" : "; ") + why;
    return r;
  }
  r.limit = in_force;
  r.knob = own;
  r.file = h->path(r.group, own);
  r.note = unavailable(look, path, own, effective);
  return r;
}

}  // namespace

std::vector<Resource> explain_cpu(const Target& target, Look& look) {
  std::vector<Resource> found;
  if (const auto path = target.path(Controller::cpu); !path.empty()) {
    found.push_back(quota_of(look, path));
    found.push_back(share_of(look, path));
  }
  if (const auto path = target.path(Controller::cpuset); !path.empty()) {
    found.push_back(set_of(look, path, "cpus", "cpuset.cpus", "cpuset.effective_cpus", "cpuset.cpus.effective"));
    found.push_back(
        set_of(look, path, "memory nodes", "cpuset.mems", "cpuset.effective_mems", "cpuset.mems.effective"));
  }
  return found;
}

}  // namespace cgx::tool
