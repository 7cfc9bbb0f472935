// SPDX-License-Identifier: Apache-2.0
// Each action of a policy, on real groups.
#include <algorithm>
#include <array>
#include <thread>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/sys/text.h"

#include "memory_support.h"

namespace memory_actions_test {

using namespace cgx;
using namespace cgx::test;
using namespace std::chrono_literals;

namespace {

bool can_freeze(const MemoryGroup& g) { return freezer_of(Cgroup(g.hierarchies(), g.name())) != nullptr; }

policy::Action freezing(const std::string& group, std::uint64_t duration) {
  return action(policy::Freeze{.group = group, .duration = duration});
}

}  // namespace

TEST_CASE("memory: the largest is killed, and nobody who is protected") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g("24M");
  Daemon d(g.hierarchies());
  const std::string inner = g.child("inner", "");
  const std::string beside = g.v1() ? g.name() : g.child("beside", "");  // on v2 no process is above another group
  SUBCASE("largest, in a group below") {
    CHECK(d.watch({pausing(g.name(), {killing()})}).empty());
    Eater large(g.hierarchies(), inner, "touch", 14);
    CHECK(large.says("done"));
    Eater small(g.hierarchies(), beside, "touch", 12);
    CHECK(small.says("done"));  // there is room again
    CHECK(WTERMSIG(large.ends()) == SIGKILL);
    const auto* killed = d.decided("oom", "kill", "done");
    INFO(d.text());
    REQUIRE(killed != nullptr);
    CHECK(killed->pid == large.pid());
    CHECK(killed->rss >= 13 * mib);
    CHECK(killed->command.view().find("eater touch 14") != std::string_view::npos);
    CHECK(killed->detail.view() == "signal 9");
  }
  SUBCASE("newest") {
    CHECK(d.watch({pausing(g.name(), {killing(policy::Pick::newest)})}).empty());
    Eater large(g.hierarchies(), beside, "touch", 14);
    CHECK(large.says("done"));
    std::this_thread::sleep_for(30ms);  // ages are in hundredths of a second
    Eater small(g.hierarchies(), beside, "touch", 12);
    CHECK(WTERMSIG(small.ends()) == SIGKILL);
    CHECK(large.ends(50ms) == -1);
  }
  SUBCASE("protected: then the kernel decides") {
    auto kill = policy::Kill{.pick = policy::Pick::all, .protect = {"eater"}};
    CHECK(d.watch({pausing(g.name(), {action(kill)})}).empty());
    Eater eater(g.hierarchies(), beside, "touch", 30);
    CHECK(WTERMSIG(eater.ends()) == SIGKILL);
    INFO(d.text());
    CHECK(d.decided("oom", "kill", "skipped") != nullptr);
    CHECK(d.decided("oom", "release", "done") != nullptr);
    CHECK(d.decided("oom_kill") != nullptr);
  }
  SUBCASE("all") {
    CHECK(d.watch({pausing(g.name(), {killing(policy::Pick::all)})}).empty());
    Eater first(g.hierarchies(), inner, "touch", 8);
    CHECK(first.says("done"));
    Eater second(g.hierarchies(), beside, "touch", 8);
    CHECK(second.says("done"));
    Eater third(g.hierarchies(), beside, "touch", 12);
    for (Eater* e : {&first, &second, &third}) CHECK(WTERMSIG(e->ends()) == SIGKILL);
    INFO(d.text());
    const auto* killed = d.decided("oom", "kill", "done");
    REQUIRE(killed != nullptr);
    CHECK(killed->detail.view() == "signal 9 to 3 processes");
  }
  SUBCASE("by the kernel's score") {
    CHECK(d.watch({pausing(g.name(), {killing(policy::Pick::kernel)})}).empty());
    Eater large(g.hierarchies(), beside, "touch", 14);
    CHECK(large.says("done"));
    Eater small(g.hierarchies(), beside, "wait", 12);
    {
      const auto fd = sys::open_path(fmt::format("/proc/{}/oom_score_adj", small.pid()), O_WRONLY);
      REQUIRE(sys::write_fd(fd->get(), "1000").has_value());
    }
    small.go();
    CHECK(WTERMSIG(small.ends()) == SIGKILL);
    CHECK(large.ends(50ms) == -1);
  }
}

TEST_CASE("memory: a signal first, and SIGKILL for who ignores it") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  Daemon d(g.hierarchies());
  CHECK(d.watch({pausing(g.name(), {killing(policy::Pick::largest, SIGTERM, 300'000)})}).empty());
  SUBCASE("ignored") {
    Eater deaf(g, "deaf", 30);
    CHECK(WTERMSIG(deaf.ends()) == SIGKILL);
    const auto* killed = d.decided("oom", "kill", "done");
    INFO(d.text());
    REQUIRE(killed != nullptr);
    CHECK(killed->detail.view() == "SIGKILL after signal 15");
    CHECK(killed->took >= 300'000);
  }
  SUBCASE("heard, though it waits at the limit") {
    Eater polite(g, "polite", 30);
    const int status = polite.ends();
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 7);
    INFO(d.text());
    CHECK(d.decided("oom", "kill", "done") != nullptr);
  }
}

TEST_CASE("memory: a budget of kills") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  Daemon d(g.hierarchies(), {.kills_per_hour = 1});
  CHECK(d.watch({pausing(g.name(), {killing()})}).empty());
  Eater first(g, "touch", 30);
  CHECK(WTERMSIG(first.ends()) == SIGKILL);
  CHECK(d.decided("oom", "kill", "done") != nullptr);
  Eater second(g, "touch", 30);
  CHECK(WTERMSIG(second.ends()) == SIGKILL);
  INFO(d.text());
  CHECK(d.decided("oom", "kill", "limited") != nullptr);
  CHECK(d.decided("oom", "release", "done") != nullptr);
}

TEST_CASE("memory: a budget of kills bounds a kill of all") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  Daemon d(g.hierarchies(), {.kills_per_hour = 2});
  Eater one(g, "touch", 6);
  CHECK(one.says("done"));
  Eater two(g, "touch", 6);
  CHECK(two.says("done"));
  CHECK(d.watch({pausing(g.name(), {killing(policy::Pick::all)})}).empty());
  Eater third(g, "touch", 12);
  const auto* killed = d.decided("oom", "kill", "done");
  INFO(d.text());
  REQUIRE(killed != nullptr);
  CHECK(killed->detail.view() == "signal 9 to 2 processes: no more than 2 kills an hour");
  CHECK(std::ranges::count_if(std::array{&one, &two, &third}, [](Eater* e) { return e->ends(3s) != -1; }) == 2);
}

TEST_CASE("memory: frozen, and killed in the ice") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  if (!can_freeze(g)) CGX_SKIP("needs a freezer");
  Daemon d(g.hierarchies());
  SUBCASE("frozen by the policy") {
    CHECK(d.watch({pausing(g.name(), {freezing("", 0), killing()})}).empty());
    Eater eater(g, "touch", 30);
    CHECK(WTERMSIG(eater.ends()) == SIGKILL);
  }
  SUBCASE("frozen by somebody else, and so again at the end") {
    Eater bystander(g, "touch", 12);
    CHECK(bystander.says("done"));
    Eater eater(g, "wait", 30);
    CHECK(d.watch({pausing(g.name(), {action(policy::Log{"x"}), exec({"/bin/sleep", "0.5"}), killing()})}).empty());
    eater.go();
    REQUIRE(d.decided("oom", "log") != nullptr);
    if (g.v1())
      CHECK(freeze(Cgroup(g.hierarchies(), g.name()), std::chrono::steady_clock::now() + 10ms).has_value() == false);
    CHECK(d.decided("oom", "kill", "done") != nullptr);
  }
  INFO(d.text());
  CHECK(frozen(Cgroup(g.hierarchies(), g.name())) == false);
}

TEST_CASE("memory: another group is frozen for a time") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  if (!can_freeze(g)) CGX_SKIP("needs a freezer");
  const MemoryGroup other("64M");
  const Cgroup batch(other.hierarchies(), other.name());
  Daemon d(g.hierarchies(), {.thresholds = false});
  Eater sleeper(other, "touch", 1);
  CHECK(d.watch(
             {pausing(g.name(), {freezing(other.name(), 600'000), raise(16 * mib, 64 * mib)}), observing(other.name())})
            .empty());
  Eater eater(g, "touch", 30);
  CHECK(eater.says("done"));
  REQUIRE(d.decided("oom", "freeze", "done") != nullptr);
  CHECK(told_to_freeze(batch, *freezer_of(batch)).value());
  CHECK(content(d.state_dir() + "/memory.frozen").find(other.name()) != std::string::npos);
  CHECK(wait_until([&] { return !told_to_freeze(batch, *freezer_of(batch)).value(); }));
  CHECK(wait_until([&] { return content(d.state_dir() + "/memory.frozen").empty(); }));
}

TEST_CASE("memory: a program is run, with what it needs to know and without privileges") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  Daemon d(g.hierarchies(), {.thresholds = false});
  SUBCASE("runs") {
    const std::string script =
        "echo $CGX_GROUP $CGX_EVENT $CGX_LIMIT_OF $CGX_PAUSED $CGX_LIMIT_BYTES; id -un; env | wc -l";
    CHECK(d.watch({pausing(g.name(), {exec({"/bin/sh", "-c", script}), raise(16 * mib, 64 * mib)})}).empty());
    Eater eater(g, "touch", 30);
    CHECK(eater.says("done"));
    const auto* ran = d.decided("oom", "exec", "done");
    INFO(d.text());
    REQUIRE(ran != nullptr);
    const std::string first = fmt::format("{0} oom {0} 1 {1}", g.name(), 20 * mib);
    CHECK(ran->detail.view() == "status 0: " + first);
    CHECK(d.count("oom", "exec", "output") == 3);
    const auto line = [&](const std::string& text) {
      return std::ranges::any_of(d.decisions(), [&](const daemon::Decision& e) { return e.detail.view() == text; });
    };
    CHECK(line(first));
    CHECK(line("nobody"));
  }
  SUBCASE("fails: the next action") {
    CHECK(d.watch({pausing(g.name(), {exec({"/nonexistent"}), raise(16 * mib, 64 * mib)})}).empty());
    Eater eater(g, "touch", 30);
    CHECK(eater.says("done"));
    INFO(d.text());
    CHECK(d.decided("oom", "exec", "failed") != nullptr);
    CHECK(d.decided("oom", "raise", "done") != nullptr);
  }
  SUBCASE("takes too long: killed, with what it started") {
    const std::string script = "sleep 987654 & echo $!; wait";
    CHECK(
        d.watch({pausing(g.name(), {exec({"/bin/sh", "-c", script}, 2'000'000), raise(16 * mib, 64 * mib)})}).empty());
    Eater eater(g, "touch", 30);
    CHECK(eater.says("done"));
    const auto* ran = d.decided("oom", "exec", "failed");
    INFO(d.text());
    REQUIRE(ran != nullptr);
    constexpr std::string_view killed = "killed after 2s: ";  // and the first line that it printed
    REQUIRE(ran->detail.view().starts_with(killed));
    const auto pid = sys::parse_u64(ran->detail.view().substr(killed.size()));
    REQUIRE(pid.has_value());
    CHECK(wait_until([&] {
      const std::string stat = content(fmt::format("/proc/{}/stat", *pid));
      return stat.starts_with('<') || stat.find(") Z") != std::string::npos;
    }));
  }
  SUBCASE("pause_max ends before the program does") {
    auto policy = pausing(g.name(), {exec({"/bin/sleep", "2"})});
    policy.pause_max = 300'000;
    CHECK(d.watch({policy}).empty());
    Eater eater(g, "touch", 40);
    CHECK(WTERMSIG(eater.ends()) == SIGKILL);
    INFO(d.text());
    const auto* released = d.decided("oom", "release");
    REQUIRE(released != nullptr);
    CHECK(d.count("oom", "exec", "done") == 0);
    CHECK(d.decided("oom", "exec", "done") != nullptr);  // it ends in its own time, and is told
  }
}

TEST_CASE("memory: limits are set, and memory is reclaimed") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  Daemon d(g.hierarchies(), {.thresholds = false});
  SUBCASE("set") {
    policy::Set set{.group = g.name(), .limits = {}};
    if (g.v1()) set.limits.push_back({limit("memsw", "48M"), "memory.memsw", {}});
    set.limits.push_back({limit("mem", "48M"), "memory.max", {}});
    if (!g.v1()) set.limits.push_back({limit("mem-high", "46M"), "memory.high", {}});
    CHECK(d.watch({pausing(g.name(), {action(set)})}).empty());
    Eater eater(g, "touch", 30);
    CHECK(eater.says("done"));
    INFO(d.text());
    CHECK(d.decided("oom", "set", "done") != nullptr);
    CHECK(g.limit() == 48 * mib);
  }
  SUBCASE("reclaim finds nothing: the next one") {
    CHECK(
        d.watch({pausing(g.name(), {action(policy::Reclaim{.amount = {.bytes = 4 * mib}}), raise(16 * mib, 64 * mib)})})
            .empty());
    Eater eater(g, "touch", 30);
    CHECK(eater.says("done"));
    INFO(d.text());
    CHECK(d.decided("oom", "reclaim") != nullptr);
    CHECK(d.decided("oom", "raise", "done") != nullptr);
  }
}

TEST_CASE("memory: what was raised is lowered again, when it can be") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  Daemon d(g.hierarchies(), {.thresholds = false});
  auto up = raise(16 * mib, 64 * mib);
  std::get<policy::Raise>(up.what).decay_after = 300'000;
  CHECK(d.watch({pausing(g.name(), {up})}).empty());
  {
    Eater eater(g, "touch", 30);
    CHECK(eater.says("done"));
    REQUIRE(wait_until([&] { return g.limit() == 36 * mib; }));
    CHECK(d.memory().watched().at(0).base_limit == 20 * mib);
    std::this_thread::sleep_for(600ms);
    CHECK(g.limit() == 36 * mib);  // in use: not below
  }
  const auto* lowered = d.decided("decay", "lower", "done");
  INFO(d.text());
  REQUIRE(lowered != nullptr);
  CHECK(g.limit() == 20 * mib);
  CHECK(lowered->detail.view() == "36M -> 20M");
  CHECK(d.memory().watched().at(0).base_limit == 0);
}

TEST_CASE("memory: a raise ends at the limit above, and at up_to") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g("28M");
  const std::string child = g.child("inner", "20M");
  Daemon d(g.hierarchies(), {.thresholds = false});
  CHECK(d.watch({pausing(child, {raise(16 * mib, 64 * mib)})}).empty());
  Eater eater(g.hierarchies(), child, "touch", 40);
  CHECK(WTERMSIG(eater.ends()) == SIGKILL);
  INFO(d.text());
  CHECK(d.decided("oom", "raise", "done") != nullptr);
  CHECK(g.limit(child) == 28 * mib);
}

TEST_CASE("memory: what would be done, to whom") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  Daemon d(g.hierarchies(), {.thresholds = false});
  auto percent =
      action(policy::Raise{.by = {.bytes = 0, .percent = 25}, .up_to = 22 * mib, .decay_after = 600'000'000});
  percent.limit = {.times = 3, .within = 600'000'000};
  CHECK(d.watch({pausing(g.name(), {percent, percent, killing(), exec({"/bin/true", "a b"})})}).empty());
  Eater eater(g, "touch", 10);
  CHECK(eater.says("done"));
  const auto steps = d.memory().explain(g.name());
  REQUIRE(steps.has_value());
  REQUIRE(steps->size() == 5);
  CHECK((*steps)[0].step == "raise");
  INFO((*steps)[0].what);
  CHECK((*steps)[0].what.ends_with(" 20M -> 22M, lowered again after 600s; 3 times in 600s at most"));
  CHECK((*steps)[1].what.find("stays at 22M: up_to is reached") != std::string::npos);
  CHECK((*steps)[2].victim == eater.pid());
  CHECK((*steps)[2].command.find("eater touch 10") != std::string::npos);
  CHECK((*steps)[3].what == "as nobody, for 5s at most");
  CHECK((*steps)[4].step == "release");
  CHECK(eater.ends(10ms) == -1);
  CHECK(g.limit() == 20 * mib);
  CHECK(d.memory().explain("cgx-test-nobody").error().code == ENOENT);
  CHECK(d.count("") == 0);
}

TEST_CASE("memory: pressure freezes another group for a time") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  const MemoryGroup other("64M");
  const Cgroup batch(other.hierarchies(), other.name());
  if (freezer_of(batch) == nullptr) CGX_SKIP("needs a freezer");
  policy::GroupPolicy policy = observing(g.name());
  policy::PressureRule rule{
      .resource = "cpu", .full = false, .stall = 100'000, .window = 2'000'000, .actions = {}, .place = {}};
  rule.actions = {freezing(other.name(), 500'000)};
  policy.on_pressure = {rule};
  Daemon d(g.hierarchies());
  const auto problems = d.watch({policy, observing(other.name())});
  if (!problems.empty()) CGX_SKIP(problems[0].text());
  // More than there are CPUs, all busy.
  const long busy = sysconf(_SC_NPROCESSORS_ONLN) + 2;
  std::vector<pid_t> pids;
  for (long i = 0; i < busy; ++i) {
    const pid_t pid = fork();
    if (pid == 0) {
      const auto end = std::chrono::steady_clock::now() + 20s;
      while (std::chrono::steady_clock::now() < end) {
      }
      _exit(0);
    }
    pids.push_back(pid);
    REQUIRE(attach(Cgroup(g.hierarchies(), g.name()), pid).has_value());
  }
  const auto* froze = d.decided("pressure", "freeze", "done");
  for (const pid_t pid : pids) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  INFO(d.text());
  REQUIRE(froze != nullptr);
  CHECK(froze->group.view() == g.name());
  CHECK(wait_until([&] { return !told_to_freeze(batch, *freezer_of(batch)).value(); }));
}

}  // namespace memory_actions_test
