// SPDX-License-Identifier: Apache-2.0
// What hosts cannot do of a policy: on trees of plain files that stand in for hierarchies.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/change/slice.h"
#include "cgx/policy/emit.h"
#include "cgx/policy/yaml.h"

#include "policy_text.h"
#include "scratch.h"

namespace policy_host_test {

namespace {
using namespace cgx;
using namespace cgx::policy;
using test::limit_of;
using test::problems_of;

class Host {
 public:
  // v2 with some controllers.
  Host& v2(std::string_view controllers) {
    tree_.dir("v2");
    tree_.file("v2/cgroup.controllers", std::string(controllers) + "\n");
    Mount m{.version = Version::v2, .dir = tree_.path() + "/v2", .root = "/"};
    m.device = 100;
    mounts_.push_back(m);
    return *this;
  }
  Host& v1(Controller c) {
    const std::string name(row(c).v1_name);
    tree_.dir(name);
    Mount m{.version = Version::v1, .dir = tree_.path() + "/" + name, .root = "/"};
    m.device = static_cast<unsigned>(mounts_.size()) + 1;
    m.controllers.add(c);
    mounts_.push_back(m);
    return *this;
  }
  void file(const std::string& name) const { tree_.file(name, "0\n"); }

  // The policies of group `a` as this host has them, and what is said.
  std::string check(const std::string& group) {
    loaded_ = load_text("version: 1\ngroups:\n  a: {" + group + "}\n", "t.yaml");
    REQUIRE(problems_of(loaded_) == "");
    const Hierarchies h = Hierarchies::of_mounts(mounts_);
    check_host(loaded_, h);
    std::string said = problems_of(loaded_);
    for (std::size_t at = said.find(tree_.path()); at != std::string::npos; at = said.find(tree_.path()))
      said.erase(at, tree_.path().size());
    return said;
  }
  [[nodiscard]] const GroupPolicy& a() const { return loaded_.policies.groups.at(0); }
  [[nodiscard]] bool ok() const { return loaded_.ok(); }

 private:
  test::ScratchDir tree_;
  std::vector<Mount> mounts_;
  Loaded loaded_;
};

TEST_CASE("policy on a host: v2") {
  Host host;
  host.v2("cpu memory pids cpuset");
  CHECK(host.check("memory: {max: 1G, high: 900M, oom: group}, cpu: {weight: 5}, pids: {max: 10}") == "");
  CHECK(host.check("memory: {max: 1G, oom: pause}, on_oom: [kill]") == "");
  CHECK(host.a().oom == OomMode::pause);
  CHECK(host.check("memory: {swappiness: 5}").starts_with("t.yaml:3:16: groups.a.memory.swappiness: "));
  CHECK(host.check("cpu: {rt: 10ms/1s}").find("cgroup v2 has no real-time bandwidth") != std::string::npos);
  CHECK(host.check("hugetlb: {2M: 64M}") ==
        "t.yaml:3:7: groups.a.hugetlb: the hugetlb controller is not mounted on this host [cgx controllers lists what "
        "this kernel has; cgx mount mounts a hierarchy]\n");
  CHECK(host.check("memory: {max: 64}") ==
        "t.yaml:3:16: groups.a.memory.max: \"64\" is under a page (4096 bytes), and the kernel would make it 0\n");
  CHECK(
      host.check("cpuset: {cpus: 60000}").starts_with("t.yaml:3:16: groups.a.cpuset.cpus: \"60000\" is outside the "));
  CHECK(host.check("raw: {blkio.weight: 5}").find("the io controller is not mounted") != std::string::npos);
}

TEST_CASE("policy on a host: v1") {
  Host host;
  host.v1(Controller::memory).v1(Controller::cpu);
  host.file("memory/memory.limit_in_bytes");
  CHECK(host.check("memory: {max: 1G, oom: kill}, cpu: {shares: 5}") == "");
  CHECK(
      host.check("memory: {high: 1G}") ==
      "t.yaml:3:16: groups.a.memory.high: cgroup v1 has no memory.high; memory.soft sets memory.soft_limit_in_bytes\n");
  CHECK(host.check("memory: {oom: group}") ==
        "t.yaml:3:16: groups.a.memory.oom: \"group\" needs cgroup v2 (memory.oom.group); v1 has kill and pause\n");
  CHECK(host.check("raw: {memory.limit_in_bytes: 5}") == "");
  CHECK(host.check("raw: {memory.max: 5}") ==
        "t.yaml:3:13: groups.a.raw.memory.max: there is no file /memory/memory.max on this host\n");
  CHECK(host.check("on_pressure: [{when: {memory: some, stall: 1s, window: 1s}, do: [kill]}]").find("cgroup2") !=
        std::string::npos);
  // All at once.
  const std::string all = host.check("memory: {high: 1G, low: 1G, max: 64, oom: group}, pids: {max: 3}");
  CHECK(std::ranges::count(all, '\n') == 5);
  CHECK_FALSE(host.ok());
}

TEST_CASE("policy on a host: under best_effort what it cannot do is left out, with a warning") {
  Host host;
  host.v1(Controller::memory);
  const std::string said = host.check(
      "best_effort: true, memory: {max: 1G, high: 900M, oom: group}, cpu: {weight: 5}, raw: {memory.swap.high: 1, "
      "pids.max: "
      "3}, "
      "on_pressure: [{when: {memory: some, stall: 1s, window: 1s}, do: [kill]}]");
  CHECK(std::ranges::count(said, '\n') == 6);
  CHECK(host.ok());
  REQUIRE(host.a().limits.size() == 1);
  CHECK(limit_of(host.a(), "memory.max") == "1073741824");
  CHECK(host.a().oom == OomMode::kernel);
  CHECK(host.a().on_pressure.empty());

  Host empty;
  empty.v1(Controller::cpu);
  CHECK(std::ranges::count(empty.check("best_effort: true, memory: {oom: pause}, on_oom: [kill]"), '\n') == 2);
  CHECK(empty.ok());
  CHECK(empty.a().on_oom.empty());
  CHECK(empty.a().oom == OomMode::kernel);
  (void)empty.check("memory: {oom: pause}, on_oom: [kill]");
  CHECK_FALSE(empty.ok());
}

TEST_CASE("policy on a host: conversions that lose something") {
  Host host;
  host.v1(Controller::cpu);
  const std::string told = host.check("cpu: {weight: 500}");
  CHECK(told.starts_with("t.yaml:3:13: warning: groups.a.cpu.weight: cgroup v1 has cpu.weight in another form: "));
  CHECK(host.ok());
  CHECK(limit_of(host.a(), "cpu.weight") == "500");
  CHECK(host.check("lossy: allow, cpu: {weight: 500}") == "");
  CHECK(host.check("lossy: refuse, cpu: {weight: 500}").find("lossy: allow takes it") != std::string::npos);
  CHECK_FALSE(host.ok());
  CHECK(limit_of(host.a(), "cpu.weight") == "500");
  (void)host.check("lossy: refuse, best_effort: true, cpu: {weight: 500}");
  CHECK(host.ok());
  CHECK(limit_of(host.a(), "cpu.weight") == "-");
}

TEST_CASE("policy on a host: interfaces and programs") {
  Host host;
  host.v1(Controller::net_cls).v1(Controller::memory);
  CHECK(host.check("net: {rate: {cgx-none: 1mbit}}") ==
        "t.yaml:3:13: groups.a.net.rate: \"cgx-none\" is no network interface of this host\n");
  CHECK(host.check("on_oom: [{exec: {argv: [/bin/cgx-none]}}]") ==
        "t.yaml:3:17: warning: groups.a.on_oom[0].exec.argv: \"/bin/cgx-none\": No such file or directory\n");
  CHECK(host.check("on_oom: [{exec: {argv: [/bin/sh]}}]") == "");
  CHECK(host.check("on_oom: [{set: {memory: {high: 1G}}}]")
            .starts_with("t.yaml:3:32: groups.a.on_oom[0].set.memory.high: "));
}

TEST_CASE("policy on a host: the examples load") {
  const std::vector<std::string> paths{CGX_SOURCE_ROOT "/policies"};
  const Loaded loaded = load(paths);
  CHECK(loaded.policies.groups.size() > 8);
  CHECK(problems_of(loaded) == "");
  for (const GroupPolicy& g : loaded.policies.groups) {
    INFO(g.name);
    CHECK(g.best_effort);
  }
}

}  // namespace

TEST_CASE("policy on a host: where systemd makes the groups, each of them can be a slice") {
  const Hierarchies none = Hierarchies::of_mounts({});
  const auto said = [&](std::string_view groups, Maker maker) {
    Loaded loaded = load_text(fmt::format("version: 1\ngroups:\n{}", groups), "t.yaml");
    REQUIRE(problems_of(loaded) == "");
    check_host(loaded, none, maker);
    return problems_of(loaded);
  };
  constexpr std::string_view groups =
      "  web/api-1: {}\n"
      "  foo.slice: {best_effort: true}\n"
      "  web/x.service: {}\n"
      "  system/y: {}\n"
      "  mine: {owner: root}\n"
      "  theirs: {adopt: true}\n"
      "  theirs.scope: {adopt: true}\n";
  CHECK(
      said(groups, Maker::systemd) ==
      "t.yaml:4:3: groups.foo.slice: \"foo.slice\" is the name of a unit of systemd [a group is named without .slice: "
      "web is web.slice]\n"
      "t.yaml:5:3: groups.web/x.service: \"x.service\" is the name of a unit of systemd [a group is named without "
      ".slice: web is web.slice]\n"
      "t.yaml:6:3: groups.system/y: would be system.slice, which is systemd's own [give the group another name]\n"
      "t.yaml:7:3: groups.mine.owner: systemd's slices cannot be given to somebody [cgxd makes the groups itself with "
      "--manager cgroupfs]\n"
      "t.yaml:8:3: groups.theirs.adopt: is not supported where systemd makes the groups [cgxd makes the groups itself "
      "with --manager cgroupfs]\n"
      "t.yaml:9:3: groups.theirs.scope.adopt: is not supported where systemd makes the groups [cgxd makes the groups "
      "itself with --manager cgroupfs]\n");
  // What is systemd's is left to it there as well; elsewhere these are names like others.
  const std::string beside = said(groups, Maker::cgx);
  if (!systemd_is_manager()) CHECK(beside == "");
  if (systemd_is_manager()) CHECK(beside.find("belongs to systemd's unit foo.slice") != std::string::npos);
}

}  // namespace policy_host_test
