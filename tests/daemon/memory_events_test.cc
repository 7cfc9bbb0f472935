// SPDX-License-Identifier: Apache-2.0
// Which events are told, by whom, and that none is lost.
#include <thread>

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "memory_support.h"

namespace memory_events_test {

using namespace cgx;
using namespace cgx::test;
using namespace std::chrono_literals;

TEST_CASE("memory: a paused group is raised and runs on") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  Daemon d(g.hierarchies(), {.thresholds = false});
  const auto problems = d.watch({pausing(g.name(), {raise(16 * mib, 64 * mib)})});
  CHECK(problems.empty());
  Eater eater(g, "touch", 30);
  CHECK(eater.says("done"));
  const auto* raised = d.decided("oom", "raise", "done");
  INFO(d.text());
  REQUIRE(raised != nullptr);
  CHECK(raised->group.view() == g.name());
  CHECK(raised->limit_of.view() == g.name());
  CHECK(raised->old_value == 20 * mib);
  CHECK(raised->new_value == 36 * mib);
  CHECK(raised->detail.view() == "20M -> 36M");
  CHECK(raised->policy_line == 1);
  CHECK(g.limit() == 36 * mib);
  CHECK(g.kills() == 0);
  if (g.v1()) CHECK(g.read("memory.memsw.limit_in_bytes", "") == std::to_string(36 * mib) + "\n");
  d.stop();
  if (g.v1())
    CHECK(g.read("memory.oom_control", "").starts_with("oom_kill_disable 0\n"));
  else
    CHECK(g.read("", "memory.high") == "max\n");
}

TEST_CASE("memory: a group that was paused already when it came to be watched") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  if (!g.v1()) CGX_SKIP("a group waits by itself on v1 only");
  g.write("memory.oom_control", "", "1");
  Eater eater(g, "touch", 30);
  REQUIRE(wait_until([&] { return g.under_oom(); }));
  Daemon d(g.hierarchies());
  CHECK(d.watch({pausing(g.name(), {raise(16 * mib, 64 * mib)})}).empty());
  CHECK(eater.says("done"));
  INFO(d.text());
  CHECK(d.decided("oom", "raise", "done") != nullptr);
  d.stop();
  CHECK(g.read("memory.oom_control", "").starts_with("oom_kill_disable 1\n"));  // as it was before
}

TEST_CASE("memory: what the kernel kills is told, with whose limit it was") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  Daemon d(g.hierarchies());
  CHECK(d.watch({observing(g.name())}).empty());
  Eater eater(g, "touch", 30);
  CHECK(WTERMSIG(eater.ends()) == SIGKILL);
  const auto* told = d.decided("oom_kill");
  INFO(d.text());
  REQUIRE(told != nullptr);
  CHECK(told->count == 1);
  const auto* oom = d.decided("oom", "none");
  REQUIRE(oom != nullptr);
  CHECK(oom->limit_of.view() == g.name());
  CHECK(oom->limit_bytes == 20 * mib);
}

TEST_CASE("memory: one action where a group with many below it runs out") {
  NEEDS_MEMORY_EVENTS();
  struct rlimit files{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &files) == 0);
  files.rlim_cur = files.rlim_max;  // some nine for each group
  REQUIRE(setrlimit(RLIMIT_NOFILE, &files) == 0);
  const MemoryGroup g("24M");
  std::vector<policy::GroupPolicy> policies{pausing(g.name(), {raise(16 * mib, 128 * mib)})};
  for (int i = 0; i < 200; ++i)
    policies.push_back(observing(g.child(fmt::format("c{}", i), ""), {action(policy::Log{"should not be"})}));
  Daemon d(g.hierarchies(), {.thresholds = false});
  CHECK(d.watch(policies).empty());
  Eater eater(g.hierarchies(), g.name() + "/c7", "touch", 32);
  CHECK(eater.says("done"));
  INFO(d.text());
  // On a slow machine the counter of charges that failed is looked at before the notification is there.
  REQUIRE((d.decided("oom", "raise", "done") != nullptr || d.decided("failcnt", "raise", "done") != nullptr));
  std::this_thread::sleep_for(300ms);
  CHECK(d.count("") == 1);
  CHECK(d.decisions()[0].limit_of.view() == g.name());
}

TEST_CASE("memory: the limit of a group above is named") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g("20M");
  const std::string child = g.child("inner", "");
  Daemon d(g.hierarchies());
  CHECK(d.watch({observing(child, {raise(16 * mib, 64 * mib)})}).empty());
  Eater eater(g.hierarchies(), child, "touch", 30);
  CHECK(WTERMSIG(eater.ends()) == SIGKILL);
  const auto* told = d.decided(g.v1() ? "oom" : "oom_kill");
  INFO(d.text());
  REQUIRE(told != nullptr);
  CHECK(told->group.view() == child);
  CHECK(told->limit_of.view() == g.name());
  CHECK(told->limit_bytes == 20 * mib);
}

TEST_CASE("memory: eight processes at the limit at once") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  Daemon d(g.hierarchies(), {.thresholds = false});
  CHECK(d.watch({pausing(g.name(), {raise(8 * mib, 128 * mib)})}).empty());
  std::vector<std::unique_ptr<Eater>> eaters;
  for (int i = 0; i < 8; ++i) eaters.push_back(std::make_unique<Eater>(g, "wait", 8));
  for (auto& e : eaters) e->go();
  for (auto& e : eaters) CHECK(e->says("done"));
  INFO(d.text());
  CHECK(d.count("oom", "raise", "done") >= 6);
  CHECK(g.limit() >= 64 * mib);
  CHECK(g.kills() == 0);
}

TEST_CASE("memory: raising to the end of what is allowed, then the kernel decides") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  Daemon d(g.hierarchies(), {.thresholds = false});
  auto once = raise(4 * mib, 64 * mib);
  once.limit = {.times = 1, .within = 600'000'000};
  CHECK(d.watch({pausing(g.name(), {once})}).empty());
  Eater eater(g, "touch", 40);
  CHECK(WTERMSIG(eater.ends()) == SIGKILL);
  INFO(d.text());
  CHECK(d.decided("oom", "raise", "limited") != nullptr);
  CHECK(d.decided("oom", "release", "done") != nullptr);
  CHECK(d.decided("oom_kill") != nullptr);
  CHECK(d.count("oom", "raise", "done") == 1);
  CHECK(g.limit() == 24 * mib);
  // When it is over, it is paused at its limit again.
  if (g.v1())
    CHECK(wait_until([&] { return g.read("memory.oom_control", "").starts_with("oom_kill_disable 1"); }));
  else
    CHECK(wait_until([&] { return g.read("", "memory.high") != "max\n"; }));
}

TEST_CASE("memory: nothing to do but to wait, for pause_max at most") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  Daemon d(g.hierarchies());
  auto policy = pausing(g.name(), {});
  policy.pause_max = 700'000;
  CHECK(d.watch({policy}).empty());
  // On v2 the pause begins below the limit: slowly, so that an emulated machine comes in time.
  Eater eater(g, "touch", 40, g.v1() ? 0 : 5'000);
  REQUIRE(wait_until([&] {
    const auto all = d.memory().watched();
    return !all.empty() && all[0].paused;
  }));
  CHECK(eater.ends(200ms) == -1);
  CHECK(WTERMSIG(eater.ends()) == SIGKILL);
  INFO(d.text());
  const auto* given = d.decided("oom", "release");
  REQUIRE(given != nullptr);
  CHECK(given->took >= 700'000);
}

TEST_CASE("memory: what the kernel does after a release is the same shortage, and its list does not run again") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  Daemon d(g.hierarchies());
  CHECK(d.watch({pausing(g.name(), {action(policy::Log{"x"})})}).empty());
  Eater eater(g, "touch", 40);
  CHECK(WTERMSIG(eater.ends()) == SIGKILL);
  REQUIRE(d.decided("oom", "release") != nullptr);
  REQUIRE(d.decided("oom_kill") != nullptr);
  INFO(d.text());
  CHECK(d.count("oom", "log") == 1);
  CHECK(d.count("oom", "release") == 1);
}

TEST_CASE("memory: somebody else raises the limit of a paused group") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  Daemon d(g.hierarchies());
  CHECK(d.watch({pausing(g.name(), {})}).empty());
  Eater eater(g, "touch", 30);
  // Not as soon as they wait: a shortage that is over before it was looked at is none, and is not told of.
  REQUIRE(wait_until([&] { return d.memory().watched().at(0).acting; }));
  if (g.v1() && access(g.path("memory.memsw.limit_in_bytes").c_str(), F_OK) == 0)
    g.write("memory.memsw.limit_in_bytes", "", "64M");
  g.write("memory.limit_in_bytes", "memory.max", "64M");
  if (!g.v1()) g.write("", "memory.high", "60M");
  CHECK(eater.says("done"));
  INFO(d.text());
  CHECK(d.decided("oom", "none") != nullptr);
  CHECK(g.kills() == 0);
}

TEST_CASE("memory: release() gives a paused group to the kernel") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  Daemon d(g.hierarchies());
  CHECK(d.watch({pausing(g.name(), {})}).empty());
  Eater eater(g, "touch", 40);
  REQUIRE(wait_until([&] { return d.memory().watched().at(0).acting; }));
  CHECK(d.memory().release(g.name()).has_value());
  CHECK(WTERMSIG(eater.ends()) == SIGKILL);
  CHECK(d.memory().release("cgx-test-nobody").error().code == ENOENT);
}

TEST_CASE("memory: a raise before the limit is reached") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g("32M");
  if (!g.v1()) CGX_SKIP("thresholds of memory in use are v1's");
  Daemon d(g.hierarchies());
  CHECK(d.watch({observing(g.name(), {raise(16 * mib, 64 * mib)})}).empty());
  std::this_thread::sleep_for(200ms);  // the slow worker registers the threshold
  Eater eater(g, "touch", 50, 30'000);
  CHECK(eater.says("done"));
  INFO(d.text());
  CHECK(d.decided("threshold", "raise", "done") != nullptr);
  CHECK(d.count("oom") == 0);
  CHECK(g.kills() == 0);
  CHECK(g.limit() == 64 * mib);
}

TEST_CASE("memory: a charge that fails in a system call, which no event tells") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  if (!g.v1()) CGX_SKIP("v1 with the killer off fails such charges");
  Daemon d(g.hierarchies(), {.thresholds = false});
  CHECK(d.watch({pausing(g.name(), {killing(), raise(8 * mib, 64 * mib)})}).empty());
  Eater eater(g, "file", 30);
  CHECK(eater.says("wrote "));
  CHECK(eater.said().find(std::to_string(30 * mib)) == std::string::npos);
  const auto* raised = d.decided("failcnt", "raise", "done");
  INFO(d.text());
  REQUIRE(raised != nullptr);
  CHECK(d.count("", "kill") == 0);  // nobody waits: nobody is killed for it
  CHECK(g.limit() == 28 * mib);
}

TEST_CASE("memory: a watched group goes, and another one of its name comes") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  Daemon d(g.hierarchies(), {.thresholds = false});
  CHECK(d.watch({pausing(g.name(), {raise(16 * mib, 64 * mib)})}).empty());
  CHECK(d.memory().watched().size() == 1);
  const std::uint64_t beat = d.memory().heartbeat();
  g.remove();
  CHECK(wait_until([&] { return d.memory().watched().empty(); }));
  CHECK(wait_until([&] { return d.memory().heartbeat() > beat; }));
  g.make(g.name(), "20M");
  REQUIRE(wait_until([&] { return d.memory().watched().size() == 1; }));
  Eater eater(g, "touch", 30);
  CHECK(eater.says("done"));
  INFO(d.text());
  CHECK(d.decided("oom", "raise", "done") != nullptr);
  // As it was made, not as its forerunner was: at the end the killer of this one is on.
  d.stop();
  if (g.v1()) CHECK(g.read("memory.oom_control", "").starts_with("oom_kill_disable 0\n"));
}

TEST_CASE("memory: a policy for a group that is not there yet") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g("");
  const std::string later = g.name() + "/later";
  Daemon d(g.hierarchies(), {.thresholds = false});
  CHECK(d.watch({pausing(later, {raise(16 * mib, 64 * mib)})}).empty());
  CHECK(d.memory().watched().empty());
  g.make(later, "20M");
  CHECK(wait_until([&] { return d.memory().watched().size() == 1; }));
  Eater eater(g.hierarchies(), later, "touch", 30);
  CHECK(eater.says("done"));
}

TEST_CASE("memory: the limit of open files is reached: it says so and keeps the rest") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g("64M");
  std::vector<policy::GroupPolicy> policies;
  for (int i = 10; i < 60; ++i)
    policies.push_back(pausing(g.child(fmt::format("c{}", i), "20M"), {raise(16 * mib, 60 * mib)}));
  Daemon d(g.hierarchies(), {.thresholds = false});
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit few{.rlim_cur = 200, .rlim_max = before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
  const auto problems = d.watch(policies);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].text().find("the limit of 200 open files is reached") != std::string::npos);
  CHECK(problems[0].hint.find("LimitNOFILE") != std::string::npos);
  CHECK(d.memory().watched().size() >= 5);
  CHECK(d.memory().watched().size() < 50);
  Eater eater(g.hierarchies(), g.name() + "/c10", "touch", 30);
  CHECK(eater.says("done"));
  // With room again, all of them.
  CHECK(d.watch(policies).empty());
  CHECK(d.memory().watched().size() == 50);
}

TEST_CASE("memory: a flood of decisions that nobody fetches is counted") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  Daemon d(g.hierarchies(), {.decisions = 2, .thresholds = false});
  std::vector<policy::Action> talk;
  for (int i = 0; i < 10; ++i) talk.push_back(action(policy::Log{fmt::format("line {}", i)}));
  talk.push_back(raise(16 * mib, 64 * mib));
  CHECK(d.watch({pausing(g.name(), talk)}).empty());
  Eater eater(g, "touch", 30);
  CHECK(eater.says("done"));
  std::this_thread::sleep_for(50ms);
  std::vector<daemon::Decision> got;
  CHECK(d.memory().take(got) >= 8);
  CHECK(got.size() >= 2);
}

}  // namespace memory_events_test
