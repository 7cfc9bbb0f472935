// SPDX-License-Identifier: Apache-2.0
// Plans over trees of plain files that stand in for hierarchies.
#include "cgx/change/plan.h"

#include <cerrno>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/change/online.h"
#include "cgx/policy/apply.h"
#include "cgx/policy/yaml.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

#include "groups.h"
#include "scratch.h"

namespace plan_test {

namespace {
using namespace cgx;
using test::limit;
using test::raw;

class V1Tree {
 public:
  V1Tree() {
    for (const char* const name : {"cpu", "memory", "cpuset"}) tree_.dir(name);
    tree_.file("cpuset/cpuset.cpus", "0-3\n");
    tree_.file("cpuset/cpuset.mems", "0\n");
    std::size_t i = 0;
    for (const auto c : {Controller::cpu, Controller::memory, Controller::cpuset}) {
      Mount m{.version = Version::v1, .dir = tree_.path() + "/" + std::string(row(c).name), .root = "/"};
      m.device = static_cast<unsigned>(++i);
      m.controllers.add(c);
      mounts_.push_back(m);
    }
  }
  void group(std::string_view name, std::string_view mem, std::string_view memsw) {
    for (const char* const h : {"cpu", "memory", "cpuset"}) tree_.dir(fmt::format("{}/{}", h, name));
    put(fmt::format("memory/{}/memory.limit_in_bytes", name), mem);
    put(fmt::format("memory/{}/memory.memsw.limit_in_bytes", name), memsw);
    put(fmt::format("cpu/{}/cpu.cfs_quota_us", name), "50000");
    put(fmt::format("cpu/{}/cpu.cfs_period_us", name), "100000");
    put(fmt::format("cpu/{}/cpu.cfs_burst_us", name), "20000");
    put(fmt::format("cpu/{}/cpu.shares", name), "1024");
    put(fmt::format("cpuset/{}/cpuset.cpus", name), "0");
    put(fmt::format("cpuset/{}/cpuset.mems", name), "0");
  }
  void put(std::string_view file, std::string_view text) { tree_.file(file, std::string(text) + "\n"); }
  // The plan's lines without the place of the tree.
  std::string plan(const Desired& desired) const {
    const Hierarchies h = Hierarchies::of_mounts(mounts_);
    const auto plan = Plan::make(h, desired);
    if (!plan) return "<" + plan.error().text() + ">";
    std::string text = plan->text();
    for (std::size_t at = text.find(tree_.path()); at != std::string::npos; at = text.find(tree_.path()))
      text.erase(at, tree_.path().size() + 1);
    return text;
  }
  std::string set(std::vector<Limit> limits) const { return plan({.group = "g", .limits = std::move(limits)}); }

 private:
  test::ScratchDir tree_;
  std::vector<Mount> mounts_;
};

// The files of the plan, in order.
std::string names(const std::string& plan) {
  std::string out;
  for (const std::string_view line : sys::lines(plan)) {
    const std::string_view path = sys::words(line)[0];
    out += (out.empty() ? "" : " ") + std::string(path.substr(path.rfind('/') + 1));
  }
  return out;
}

}  // namespace

TEST_CASE("plan: memory and memsw in the order that raising and lowering need") {
  V1Tree tree;
  tree.group("g", "1048576", "2097152");
  for (const bool swapped : {false, true}) {
    CAPTURE(swapped);
    const auto both = [&](std::string_view mem, std::string_view memsw) {
      std::vector<Limit> l{limit("mem", mem), limit("memsw", memsw)};
      if (swapped) std::swap(l[0], l[1]);
      return names(tree.set(std::move(l)));
    };
    CHECK(both("4M", "8M") == "memory.memsw.limit_in_bytes memory.limit_in_bytes");
    CHECK(both("max", "max") == "memory.memsw.limit_in_bytes memory.limit_in_bytes");
    CHECK(both("512k", "768k") == "memory.limit_in_bytes memory.memsw.limit_in_bytes");
    CHECK(both("512k", "8M") == "memory.memsw.limit_in_bytes memory.limit_in_bytes");
    CHECK(both("1M", "2M") == "");  // in force
    CHECK(both("1M", "3M") == "memory.memsw.limit_in_bytes");
  }
  CHECK(names(tree.set({limit("swap", "8M"), limit("mem", "4M")})) ==
        "memory.memsw.limit_in_bytes memory.limit_in_bytes");
}

TEST_CASE("plan: quota, period and burst, whatever the order of the flags") {
  V1Tree tree;
  tree.group("g", "1048576", "2097152");
  const auto in_order = [&](std::vector<Limit> limits) { return names(tree.set(std::move(limits))); };
  const std::string up = "cpu.cfs_period_us cpu.cfs_quota_us cpu.cfs_burst_us";
  CHECK(in_order({limit("cpu-quota", "90000/90000"), limit("cpu-burst", "60ms")}) == up);
  CHECK(in_order({limit("cpu-burst", "60ms"), limit("cpu-quota", "90000/90000")}) == up);
  CHECK(in_order({limit("cpu-burst", "60ms"), limit("cpu-shares", "5"), limit("cpu-quota", "90000/90000")}) ==
        "cpu.shares " + up);
  // Below the burst in force: the burst goes down first.
  const std::string down = in_order({limit("cpu-quota", "10000/90000"), limit("cpu-burst", "5ms")});
  CHECK(down.find("burst") < down.find("quota"));
  CHECK(down.find("period") < down.find("quota"));
  CHECK(in_order({limit("cpu-quota", "50%"), limit("cpu-burst", "20ms")}) == "");
}

TEST_CASE("plan: new groups with parents, filled before anything can join") {
  V1Tree tree;
  const std::string plan =
      tree.plan({.group = "a/b", .limits = {limit("cpus", "1"), limit("mem", "1M")}, .existing = Existing::refuse});
  CHECK(plan ==
        "mkdir cpu/a\nmkdir cpu/a/b\nmkdir memory/a\nmkdir memory/a/b\nmkdir cpuset/a\n"
        "cpuset/a/cpuset.cpus <- 0-3\ncpuset/a/cpuset.mems <- 0\nmkdir cpuset/a/b\n"
        "cpuset/a/b/cpuset.mems <- 0\ncpuset/a/b/cpuset.cpus <- 1\nmemory/a/b/memory.limit_in_bytes <- 1048576\n");
  ControllerSet only;
  only.add(Controller::cpu);
  CHECK(tree.plan({.group = "a", .existing = Existing::refuse, .only = only}) == "mkdir cpu/a\n");
  // A limit elsewhere makes the group there too.
  CHECK(tree.plan({.group = "a", .limits = {limit("mem", "1M")}, .existing = Existing::refuse, .only = only}) ==
        "mkdir cpu/a\nmkdir memory/a\nmemory/a/memory.limit_in_bytes <- 1048576\n");
}

TEST_CASE("plan: what is refused before anything is written") {
  V1Tree tree;
  tree.group("g", "1048576", "2097152");
  const auto refused = [&](const Desired& d, std::string_view why) {
    const std::string text = tree.plan(d);
    CAPTURE(text);
    CHECK(text.starts_with('<'));
    CHECK(text.find(why) != std::string::npos);
  };
  refused({.group = "g", .existing = Existing::refuse}, "already there");
  refused({.group = "nope", .limits = {limit("mem", "1M")}}, "no such group");
  refused({.group = "g", .limits = {limit("mem", "1M"), limit("pids", "5")}}, "pids controller is not mounted");
  refused({.group = "g", .limits = {limit("mem-high", "1M")}}, "--mem-soft");
  refused({.group = "g", .limits = {limit("mem", "1")}}, "under a page");
  refused({.group = "g", .limits = {limit("cpus", "60000")}}, " CPUs ");
  refused({.group = "g", .limits = {limit("mems", "60000")}}, " memory nodes ");
  refused({.group = "g", .limits = {limit("cpu-shares", "5"), limit("cpu-weight", "7")}}, "both set cpu.shares");
  refused({.group = "g", .limits = {raw("nonsense", "1")}}, "not the name of a cgroup file");
  refused({.group = "g", .limits = {raw("../memory.limit_in_bytes", "1")}}, "not the name of a cgroup file");
}

TEST_CASE("plan: v2 takes CPUs that are possible, v1 those that are online") {
  const auto set = [](std::string_view text) { return sys::IdSet::parse(text).value_or(sys::IdSet()); };
  const HostIds host{.online = set("0-1"), .possible = set("0-3")};
  CHECK(allowed_by(Version::v2, host) == host.possible);
  CHECK(allowed_by(Version::v1, host) == host.online);
  struct Row {
    const char *wanted, *offline, *online;  // "none": there is nothing to leave out
  };
  constexpr Row rows[]{
      {"0-1", "none", ""},
      {"0-3", "2-3", "0-1"},
      {"3", "3", ""},
      {"1,3", "3", "1"},
      {"0-4", "none", ""},  // the host cannot have it
      {"", "none", ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.wanted);
    const auto found = offline_in(Version::v1, set(row.wanted), host);
    CHECK((found ? found->ids.text() : "none") == row.offline);
    CHECK((found ? found->online.text() : "") == row.online);
    CHECK_FALSE(offline_in(Version::v2, set(row.wanted), host));
  }
  CHECK_FALSE(offline_in(Version::v1, set("3"), HostIds{}));  // nothing is known of the host
}

TEST_CASE("plan: controllers of cgroup2 are enabled from the top down, once") {
  const test::ScratchDir tree;
  tree.file("cgroup.controllers", "cpu memory pids\n");
  tree.file("cgroup.subtree_control", "pids\n");
  tree.dir("a");
  tree.file("a/cgroup.subtree_control", "\n");
  const Hierarchies h = Hierarchies::of_mounts({{.version = Version::v2, .dir = tree.path(), .root = "/"}});
  const auto lines = [&](const Desired& d) {
    const auto plan = Plan::make(h, d);
    if (!plan) return "<" + plan.error().text() + ">";
    std::string text = plan->text();
    for (std::size_t at = text.find(tree.path()); at != std::string::npos; at = text.find(tree.path()))
      text.erase(at, tree.path().size() + 1);
    return text;
  };
  CHECK(lines({.group = "a/b", .limits = {limit("mem", "1M"), limit("pids", "5")}, .existing = Existing::refuse}) ==
        "cgroup.subtree_control <- +memory\na/cgroup.subtree_control <- +memory +pids\nmkdir a/b\n"
        "a/b/memory.max <- 1048576\na/b/pids.max <- 5\n");
  CHECK(lines({.group = "a", .limits = {limit("pids", "5")}, .existing = Existing::allow}) == "a/pids.max <- 5\n");
  CHECK(lines({.group = "c", .existing = Existing::refuse}) == "mkdir c\n");
  CHECK(lines({.group = "a", .limits = {limit("hugetlb", "2M=4M")}, .existing = Existing::allow}).find("not mounted") !=
        std::string::npos);
  CHECK(
      lines({.group = "a", .limits = {limit("cpu-rt", "1ms/1s")}, .existing = Existing::allow}).find("no real-time") !=
      std::string::npos);
}

TEST_CASE("plan: no controller of cgroup2 is given to the groups below processes") {
  const test::ScratchDir tree;
  const Hierarchies h = Hierarchies::of_mounts({{.version = Version::v2, .dir = tree.path(), .root = "/"}});
  tree.file("cgroup.controllers", "cpu cpuset io memory perf_event pids\n");
  tree.file("cgroup.subtree_control", "cpu cpuset io memory pids\n");
  tree.file("cgroup.procs", "4194304\n");
  tree.dir("a");
  tree.file("a/cgroup.subtree_control", "\n");
  const auto tried = [&](std::string_view type, std::string_view procs, Limit wanted) {
    tree.file("a/cgroup.type", std::string(type) + "\n");
    tree.file("a/cgroup.procs", procs);
    const auto plan = Plan::make(h, {.group = "a/b", .limits = {std::move(wanted)}, .existing = Existing::allow});
    return plan ? "made" : plan.error().text();
  };
  // pids, cpu and cpuset make the group above "domain threaded", for which the kernel has no error.
  for (const auto& [flag, text] : {std::pair{"pids", "5"}, {"cpu-weight", "5"}, {"cpus", "0"}, {"mem", "1M"}}) {
    CAPTURE(flag);
    const std::string error = tried("domain", "4194304\n", limit(flag, text));
    CHECK(error.find("cannot be enabled while processes are in a: 4194304") != std::string::npos);
    CHECK(tried("domain", "", limit(flag, text)) == "made");
    CHECK(tried("domain threaded", "4194304\n", limit(flag, text)) == "made");
    CHECK(tried("threaded", "", limit(flag, text)) == "made");
  }
  // In the root of the hierarchy, which has no cgroup.type, processes may be.
  const auto at_top = Plan::make(h, {.group = "c", .limits = {limit("pids", "5")}, .existing = Existing::allow});
  CHECK(at_top.has_value());
}

TEST_CASE("plan: a memory limit of v2 below what is in use is told from all else that fails") {
  const test::ScratchDir tree, state;
  const Hierarchies h = Hierarchies::of_mounts({{.version = Version::v2, .dir = tree.path(), .root = "/"}});
  tree.file("cgroup.controllers", "memory\n");
  tree.file("cgroup.subtree_control", "memory\n");
  tree.dir("a");
  for (const auto& [file, text] : {std::pair{"cgroup.controllers", "memory\n"},
                                   {"cgroup.subtree_control", "\n"},
                                   {"cgroup.procs", ""},
                                   {"memory.max", "max\n"},
                                   {"memory.reclaim", ""},
                                   {"memory.current", "8388608\n"}})
    tree.file(fmt::format("a/{}", file), text);
  Desired desired{.group = "a", .limits = {limit("mem", "4M")}};
  Transaction refused(h);
  const auto done = refused.apply(desired);
  REQUIRE_FALSE(done);
  CHECK(done.error().code == EBUSY);
  CHECK(done.error().text().find("is below the 8.0M in use") != std::string::npos);
  CHECK(refused.would_kill());
  CHECK(test::content(tree.path() + "/a/memory.max") == "max\n");
  // A policy has no --force: it names the command that has.
  const auto loaded = policy::load_text("version: 1\ngroups: {a: {memory: {max: 4M}}}\n", "t.yaml");
  REQUIRE(loaded.ok());
  const std::vector<policy::Source> sources{{.name = "t.yaml", .policies = loaded.policies}};
  const auto applied = policy::apply(h, sources, {.state_dir = state.path()});
  REQUIRE_FALSE(applied);
  CHECK(applied.error().hint == "cgx set a --mem 4M --force lowers it all the same");
  // Another failure, and one that is forced.
  tree.file("a/memory.current", "1048576\n");
  const sys::FaultFn fault = [](std::string_view, std::string_view name) { return name == "memory.max" ? EBUSY : 0; };
  Transaction failed(h);
  sys::inject_faults(&fault);
  const auto other = failed.apply(desired);
  sys::inject_faults(nullptr);
  CHECK_FALSE(other);
  CHECK_FALSE(failed.would_kill());
  tree.file("a/memory.current", "8388608\n");
  desired.force = true;
  Transaction forced(h);
  CHECK(forced.apply(desired));
  CHECK_FALSE(forced.would_kill());
}

}  // namespace plan_test
