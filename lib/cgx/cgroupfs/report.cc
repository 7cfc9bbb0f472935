// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/report.h"

#include <array>

#include "cgx/cgroupfs/walk.h"

namespace cgx {
namespace {

constexpr std::array<std::string_view, 15> needed{"cpu.usage_usec",
                                                  "cpu.user_usec",
                                                  "cpu.system_usec",
                                                  "cpu.throttled_usec",
                                                  "cpu.nr_throttled",
                                                  "cpu.nr_periods",
                                                  "memory.peak",
                                                  "memory.limit_hits",
                                                  "memory.oom_kill",
                                                  "memory.pgmajfault",
                                                  "pids.peak",
                                                  "io.rbytes",
                                                  "io.wbytes",
                                                  "io.rios",
                                                  "io.wios"};

using Number = std::optional<std::uint64_t>;

// A counter that went back belongs to a group that was removed and made again: then all of it is of this run.
std::uint64_t difference(std::uint64_t before, std::uint64_t after) { return after >= before ? after - before : after; }

// Kills are counted on v1 in the group that the victim was in, not in those above it.
Result<> add_kills_below(const Hierarchies& hierarchies, std::string_view group, Usage& usage) {
  const StatId id = stat_id("memory.oom_kill");
  const Hierarchy* h = hierarchies.of(Controller::memory);
  const auto own = usage.get(id);
  if (!own || h == nullptr || source(stat_row(id), h->version()).scope == StatScope::subtree) return {};
  constexpr std::array<std::string_view, 1> only{"memory.oom_kill"};
  std::optional<Sampler> sampler;
  std::uint64_t total = *own;
  for (const std::string& name : CGX_TRY(walk_below(hierarchies, group))) {
    if (!sampler) sampler = CGX_TRY(Sampler::create(hierarchies, only));
    if (const auto below = sampler->read(name)) total += below->get(id).value_or(0);
  }
  usage.set(id, total);
  return {};
}

Result<Usage> reading(const Hierarchies& hierarchies, std::string_view group) {
  Sampler sampler = CGX_TRY(Sampler::create(hierarchies, needed));
  Usage usage = CGX_TRY(sampler.read(group));
  CGX_CHECK(add_kills_below(hierarchies, group, usage));
  return usage;
}

}  // namespace

UsageReport make_report(const Usage* before, const Usage& after, std::uint64_t wall_usec) {
  UsageReport report;
  report.wall_usec = wall_usec;
  const auto grown = [&](std::string_view name) -> Number {
    const Number now = after.get(name);
    if (!now || before == nullptr) return now;
    const Number then = before->get(name);
    return then ? Number(difference(*then, *now)) : std::nullopt;
  };
  const auto peak = [&](std::string_view name) -> Number {
    const Number now = after.get(name);
    if (!now || before == nullptr) return now;
    const Number then = before->get(name);
    return then && *now > *then ? now : std::nullopt;
  };
  report.cpu_usec = grown("cpu.usage_usec");
  report.user_usec = grown("cpu.user_usec");
  report.system_usec = grown("cpu.system_usec");
  report.throttled_usec = grown("cpu.throttled_usec");
  report.nr_throttled = grown("cpu.nr_throttled");
  report.nr_periods = grown("cpu.nr_periods");
  report.memory_peak = peak("memory.peak");
  report.pids_peak = peak("pids.peak");
  report.limit_hits = grown("memory.limit_hits");
  report.oom_kills = grown("memory.oom_kill");
  report.major_faults = grown("memory.pgmajfault");
  for (const Usage::Device& device : after.devices()) {
    const auto moved = [&](std::string_view name) {
      const StatId id = stat_id(name);
      const std::uint64_t now = after.get(device, id).value_or(0);
      if (before != nullptr)
        for (const Usage::Device& d : before->devices())
          if (d.device == device.device) return difference(before->get(d, id).value_or(0), now);
      return now;
    };
    const UsageReport::Device d{
        device.device, moved("io.rbytes"), moved("io.wbytes"), moved("io.rios"), moved("io.wios")};
    if (d.rios + d.wios + d.rbytes + d.wbytes > 0) report.io.push_back(d);
  }
  return report;
}

Result<ReportStart> start_report(const Hierarchies& hierarchies, std::string_view group, Counted counted) {
  ReportStart start{.group = std::string(group), .began = {}, .before = std::nullopt};
  if (counted == Counted::from_now) start.before = CGX_TRY(reading(hierarchies, group));
  start.began = std::chrono::steady_clock::now();
  return start;
}

Result<UsageReport> finish_report(const Hierarchies& hierarchies, const ReportStart& start) {
  const auto wall = std::chrono::steady_clock::now() - start.began;
  const Usage after = CGX_TRY(reading(hierarchies, start.group));
  const auto usec = std::chrono::duration_cast<std::chrono::microseconds>(wall).count();
  UsageReport report = make_report(start.before ? &*start.before : nullptr, after, static_cast<std::uint64_t>(usec));
  report.group = start.group;
  return report;
}

}  // namespace cgx
