// SPDX-License-Identifier: Apache-2.0
// apply() and values that depend on those of other groups, are rounded, converted or written as they are; and what it
// finds changed behind its back.
#include <cerrno>
#include <set>
#include <string>
#include <vector>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/policy/record.h"

#include "policy_support.h"
#include "skip.h"

namespace policy_values_test {

namespace {

using namespace cgx;
using test::Flags;
using test::group_policy;
using test::Host;
using test::source;

const char* no_root() { return geteuid() != 0 ? "needs root" : nullptr; }

std::vector<policy::GroupPolicy> family(const Host& host, const Flags& outer, const Flags& inner) {
  return {group_policy(host.name("a"), outer), group_policy(host.name("a/b"), inner)};
}

}  // namespace

TEST_CASE("policy values: cpusets of parents and children move up, down and sideways") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  if (!host.has(Controller::cpuset) || sysconf(_SC_NPROCESSORS_ONLN) < 2) CGX_SKIP("needs cpuset and two CPUs");
  for (const auto& [outer, inner] : std::vector<std::pair<const char*, const char*>>{
           {"0", "0"}, {"1", "1"}, {"0-1", "0"}, {"1", "1"}, {"0-1", "0-1"}, {"0", "0"}}) {
    CAPTURE(outer);
    host.must(family(host, {{"cpus", outer}}, {{"cpus", inner}}));
    CHECK(host.read("a", "cpus") == outer);
    CHECK(host.read("a/b", "cpus") == inner);
  }
  // One that names none follows on v1, where it has what its parent had when it was made.
  host.must(family(host, {{"cpus", "1"}}, {}));
  host.must(family(host, {{"cpus", "0"}}, {}));
  if (host.v1(Controller::cpuset)) CHECK(host.read("a/b", "cpus") == "0");
  host.must(family(host, {}, {}));
  if (host.v1(Controller::cpuset)) CHECK(host.read("a/b", "cpus") == host.read("", "cpus"));
}

TEST_CASE("policy values: quotas of parents and children are raised and lowered") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  if (!host.has(Controller::cpu)) CGX_SKIP("needs cpu");
  for (const auto& [outer, inner] : std::vector<std::pair<const char*, const char*>>{{"50%", "50%"},
                                                                                     {"150%", "150%"},
                                                                                     {"20%", "10%"},
                                                                                     {"max", "90%"},
                                                                                     {"300000/1000000", "max"},
                                                                                     {"20000/20000", "10000/50000"}}) {
    CAPTURE(outer);
    host.must(family(host, {{"cpu-quota", outer}}, {{"cpu-quota", inner}}));
  }
  host.must(
      family(host, {{"cpu-quota", "100%"}, {"cpu-burst", "50ms"}}, {{"cpu-quota", "50%"}, {"cpu-burst", "20ms"}}));
  host.must(family(host, {{"cpu-quota", "20%"}, {"cpu-burst", "5ms"}}, {{"cpu-quota", "10%"}, {"cpu-burst", "1ms"}}));
  host.must(family(host, {}, {}));
  CHECK(host.read("a", "cpu-quota") == "max");
  CHECK(host.read("a", "cpu-burst") == "0s");
}

TEST_CASE("policy values: what the kernel rounds is not written again") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  if (!host.has(Controller::memory)) CGX_SKIP("needs memory");
  const auto done = host.apply({source("/test.yaml", {group_policy(host.name("a"), {{"mem", "10000000"}})})});
  REQUIRE(done.has_value());
  CHECK(host.read("a", "mem") == "9998336");
  host.must({group_policy(host.name("a"), {{"mem", "10000000"}})});
  CHECK(host.plain(host.must({group_policy(host.name("a"), {{"mem", "9000000"}})})) ==
        "~ T/a memory.max 9764k -> 9000000\n");
}

TEST_CASE("policy values: memory and swap together") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  const std::string file(host.v1(Controller::memory) ? "memory.memsw.limit_in_bytes" : "memory.swap.max");
  host.must({group_policy(host.name("a"))});
  if (!Cgroup(host.hierarchies(), host.name("a")).read(Controller::memory, file)) CGX_SKIP("no swap is counted here");
  for (const auto& [mem, memsw] : std::vector<std::pair<const char*, const char*>>{
           {"64M", "96M"}, {"128M", "256M"}, {"32M", "64M"}, {"64M", "96M"}})
    host.must({group_policy(host.name("a"), {{"mem", mem}, {"memsw", memsw}})});
  CHECK(host.read("a", "memsw") == "100663296");
  host.must({group_policy(host.name("a"), {{"mem", "64M"}, {"swap", "10M"}})});
  host.must({group_policy(host.name("a"), {{"mem", "32M"}, {"swap", "10M"}})});
  CHECK(host.read("a", "swap") == "10485760");
  host.must({group_policy(host.name("a"))});
  CHECK(host.read("a", "mem") == "max");
}

TEST_CASE("policy values: files as they are, and weights that become others") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  if (!host.has(Controller::pids) || !host.has(Controller::cpu)) CGX_SKIP("needs pids and cpu");
  const bool v1 = host.v1(Controller::cpu);
  host.must({group_policy(host.name("a"), {{"pids.max", "12"}, {v1 ? "cpu.shares" : "cpu.weight", "200"}})});
  CHECK(host.read("a", "pids") == "12");
  host.must({group_policy(host.name("a"), {{"cpu-weight", "50"}})});
  CHECK(host.read("a", "pids") == "max");
  CHECK(host.read("a", "cpu-weight") == "50");
  host.must({group_policy(host.name("a"), {{"cpu-shares", "300"}})});
  CHECK(host.read("a", "cpu-shares") == "300");
  host.must({group_policy(host.name("a"), {{"cpu-idle", "1"}})});
  host.must({group_policy(host.name("a"), {{"cpu-shares", "400"}})});
  CHECK(host.read("a", "cpu-idle") == "0");
  CHECK(host.read("a", "cpu-shares") == "400");
  host.must({group_policy(host.name("a"))});
  CHECK(host.read("a", "cpu-shares") == "1024");
}

TEST_CASE("policy values: devices of a family of groups") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  if (!host.has(Controller::devices)) CGX_SKIP("needs devices");
  policy::GroupPolicy outer = group_policy(host.name("a"), {{"device", "deny a"}});
  REQUIRE(merge_value(outer.limits[0].limit.value, test::limit("device", "allow c 1:3 rwm").value).has_value());
  REQUIRE(merge_value(outer.limits[0].limit.value, test::limit("device", "allow c 1:5 rwm").value).has_value());
  policy::GroupPolicy inner = group_policy(host.name("a/b"), {{"device", "deny c 1:5 w"}});
  const auto done = host.apply({source("/test.yaml", {outer, inner})});
  if (!done && done.error().code == EPERM) CGX_SKIP("no BPF programs here");
  host.must({outer, inner});
  CHECK(host.read("a", "device").starts_with("deny a"));
}

TEST_CASE("policy values: groups that went, or were made again by somebody else") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  const std::vector<policy::GroupPolicy> one{group_policy(host.name("a"), {{"pids", "5"}})};
  host.must(one);
  REQUIRE(remove_group(Cgroup(host.hierarchies(), host.name("a")), Below::keep).has_value());
  CHECK(host.plain(host.must(one)) == "+ T/a\n");
  REQUIRE(remove_group(Cgroup(host.hierarchies(), host.name("a")), Below::keep).has_value());
  Transaction theirs(host.hierarchies());
  REQUIRE(theirs.apply({.group = host.name("a"), .limits = {test::limit("pids", "6")}, .existing = Existing::refuse})
              .has_value());
  theirs.commit();
  CHECK(host.plain(host.must(one)) == "~ T/a pids.max 6 -> 5\n");
  CHECK(host.plain(host.must(std::vector<policy::GroupPolicy>{})) == "~ T/a pids.max 5 -> 6\n");
  CHECK(host.there("a"));
}

// How an apply ends that SIGKILL meets at its n-th change.
int killed_at(Host& host, const std::vector<policy::GroupPolicy>& groups, unsigned n) {
  const pid_t child = fork();
  if (child == 0) {
    unsigned count = 0;
    const sys::FaultFn die = [&](std::string_view, std::string_view) {
      if (++count == n) kill(getpid(), SIGKILL);
      return 0;
    };
    sys::inject_faults(&die);
    const std::vector<policy::Source> sources{source("/test.yaml", groups)};
    _exit(policy::apply(host.hierarchies(), sources, host.options()) ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return status;
}

TEST_CASE("policy values: killed at any change, the next apply brings it to its end or takes it back") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  const std::vector<policy::GroupPolicy> first = family(host, {{"mem", "64M"}, {"pids", "5"}}, {{"pids", "4"}});
  const std::vector<policy::GroupPolicy> second{group_policy(host.name("a"), {{"mem", "32M"}, {"cpu-quota", "50%"}}),
                                                group_policy(host.name("c"), {{"pids", "3"}})};
  for (unsigned n = 1; n < 200; ++n) {
    CAPTURE(n);
    host.must(first);
    const int status = killed_at(host, second, n);
    if (n % 2 == 0) {
      host.must(second);
      CHECK(host.there("c"));
      CHECK_FALSE(host.there("a/b"));
      CHECK(host.read("a", "pids") == "max");
    }
    host.must(std::vector<policy::GroupPolicy>{});
    CHECK_FALSE(host.there(""));
    if (WIFEXITED(status)) {
      CHECK(WEXITSTATUS(status) == 0);
      CHECK(n > (host.v1(Controller::memory) ? 15 : 8));
      return;
    }
    CHECK(WTERMSIG(status) == SIGKILL);
  }
  FAIL("it never came to its end");
}

TEST_CASE("policy values: killed while a group is taken back from its owner, the next apply takes it") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  std::vector<policy::GroupPolicy> given{group_policy(host.name("a"), {{"pids", "50"}})};
  given[0].owner = Owner{65534, 65534};
  const std::vector<policy::GroupPolicy> kept{group_policy(host.name("a"), {{"pids", "60"}})};
  const Cgroup group(host.hierarchies(), host.name("a"));
  const auto owners = [&] {
    std::set<uid_t> uids;
    for (const Hierarchy* h : group.present())
      for (const char* file : {".", "cgroup.procs"}) {
        struct stat st{};
        REQUIRE(fstatat(group.dir(*h).value(), file, &st, 0) == 0);
        uids.insert(st.st_uid);
      }
    return uids;
  };
  for (unsigned n = 1; n < 200; ++n) {
    CAPTURE(n);
    host.must(given);
    REQUIRE(owners().contains(65534));
    const int status = killed_at(host, kept, n);
    host.must(kept);
    CHECK(owners() == std::set<uid_t>{0});
    if (WIFEXITED(status)) {
      CHECK(WEXITSTATUS(status) == 0);
      CHECK(n > 4);
      return;
    }
    CHECK(WTERMSIG(status) == SIGKILL);
  }
  FAIL("it never came to its end");
}

}  // namespace policy_values_test
