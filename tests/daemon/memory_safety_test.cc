// SPDX-License-Identifier: Apache-2.0
// Whatever becomes of the daemon, no task waits for ever; what is reloaded is not lost; and between the kernel's signal
// and the action nothing is allocated.
#include <atomic>
#include <cstdlib>
#include <thread>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/cgroupfs/tasks.h"

#include "daemon/memory/victim.h"
#include "memory_support.h"

namespace memory_safety_test {

using namespace cgx;
using namespace cgx::test;
using namespace std::chrono_literals;

namespace {

// ---- counting allocations of the memory thread ----
thread_local bool watched_thread = false;
std::atomic<unsigned> allocations{0};

// ---- dying at the n-th step ----
std::atomic<int> steps_left{-1};
void die_at_step(std::string_view where) {
  if (where == "wake") return;  // as many as there happen to be
  if (steps_left < 0) return;
  const int left = steps_left--;
  if (left == 0) (void)kill(getpid(), SIGKILL);
}
[[maybe_unused]] void mark_thread(std::string_view) { watched_thread = true; }

policy::Action freezing() { return action(policy::Freeze{.group = {}, .duration = 0}); }

// The daemon as a process of its own, which dies at step `step`; or lives until it is told to end, and ends by itself.
// Answers how many steps there were in the end; none: it was killed.
struct Life {
  pid_t pid = -1;
  sys::Fd ready, end;
};

Life live(const MemoryGroup& g, const std::string& state_dir, const std::vector<policy::Action>& actions, int step) {
  int ready[2], end[2];
  REQUIRE(pipe2(ready, O_CLOEXEC) == 0);
  REQUIRE(pipe2(end, O_CLOEXEC) == 0);
  Life life;
  life.pid = fork();
  if (life.pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    steps_left = step;
    close(ready[0]);
    close(end[1]);
    {
      auto memory = daemon::MemoryThread::start(g.hierarchies(),
                                                {.state_dir = state_dir, .lock_memory = false, .stopper = die_at_step});
      if (!memory) _exit(9);
      policy::Policies policies;
      policies.groups = {pausing(g.name(), actions)};
      policies.groups[0].pause_max = 400'000;
      (void)(*memory)->watch(policies, {});
      (void)!write(ready[1], "x", 1);
      char c = 0;
      (void)!read(end[0], &c, 1);
    }
    _exit(0);
  }
  close(ready[1]);
  close(end[0]);
  life.ready = sys::Fd(ready[0]);
  life.end = sys::Fd(end[1]);
  return life;
}

void check_free(const MemoryGroup& g) {
  const Cgroup group(g.hierarchies(), g.name());
  if (const Hierarchy* h = freezer_of(group)) CHECK_FALSE(told_to_freeze(group, *h).value());
  if (g.v1()) {
    CHECK(g.read("memory.oom_control", "").starts_with("oom_kill_disable 0\n"));
    CHECK(wait_until([&] { return !g.under_oom(); }));
  } else {
    CHECK(g.read("", "memory.high") == "max\n");
  }
}

}  // namespace

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__has_feature)
#define CGX_COUNTS_ALLOCATIONS 1
#elif defined(__has_feature)
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
#define CGX_COUNTS_ALLOCATIONS 1
#endif
#endif

#ifdef CGX_COUNTS_ALLOCATIONS
extern "C" {
void* __libc_malloc(std::size_t);               // NOLINT: glibc's own name
void* __libc_calloc(std::size_t, std::size_t);  // NOLINT
void* __libc_realloc(void*, std::size_t);       // NOLINT
void* malloc(std::size_t size) {
  if (watched_thread) ++allocations;
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  if (watched_thread) ++allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* old, std::size_t size) {
  if (watched_thread) ++allocations;
  return __libc_realloc(old, size);
}
}
#endif

TEST_CASE("memory: the memory thread allocates nothing") {
  NEEDS_MEMORY_EVENTS();
#ifndef CGX_COUNTS_ALLOCATIONS
  CGX_SKIP("a sanitizer has the allocator");
#else
  const MemoryGroup g("24M");
  Daemon d(g.hierarchies(), {.thresholds = false, .stopper = mark_thread});
  allocations = 0;
  // From the first arming on its thread is marked: all of its life is counted, not the wakes alone.
  std::vector<policy::Action> list{action(policy::Log{"x"}),
                                   raise(4 * mib, 28 * mib),
                                   freezing(),
                                   exec({"/bin/true"}),
                                   killing(policy::Pick::largest, SIGTERM, 50'000),
                                   killing()};
  CHECK(d.watch({pausing(g.name(), list)}).empty());
  const unsigned before = allocations;
  for (int i = 0; i < 3; ++i) {
    Eater eater(g, "deaf", 40);
    CHECK(WTERMSIG(eater.ends()) == SIGKILL);
  }
  INFO(d.text());
  CHECK(d.count("oom", "raise", "done") >= 1);
  CHECK(d.count("oom", "kill", "done") >= 2);
  CHECK(allocations == before);
  // The count itself works.
  watched_thread = true;
  void* volatile p = std::malloc(10);
  watched_thread = false;
  std::free(p);
  CHECK(allocations == before + 1);
#endif
}

TEST_CASE("memory: killed at every step, and nobody is left waiting") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  const ScratchDir state;
  const std::string dir = state.path() + "/state";
  const std::vector<policy::Action> actions{freezing(), action(policy::Log{"frozen"})};
  unsigned deaths = 0;
  bool lived = false;
  for (int step = 0; step < 40 && !lived; ++step) {
    CAPTURE(step);
    Life life = live(g, dir, actions, step);
    char c = 0;
    const bool ready = read(life.ready.get(), &c, 1) == 1;
    {
      Eater eater(g, "touch", 40);
      int status = 0;
      if (ready) {
        // It pauses, freezes, comes to the end of the list, gives back; and then is told to end.
        (void)wait_until([&] { return eater.ends(1ms) != -1 || waitpid(life.pid, &status, WNOHANG) == life.pid; });
        life.end.reset(-1);
      }
      if (status == 0) waitpid(life.pid, &status, 0);
      if (WIFSIGNALED(status)) {
        ++deaths;
        const auto released = daemon::release_paused(g.hierarchies(), dir);
        REQUIRE(released.has_value());
      } else {
        CHECK(WEXITSTATUS(status) == 0);
        lived = true;
      }
      check_free(g);
      CHECK(WTERMSIG(eater.ends()) == SIGKILL);  // the kernel decides
    }
    CHECK(daemon::release_paused(g.hierarchies(), dir).value().empty());
  }
  CHECK(lived);
  CHECK(deaths >= 8);
}

TEST_CASE("memory: killed while a group waits, and taken over by the next start") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  const ScratchDir state;
  Life life = live(g, state.path(), {exec({"/bin/sleep", "5"})}, -1);
  char c = 0;
  REQUIRE(read(life.ready.get(), &c, 1) == 1);
  Eater eater(g, "touch", 30);
  if (g.v1()) REQUIRE(wait_until([&] { return g.under_oom(); }));
  kill(life.pid, SIGKILL);
  waitpid(life.pid, nullptr, 0);
  if (g.v1()) {
    CHECK(g.under_oom());
    CHECK(eater.ends(50ms) == -1);
  }
  auto next = daemon::MemoryThread::start(g.hierarchies(), {.state_dir = state.path(), .lock_memory = false});
  REQUIRE(next.has_value());
  policy::Policies policies;
  policies.groups = {pausing(g.name(), {raise(16 * mib, 64 * mib)})};
  CHECK((*next)->watch(policies, {}).empty());
  CHECK(eater.says("done"));
  CHECK(g.kills() == 0);
  SUBCASE("its end gives back") { next->reset(); }
  SUBCASE("so does a policy without it") {
    CHECK((*next)->watch({}, {}).empty());
    check_free(g);
    next->reset();
  }
  check_free(g);
}

TEST_CASE("memory: what was paused and no policy names any more is given back at the next start") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  const ScratchDir state;
  Life life = live(g, state.path(), {exec({"/bin/sleep", "5"})}, -1);
  char c = 0;
  REQUIRE(read(life.ready.get(), &c, 1) == 1);
  kill(life.pid, SIGKILL);
  waitpid(life.pid, nullptr, 0);
  if (g.v1()) CHECK(g.read("memory.oom_control", "").starts_with("oom_kill_disable 1\n"));
  auto next = daemon::MemoryThread::start(g.hierarchies(), {.state_dir = state.path(), .lock_memory = false});
  REQUIRE(next.has_value());
  CHECK((*next)->watch({}, {}).empty());
  check_free(g);
}

TEST_CASE("memory: the record of another group of that name is left alone") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  if (!g.v1()) CGX_SKIP("looks at memory.oom_control");
  const ScratchDir state;
  g.write("memory.oom_control", "", "1");
  state.file("memory.paused",
             fmt::format("oom 1 0 {}\nnonsense\noom x 0 {}\noom 1 0 ../..\noom 1 0 cut", g.name(), g.name()));
  const auto released = daemon::release_paused(g.hierarchies(), state.path());
  REQUIRE(released.has_value());
  CHECK(released->empty());
  CHECK(g.read("memory.oom_control", "").starts_with("oom_kill_disable 1\n"));
}

TEST_CASE("memory: groups made below a paused one do not wait for nobody") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g("64M");
  if (!g.v1()) CGX_SKIP("v1's groups inherit memory.oom_control");
  Daemon d(g.hierarchies());
  CHECK(d.watch({pausing(g.name(), {})}).empty());
  const std::string child = g.child("inner", "20M");
  CHECK(wait_until([&] { return g.read("memory.oom_control", "", child).starts_with("oom_kill_disable 0\n"); }));
  Eater eater(g.hierarchies(), child, "touch", 30);
  CHECK(WTERMSIG(eater.ends()) == SIGKILL);
  const std::string late = g.child("late", "20M");
  d.stop();
  CHECK(g.read("memory.oom_control", "", late).starts_with("oom_kill_disable 0\n"));
}

TEST_CASE("memory: a reload while an action is under way, and none is missed") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  Daemon d(g.hierarchies(), {.thresholds = false});
  CHECK(d.watch({pausing(g.name(), {exec({"/bin/sleep", "2"}), raise(8 * mib, 64 * mib)})}).empty());
  Eater eater(g, "again", 22);
  REQUIRE(wait_until([&] { return d.memory().watched().at(0).acting; }));
  auto other = pausing(g.name(), {raise(24 * mib, 128 * mib)});
  for (int i = 0; i < 5; ++i) CHECK(d.watch({other}).empty());
  CHECK(d.memory().watched().at(0).paused);
  CHECK(eater.says("done"));
  CHECK(d.count("oom", "raise", "done") == 1);
  CHECK(g.limit() == 28 * mib);  // as the run began
  eater.signal(SIGUSR1);
  CHECK(eater.says("done\ndone"));
  INFO(d.text());
  CHECK(g.limit() == 52 * mib);  // by the new policy
  CHECK(g.kills() == 0);
}

TEST_CASE("memory: reloads all the time, and one policy is always in force") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g;
  const MemoryGroup other;
  Daemon d(g.hierarchies(), {.thresholds = false});
  const auto with = pausing(g.name(), {raise(mib, 128 * mib)});
  CHECK(d.watch({with}).empty());
  Eater eater(g, "touch", 60);
  std::atomic<bool> stop{false};
  std::thread reload([&] {
    for (bool both = false; !stop; both = !both) {
      auto changed = with;
      changed.on_oom[0] = raise(both ? mib : 2 * mib, 128 * mib);
      (void)d.watch(both ? std::vector{changed, pausing(other.name(), {})} : std::vector{changed});
    }
  });
  const bool done = eater.says("done", 40s);
  stop = true;
  reload.join();
  INFO(d.text());
  CHECK(done);
  CHECK(g.kills() == 0);
}

TEST_CASE("memory: a policy that would stop the daemon itself is refused") {
  NEEDS_MEMORY_EVENTS();
  const MemoryGroup g("256M");
  const ScratchDir state;
  const pid_t pid = fork();
  if (pid == 0) {
    // In the group, as a daemon that a policy covers.
    if (!attach(Cgroup(g.hierarchies(), g.name()), getpid())) _exit(3);
    auto memory = daemon::MemoryThread::start(g.hierarchies(), {.state_dir = state.path(), .lock_memory = false});
    if (!memory) _exit(4);
    policy::Policies policies;
    policies.groups = {pausing(g.name(), {killing(), raise(mib, 512 * mib)})};
    const auto problems = (*memory)->watch(policies, {});
    const bool said = problems.size() == 2 && problems[0].text().find("this daemon itself") != std::string::npos;
    const auto watched = (*memory)->watched();
    const auto steps = (*memory)->explain(g.name());
    _exit(said && watched.size() == 1 && watched[0].mode == "kernel" && steps && (*steps)[0].step == "raise" ? 0 : 5);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("memory: a victim is one process, whatever becomes of its number") {
  NEEDS_MEMORY_EVENTS();
  using namespace cgx::daemon::memory;
  const MemoryGroup g("64M");
  Eater eater(g, "touch", 4);
  CHECK(eater.says("done"));
  const sys::Fd dir = sys::open_path(g.path(""), O_RDONLY | O_DIRECTORY).value();
  const std::string place = fmt::format("{}:/{}", g.v1() ? "memory" : "", g.name());
  const Victim v = find_victim(dir.get(), {}).victim;
  REQUIRE(v.pid == eater.pid());
  CHECK(v.comm.view() == "eater");
  CHECK(v.rss >= 4 * mib);
  const sys::Fd good(open_victim(v, place));
  CHECK(good.valid());
  Victim reused = v;
  reused.start += 1;  // the number, come to mean another process
  CHECK(open_victim(reused, place) == -ESRCH);
  CHECK(open_victim(v, place + "x") == -ESRCH);  // moved to another group
  CHECK(open_victim(v, place.substr(0, place.size() - 1)) == -ESRCH);
  CHECK(find_victim(dir.get(), {.protect = {"eater"}}).victim.pid == 0);
  CHECK(find_victim(dir.get(), {}, eater.pid()).victim.pid == 0);
  {
    const auto fd = sys::open_path(fmt::format("/proc/{}/oom_score_adj", eater.pid()), O_WRONLY);
    // As the kernel does it. Only CAP_SYS_RESOURCE may ask for it.
    if (sys::write_fd(fd->get(), "-1000")) CHECK(find_victim(dir.get(), {}).victim.pid == 0);
  }
  eater.signal(SIGKILL);
  CHECK(WTERMSIG(eater.ends()) == SIGKILL);
  CHECK(open_victim(v, place) == -ESRCH);
}

}  // namespace memory_safety_test
