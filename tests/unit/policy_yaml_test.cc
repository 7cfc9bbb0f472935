// SPDX-License-Identifier: Apache-2.0
// Policies as their files give them: what becomes of each key.
#include <string>

#include <doctest/doctest.h>

#include "cgx/policy/yaml.h"

#include "policy_text.h"

namespace policy_yaml_test {

namespace {
using namespace cgx;
using namespace cgx::policy;
using test::limit_of;
using test::load_good;

TEST_CASE("policy: a whole file") {
  const Policies p = load_good(R"(version: 1

defaults:
  memory: {oom: kill}

groups:
  web:
    description: front-end servers
    cpuset:  {cpus: 0-1, mems: 0}
    cpu:     {weight: 500, quota: 150%, burst: 20ms}
    memory:  {max: 2G, high: 1800M, swap: 0, oom: pause, pause_max: 3s}
    io:      {weight: 200, max: {8:0: {rbps: 50M, wiops: 1000}, 8:16: {wbps: max}}}
    pids:    {max: 512}
    devices: {default: deny, allow: ["c 1:3 rwm", "/dev/null:r"]}
    net:     {class: "10:1", rate: {eth0: 10mbit}, prio: {eth0: 5}}
    hugetlb: {2M: 64M}
    raw:     {cpu.uclamp.min: "10"}
    owner:   root:root
    on_oom:
      - raise: {memory: 25%, up_to: 3G, decay_after: 10m, limit: 3/10m}
      - exec:  {argv: [/usr/local/bin/dump-heap, -v], timeout: 5s}
      - kill:  {pick: newest, protect: [nginx], signal: TERM, grace: 2s}
    on_pressure:
      - when:  {memory: some, stall: 150ms, window: 1s}
        do:    [{freeze: {group: batch, for: 10s}}]
    children:
      api: {memory: {max: 512M}}
  batch:
    cpu: {weight: 20}

rules:
  - {user: "@root", command: "make*", group: "batch/%u"}
  - {exe: /usr/sbin/nginx, group: web}
)");
  REQUIRE(p.groups.size() == 3);
  const GroupPolicy& web = p.groups[0];
  CHECK(web.name == "web");
  CHECK(web.path == "groups.web");
  CHECK(web.place == policy::Place{"t.yaml", 7, 3});
  CHECK(web.description == "front-end servers");
  CHECK(limit_of(web, "cpuset.cpus") == "0-1");
  CHECK(limit_of(web, "cpuset.mems") == "0");
  CHECK(limit_of(web, "cpu.weight") == "500");
  CHECK(limit_of(web, "cpu.quota") == "150%");
  CHECK(limit_of(web, "cpu.burst") == "20ms");
  CHECK(limit_of(web, "memory.max") == "2147483648");
  CHECK(limit_of(web, "memory.high") == "1887436800");
  CHECK(limit_of(web, "memory.swap") == "0");
  CHECK(limit_of(web, "memory.oom") == "-");
  CHECK(web.oom == OomMode::pause);
  CHECK(web.pause_max == 3'000'000);
  CHECK(limit_of(web, "io.weight") == "200");
  CHECK(limit_of(web, "io.max") == "8:0:rbps=52428800,wiops=1000\n8:16:wbps=max");
  CHECK(limit_of(web, "pids.max") == "512");
  CHECK(limit_of(web, "devices") == "deny a\nallow c 1:3 rwm\nallow c 1:3 r");
  CHECK(limit_of(web, "net.class") == "10:1");
  CHECK(limit_of(web, "net.rate") == "eth0=10mbit");
  CHECK(limit_of(web, "net.prio") == "eth0=5");
  CHECK(limit_of(web, "hugetlb") == "2MB=67108864");
  CHECK(limit_of(web, "raw.cpu.uclamp.min") == "10");
  REQUIRE(web.owner);
  CHECK(web.owner->uid == 0);
  CHECK(web.owner->gid == 0);
  CHECK(web.owner_text == "root:root");

  REQUIRE(web.on_oom.size() == 3);
  CHECK(web.on_oom[0].place == policy::Place{"t.yaml", 20, 9});
  const auto* raise = std::get_if<Raise>(&web.on_oom[0].what);
  REQUIRE(raise != nullptr);
  CHECK(raise->by.percent == 25);
  CHECK(raise->up_to == 3ULL << 30U);
  CHECK(raise->decay_after == 600'000'000);
  CHECK(web.on_oom[0].limit.times == 3);
  CHECK(web.on_oom[0].limit.within == 600'000'000);
  const auto* exec = std::get_if<Exec>(&web.on_oom[1].what);
  REQUIRE(exec != nullptr);
  CHECK(exec->argv == std::vector<std::string>{"/usr/local/bin/dump-heap", "-v"});
  CHECK(exec->user.empty());
  CHECK(web.on_oom[1].timeout == 5'000'000);
  const auto* kill = std::get_if<Kill>(&web.on_oom[2].what);
  REQUIRE(kill != nullptr);
  CHECK(kill->pick == Pick::newest);
  CHECK(kill->protect == std::vector<std::string>{"nginx"});
  CHECK(kill->signal == 15);
  CHECK(kill->grace == 2'000'000);

  REQUIRE(web.on_pressure.size() == 1);
  CHECK(web.on_pressure[0].resource == "memory");
  CHECK_FALSE(web.on_pressure[0].full);
  CHECK(web.on_pressure[0].stall == 150'000);
  CHECK(web.on_pressure[0].window == 1'000'000);
  REQUIRE(web.on_pressure[0].actions.size() == 1);
  const auto* freeze = std::get_if<Freeze>(&web.on_pressure[0].actions[0].what);
  REQUIRE(freeze != nullptr);
  CHECK(freeze->group == "batch");
  CHECK(freeze->duration == 10'000'000);

  CHECK(p.groups[1].name == "batch");
  CHECK(limit_of(p.groups[1], "memory.oom") == "kill");
  CHECK(p.groups[1].oom == OomMode::kernel);
  CHECK(p.groups[1].pause_max == 5'000'000);
  CHECK(p.groups[2].name == "web/api");
  CHECK(p.groups[2].path == "groups.web.children.api");
  CHECK(limit_of(p.groups[2], "memory.max") == "536870912");
  CHECK(limit_of(p.groups[2], "memory.oom") == "kill");
  CHECK(p.find("web/api") == &p.groups[2]);

  REQUIRE(p.rules.size() == 2);
  CHECK(p.rules[0].group == "root");
  CHECK(p.rules[0].user.empty());
  CHECK(p.rules[0].command == "make*");
  CHECK(p.rules[0].target == "batch/%u");
  CHECK(p.rules[1].exe == "/usr/sbin/nginx");
  CHECK(p.rules[1].target == "web");
}

TEST_CASE("policy: defaults are laid under every group") {
  const Policies p = load_good(R"(version: 1
defaults:
  cpu: {weight: 50}
  memory: {max: 1G, high: 900M, oom: pause, pause_max: 1s}
  on_oom: [log]
  best_effort: true
  lossy: refuse
groups:
  a: {}
  b: {cpu: {shares: 100}, memory: {max: 2G, oom: group}, on_oom: [kill], best_effort: false, lossy: allow}
  c:
)");
  const GroupPolicy& a = *p.find("a");
  CHECK(limit_of(a, "cpu.weight") == "50");
  CHECK(limit_of(a, "memory.max") == "1073741824");
  CHECK(a.oom == OomMode::pause);
  CHECK(a.pause_max == 1'000'000);
  CHECK(a.best_effort);
  CHECK(a.lossy == Lossy::refuse);
  CHECK(a.on_oom.at(0).name() == "log");
  const GroupPolicy& b = *p.find("b");
  CHECK(limit_of(b, "cpu.weight") == "-");
  CHECK(limit_of(b, "cpu.shares") == "100");
  CHECK(limit_of(b, "memory.max") == "2147483648");
  CHECK(limit_of(b, "memory.high") == "943718400");
  CHECK(limit_of(b, "memory.oom") == "group");
  CHECK(b.oom == OomMode::group);
  CHECK(b.on_oom.at(0).name() == "kill");
  CHECK_FALSE(b.best_effort);
  CHECK(b.lossy == Lossy::allow);
  CHECK(limit_of(*p.find("c"), "cpu.weight") == "50");
}

TEST_CASE("policy: values are written as on the command line, or as maps") {
  const Policies p = load_good(R"(version: 1
groups:
  words:
    cpu: {rt: 10ms/1s, idle: true, quota: 1.5}
    io: {max: "8:0:rbps=1M,wbps=2M", latency: "8:0:10ms", weight: "8:0:300"}
    devices: [deny a, "c 1:3 rwm"]
    net: {rate: [eth0=1mbit, eth1=max]}
    hugetlb: 2M=1G
    rdma: "mlx4_0:hca_handle=2"
    misc: [res_a=3]
    memory: {max: 64, low: max, swappiness: 0, memsw: -1}
  maps:
    cpu: {quota: max, idle: 0}
    io: {max: {8:0: "rbps=1M,wbps=2M"}, latency: {8:0: 10ms}, weight: {default: 100, 8:0: 300}}
    devices: {rules: [deny a, "allow c 1:3 rwm"]}
    net: {rate: {eth0: 1mbit, eth1: max}}
    hugetlb: {2M: 1G, 1GiB: max}
    rdma: {mlx4_0: {hca_handle: 2, hca_object: max}}
    misc: {res_a: 3}
)");
  const GroupPolicy& w = *p.find("words");
  const GroupPolicy& m = *p.find("maps");
  CHECK(limit_of(w, "cpu.rt") == "10ms/1s");
  CHECK(limit_of(w, "cpu.idle") == "1");
  CHECK(limit_of(w, "cpu.quota") == "150%");
  CHECK(limit_of(w, "memory.max") == "64");
  CHECK(limit_of(w, "memory.low") == "max");
  CHECK(limit_of(w, "memory.memsw") == "max");
  CHECK(limit_of(w, "io.weight") == "8:0:300");
  CHECK(limit_of(m, "io.weight") == "100\n8:0:300");
  CHECK(limit_of(m, "hugetlb") == "2MB=1073741824\n1GB=max");
  CHECK(limit_of(m, "rdma") == "mlx4_0:hca_handle=2,hca_object=max");
  for (const char* same : {"io.max", "io.latency", "devices", "net.rate", "misc"})
    CHECK(limit_of(w, same) == limit_of(m, same));
  // Without a map, too, the table's rows of one key come together.
  CHECK(limit_of(w, "io.max") == "8:0:rbps=1048576,wbps=2097152");
}

TEST_CASE("policy: anchors, aliases and merge keys") {
  const Policies p = load_good(R"(version: 1
x-small: &small {memory: {max: 64M}, pids: {max: 10}}
groups:
  a: *small
  b: {<<: *small, pids: {max: 20}}
  c: {<<: [*small, {cpu: {weight: 7}}]}
)");
  CHECK(limit_of(*p.find("a"), "pids.max") == "10");
  CHECK(limit_of(*p.find("b"), "pids.max") == "20");
  CHECK(limit_of(*p.find("b"), "memory.max") == "67108864");
  CHECK(limit_of(*p.find("c"), "cpu.weight") == "7");
  CHECK(limit_of(*p.find("c"), "pids.max") == "10");
}

TEST_CASE("policy: parents come before children, whatever the file says") {
  const Policies p = load_good("version: 1\ngroups: {a/b/c: {}, z: {}, a/b: {}, /a/: {children: {x: {}}}}\n");
  std::string names;
  for (const GroupPolicy& g : p.groups) names += g.name + " ";
  CHECK(names == "z a a/b a/x a/b/c ");
}

TEST_CASE("policy: under best_effort what is not there is left out, with a warning") {
  const std::string text = R"(version: 1
groups:
  a:
    best_effort: true
    owner: cgx-no-such-user
    devices: {default: deny, allow: [/dev/cgx-none:r, /dev/null:rw]}
    io: {max: {/dev/cgx-none: {rbps: 1M}}}
)";
  const Loaded loaded = load_text(text, "t.yaml");
  CHECK(loaded.ok());
  CHECK(loaded.problems.size() == 3);
  for (const Problem& problem : loaded.problems) CHECK(problem.warning);
  const GroupPolicy& a = loaded.policies.groups.at(0);
  CHECK(limit_of(a, "devices") == "deny a\nallow c 1:3 rw");
  CHECK(limit_of(a, "io.max") == "-");
  CHECK_FALSE(a.owner);
  std::string strict = text;
  strict.replace(strict.find("best_effort: true"), 17, "best_effort: false");
  CHECK_FALSE(load_text(strict, "t.yaml").ok());
}

}  // namespace

}  // namespace policy_yaml_test
