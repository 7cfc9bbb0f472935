// SPDX-License-Identifier: Apache-2.0
// Every row of the knobs that this host backs is written to a real group, read back, applied again without a step, and
// taken back. One result a knob, on stdout.
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/change/plan.h"
#include "cgx/sys/text.h"

#include "groups.h"
#include "scratch.h"
#include "skip.h"

namespace knob_test {

namespace {

using namespace cgx;
using Texts = std::vector<std::string>;

std::string huge_size() {
  for (const char* const kb : {"2048", "1048576", "64"})
    if (access(fmt::format("/sys/kernel/mm/hugepages/hugepages-{}kB", kb).c_str(), F_OK) == 0)
      return fmt::format("{}k", kb);
  return {};
}

// The first resource that the root's misc.capacity names.
std::string misc_resource(const Hierarchies& hierarchies) {
  const Hierarchy* h = hierarchies.of(Controller::misc);
  if (h == nullptr) return {};
  const std::string text = test::content(h->path("", "misc.capacity"));
  const auto parts = sys::words(text);
  return parts.size() < 2 || text.starts_with('<') ? std::string() : std::string(parts[0]);
}

// Values that say something for a knob, in the order in which they are set; empty: none on this host, for `why`.
Texts values_of(const Knob& knob, const Home& home, const Hierarchies& hierarchies, std::string& why) {
  const bool v1 = home.hierarchy->version() == Version::v1;
  const std::map<std::string_view, Texts> special{
      {"memory.use_hierarchy", {"1"}},
      {"memory.move_charge_at_immigrate", {"0"}},
      {"cgroup.kill", {"1"}},
      {"memory.force_empty", {"0"}},
      {"memory.reclaim", {"4096"}},
      {"blkio.reset_stats", {"1"}},
      {"cpuacct.usage", {"0"}},
      {"cpuset.cpus.partition", {"member"}},
      {"cgroup.type", {"threaded"}},
      {"memory.kmem.limit_in_bytes", {"max"}},  // others are taken and ignored by kernels since 5.11
      {"io.prio.class", {"restrict-to-be", "idle", "no-change"}},
      {"cpu.uclamp.min", {"10.00", "0.00"}},
      {"freezer.state", {"FROZEN", "THAWED"}},
      {"cpu.weight.nice", {"5", "-20", "0"}},
      {"cpuset.sched_relax_domain_level", {"1", "-1"}},
      {"memory.oom", v1 ? Texts{"pause", "kill"} : Texts{"group", "kill"}},
  };
  if (knob.name == "cgroup.subtree_control") {
    const std::string given = test::content(home.hierarchy->path("", "cgroup.subtree_control"));
    const auto names = sys::words(given);
    why = "the root of cgroup2 gives no controller to groups";
    if (names.empty()) return {};
    return {fmt::format("+{}", names[0]), fmt::format("-{}", names[0])};
  }
  if (const auto at = special.find(knob.name); at != special.end()) return at->second;
  if (knob.kind == Kind::stat) return {"0"};  // v1's counters, reset
  const std::string disk = test::any_disk();
  const std::string page = huge_size();
  switch (knob.format) {
    case Format::size:
      return {"64M", "96M", "max"};
    case Format::count:
      return {"100", "1", "max"};
    case Format::number:
      return {std::to_string(knob.low), std::to_string((knob.low + knob.high) / 3), std::to_string(knob.high)};
    case Format::usec:
      return {"10ms", "0", "1ms"};
    case Format::flag:
      return {"1", "0"};
    case Format::quota:
      return {"50%", "30000/60000", "200%", "max", "1.5"};
    case Format::rt:
      return {"2ms/1s", "1ms/500ms"};
    case Format::list:
      return {"0"};
    case Format::percent:
      return {"25.50", "max"};
    case Format::classid:
      return {"10:1", "ffff:ffff", "0"};
    case Format::if_count:
      return {"lo=5", "lo=0"};
    case Format::device_rules:
      return {"deny c 1:5 w", "deny a", "allow c 1:3 rw", "allow a"};
    case Format::io_max:
    case Format::io_latency:
    case Format::io_weight:
      if (knob.format == Format::io_weight) return {"50", "500"};
      if (disk.empty()) break;
      if (knob.format == Format::io_latency) return {disk + ":10ms"};
      return {disk + ":rbps=1M,wiops=100", disk + ":rbps=2M", disk + ":rbps=max,wiops=max"};
    case Format::hugetlb:
      if (page.empty()) break;
      return {page + "=64M", page + "=0", page + "=max"};
    case Format::key_count:
      if (const std::string name = misc_resource(hierarchies); !name.empty()) return {name + "=1", name + "=max"};
      why = "this machine has no such resource";
      return {};
    case Format::dev_key_count:
      why = "this machine has no RDMA device";
      return {};
    default:
      why = fmt::format("no value for {} is known to be taken everywhere", knob.name);
      return {};
  }
  why = "this machine has no such device";
  return {};
}

// What has to be in force before the knob can be set.
std::vector<Limit> before_it(const Knob& knob, const Home& home) {
  if (knob.name == "cpu.max.burst") return {test::limit("cpu-quota", "50000/100000")};
  if (knob.name == "memory.swap.max" || knob.name == "memory.memsw.limit_in_bytes") return {test::limit("mem", "32M")};
  if (knob.name.starts_with("cpuset.") && home.hierarchy->version() == Version::v2) return {test::limit("cpus", "0-1")};
  return {};
}

// These depend on siblings and parents that are not ours: a refusal that is explained is as good.
bool may_be_refused(const Knob& knob) {
  return knob.name == "cpuset.cpu_exclusive" || knob.name == "cpuset.mem_exclusive" ||
         knob.name == "cpuset.cpus.exclusive" || knob.name == "memory.reclaim" || knob.name == "memory.use_hierarchy";
}

std::string missing_file(const Cgroup& group, const Home& home) {
  const Backing& b = *home.backing;
  if (b.files[0].starts_with('@')) return {};
  const int dir = *group.dir(*home.hierarchy);
  if (b.files[0].find('*') != std::string_view::npos) return {};
  if (sys::exists(dir, b.files[0])) return {};
  if (b.files[0].ends_with("io.weight") || b.files[0] == "blkio.weight")
    if (sys::exists(dir, b.files[1])) return {};
  const bool at_root = access(home.hierarchy->path("", b.files[0]).c_str(), F_OK) == 0;
  return fmt::format("{} {}", at_root ? "only the root has" : "this kernel has no", b.files[0]);
}

// One value; the reason of a failure, empty: none.
std::string check_value(const Hierarchies& hierarchies,
                        const std::string& name,
                        const Knob& knob,
                        const Home& home,
                        const std::string& text,
                        std::string& refused) {
  const Limit wanted = test::limit(knob.name, text);
  const Desired desired{.group = name, .limits = {wanted}};
  const test::Picture before = test::picture(hierarchies, name);
  Transaction transaction(hierarchies);
  if (const auto done = transaction.apply(desired); !done) {
    if (may_be_refused(knob) && !done.error().what.empty()) {
      refused = done.error().text();
      return {};
    }
    return done.error().text();
  }
  const Cgroup group(hierarchies, name);
  const bool command = knob.kind == Kind::command || knob.kind == Kind::stat;
  if (!command) {
    const auto now = read_knob(group, knob);
    if (!now) return now.error().text();
    if (!*now) return "has no value afterwards";
    if (knob.format == Format::size || knob.format == Format::number || knob.format == Format::list ||
        knob.format == Format::word || knob.format == Format::count)
      if (!(**now == wanted.value)) return fmt::format("reads back as {}", exact(knob, **now));
    // What it shows can be given again and means the same.
    if (home.backing->encode != nullptr && std::holds_alternative<std::uint64_t>(**now)) {
      const auto again = parse_value(knob, exact(knob, **now), {});
      if (!again || !(*again == **now)) return fmt::format("{} does not parse to the same", exact(knob, **now));
    }
    const bool raw_text = knob.format == Format::text && knob.name == "cgroup.subtree_control";
    const auto plan = Plan::make(hierarchies, desired);
    if (!plan) return plan.error().text();
    if (!plan->text().empty() && !raw_text) return fmt::format("a second time makes steps: {}", plan->text());
  }
  if (knob.name == "cgroup.type") return {};  // no way back
  const auto left = transaction.undo();
  if (!left.empty()) return left.front();
  const std::string change = test::difference(before, test::picture(hierarchies, name));
  if (!change.empty() && !command) return "undo: " + change;
  // And it stays, for the next value.
  Transaction stays(hierarchies);
  if (const auto done = stays.apply(desired); !done) return done.error().text();
  return {};
}

}  // namespace

TEST_CASE("knobs: every one that this host backs is written, read back and taken back") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const auto found = Hierarchies::discover();
  REQUIRE(found.has_value());
  const Hierarchies& hierarchies = *found;
  unsigned tried = 0;
  for_each_knob([&](const Knob& knob) {
    const std::string label = fmt::format("knob {}", knob.name);
    const auto skip = [&](const std::string& why) { fmt::print("SKIP {}: {}\n", label, why); };
    const auto home = home_of(hierarchies, knob);
    const bool writable = knob.v1.encode != nullptr || knob.v2.encode != nullptr;
    if (!writable) return;
    if (!home) return skip(home.error().what);
    if (home->backing->encode == nullptr) return;
    if (home->backing->files[0].starts_with("@net")) return skip("is no file but traffic control, tested apart");
    const test::TestGroup top(hierarchies);
    Transaction base(hierarchies);
    Desired first{.group = top.name(), .limits = before_it(knob, *home), .existing = Existing::refuse};
    if (home->backing->controller != Controller::core) first.need.add(home->backing->controller);
    if (knob.name == "cgroup.subtree_control") {
      first.need.add(Controller::pids);
      first.need.add(Controller::hugetlb);
    }
    if (const auto done = base.apply(first); !done) {
      if (done.error().code == ENOENT) return skip(done.error().text());
      FAIL_CHECK(label, ": ", done.error().text());
      return;
    }
    base.commit();
    if (const std::string why = missing_file(Cgroup(hierarchies, top.name()), *home); !why.empty()) return skip(why);
    std::string why;
    const Texts texts = values_of(knob, *home, hierarchies, why);
    if (texts.empty()) return skip(why);
    std::string refused;
    bool failed = false;
    for (const std::string& text : texts) {
      const std::string wrong = check_value(hierarchies, top.name(), knob, *home, text, refused);
      CHECK_MESSAGE(wrong.empty(), label, " <- ", text, ": ", wrong);
      failed = failed || !wrong.empty();
    }
    ++tried;
    if (failed) return;
    if (!refused.empty()) return skip("refused here, with a reason: " + refused);
    fmt::print("PASS {}\n", label);
  });
  (void)std::fflush(stdout);
  CHECK(tried > 20);
}

}  // namespace knob_test
