// SPDX-License-Identifier: Apache-2.0
// cgx stat. At a terminal a block a group; into a pipe lines of GROUP, NAME and VALUE with tabs between them, values in
// base units, and as a fourth field what a counter grew by in a second where there was an earlier reading.
//
// --json prints one object a reading, each on one line (several with --interval):
//   {"time": 1700000000.123456,          seconds since 1970
//    "version": "v1"|"v2"|"hybrid",
//    "groups": [{
//      "name": "web/api",                "/" is the root
//      "stats": {"cpu.usage_usec": 1234, ...},   by the names of the rows of model/stats, in base units: bytes,
//                                        microseconds, pieces, and percent for pressure averages; what the kernel does
//                                        not count is left out
//      "rates": {"cpu.usage_usec": 5.0, ...},    counters only: growth a second since the reading before (from the
//                                        second reading on, and with --perf)
//      "io": [{"device": "8:0", "name": "sda", "rbytes": 1, "wbytes": 1, "rios": 1, "wios": 1, "dbytes": 1, "dios": 1,
//              "rates": {"rbytes": 1.0, ...}}],  a device that nobody counts is left out
//      "perf": [{"event": "cycles", "supported": true, "count": 1, "share": 1.0},   with --perf: since the reading
//               {"event": "cycles", "supported": false, "reason": "..."}]           before; share of the time counted
//    }]}
#include <algorithm>
#include <cerrno>
#include <map>
#include <thread>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cgx/cgroupfs/walk.h"
#include "cgx/sys/text.h"

#include "command.h"
#include "usage_text.h"

namespace cgx::tool {
namespace {

using Clock = std::chrono::steady_clock;

struct Plan {
  std::vector<std::string> groups;
  std::chrono::microseconds interval{0};
  std::uint64_t count = 1;
  bool recursive = false;
  bool perf = false;
  bool json = false;
};

Result<Plan> plan_of(const Hierarchies& hierarchies, const Call& call) {
  Plan plan{.recursive = call.on("recursive"), .perf = call.on("perf"), .json = call.json};
  for (const std::string& word : call.words) {
    std::string name = CGX_TRY(existing_name(hierarchies, word));
    if (std::ranges::find(plan.groups, name) == plan.groups.end()) plan.groups.push_back(std::move(name));
  }
  if (call.on("interval")) {
    const std::uint64_t usec = CGX_TRY(located(sys::parse_time(call.get("interval")), "", "--interval"));
    if (usec < 1000 || usec > 86'400'000'000)
      return located(Result<Plan>(bad_value(call.get("interval"), "is not between 1ms and 24h")), "", "--interval");
    plan.interval = std::chrono::microseconds(usec);
    plan.count = plan.perf ? 1 : sys::unlimited;
  } else if (plan.perf) {
    plan.interval = std::chrono::seconds(1);
  }
  if (call.on("count")) {
    if (plan.interval.count() == 0)
      return located(Result<Plan>(bad_value(call.get("count"), "needs --interval TIME")), "", "--count");
    plan.count = CGX_TRY(located(sys::parse_u64(call.get("count"), 1), "", "--count"));
  }
  return plan;
}

using Readings = std::vector<std::pair<std::string, Usage>>;
using Counters = std::map<std::string, PerfCounters>;

// The named groups, and with -r those below, each once. A group that went away is left out; unless `first`, when a name
// that is not there is the user's mistake.
Result<Readings> read_groups(const Hierarchies& hierarchies, Sampler& sampler, const Plan& plan, bool first) {
  Readings readings;
  const auto add = [&](const std::string& name, Result<Usage> usage, bool must) -> Result<bool> {
    if (usage) {
      readings.emplace_back(name, std::move(*usage));
      return true;
    }
    if (usage.error().code != ENOENT || must) return std::unexpected(usage.error());
    return false;
  };
  for (const std::string& name : plan.groups) {
    if (!CGX_TRY(add(name, sampler.read(name), first)) || !plan.recursive) continue;
    const auto below = walk(Cgroup(hierarchies, name), Depth::all);
    if (!below && below.error().code != ENOENT) return std::unexpected(below.error());
    if (below)
      for (const Listed& inner : *below) CGX_CHECK(add(inner.name, sampler.read(inner), false));
  }
  if (plan.recursive && plan.groups.size() > 1) {
    // `stat web web/api -r` names a group twice.
    std::ranges::sort(readings, {}, &Readings::value_type::first);
    const auto twice = std::ranges::unique(readings, {}, &Readings::value_type::first);
    readings.erase(twice.begin(), twice.end());
  }
  return readings;
}

// A descriptor an event, CPU and group: more than the usual 1024.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);  // without it EMFILE says what to do
}

Result<Counters> open_counters(const Hierarchies& hierarchies, const Readings& readings) {
  raise_descriptor_limit();
  Counters counters;
  for (const auto& [name, usage] : readings)
    counters.emplace(name, CGX_TRY(PerfCounters::open(Cgroup(hierarchies, name))));
  return counters;
}

Result<> show(
    const Hierarchies& hierarchies, const Plan& plan, const Readings& now, const Readings& before, Counters& counters) {
  std::map<std::string_view, const Usage*> earlier;
  for (const auto& [name, usage] : before) earlier.emplace(name, &usage);
  sys::JsonWriter json;
  const bool terminal = isatty(STDOUT_FILENO) == 1;
  const bool colours = colour();
  std::string text;
  if (plan.json)
    json.open_object()
        .key("time")
        .real(wall_clock())
        .key("version")
        .string(hierarchies.layout())
        .key("groups")
        .open_array();
  for (const auto& [name, usage] : now) {
    const auto old = earlier.find(name);
    std::vector<PerfCount> perf;
    if (const auto c = counters.find(name); c != counters.end()) perf = CGX_TRY(located(c->second.read(), shown(name)));
    const Shot shot{name, &usage, old == earlier.end() ? nullptr : old->second, perf};
    if (plan.json) {
      json.open_object().key("name").string(shown(name));
      write_usage(json, shot);
      json.close_object();
    } else {
      text += terminal ? usage_block(shot, colours) : usage_lines(shot);
    }
  }
  if (plan.json) text = json.close_array().close_object().take() + "\n";
  print(text);
  return {};
}

}  // namespace

Result<int> run_stat(const Call& call) {
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  const Plan plan = CGX_TRY(plan_of(hierarchies, call));
  Sampler sampler = CGX_TRY(Sampler::create(hierarchies));
  Readings before;
  Counters counters;
  Clock::time_point next = Clock::now();
  if (plan.perf) {
    before = CGX_TRY(read_groups(hierarchies, sampler, plan, true));
    counters = CGX_TRY(open_counters(hierarchies, before));
    next = Clock::now() + plan.interval;
  }
  for (std::uint64_t i = 0; i < plan.count; ++i) {
    std::this_thread::sleep_until(next);
    Readings now = CGX_TRY(read_groups(hierarchies, sampler, plan, i == 0 && !plan.perf));
    if (now.empty()) break;  // all groups are gone
    CGX_CHECK(show(hierarchies, plan, now, before, counters));
    // What was late once is not made up for by readings that follow each other at once.
    next = std::max(next + plan.interval, Clock::now());
    before = std::move(now);
  }
  return 0;
}

}  // namespace cgx::tool
