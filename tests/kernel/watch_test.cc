// SPDX-License-Identifier: Apache-2.0
// Sources of events on the real kernel: nothing is lost between registering and waiting, and a group is never mistaken
// for a later one of its name.
#include "cgx/cgroupfs/watch.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/cgroupfs/tasks.h"

#include "skip.h"
#include "watch_support.h"

namespace watch_test {

using namespace cgx;
using namespace std::chrono_literals;

namespace {

// A process in the group, which touches `touch` MiB and then sleeps.
class Worker {
 public:
  Worker(const Cgroup& group, std::size_t touch) {
    int go[2];
    REQUIRE(pipe2(go, O_CLOEXEC) == 0);
    pid_ = fork();
    if (pid_ == 0) {
      char c = 0;
      if (read(go[0], &c, 1) != 1) _exit(1);
      const std::size_t size = touch << 20U;
      if (touch != 0) {
        void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (std::size_t i = 0; i < size; i += 4096) static_cast<volatile char*>(p)[i] = 1;
      }
      pause();
      _exit(0);
    }
    REQUIRE(attach(group, pid_).has_value());
    REQUIRE(write(go[1], "x", 1) == 1);
    close(go[0]);
    close(go[1]);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() { end(); }
  void end() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  void wait_dead() {
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
};

// What the source tells until `kind` comes, or for `limit`.
std::vector<EventKind> collect(Watch& watch, EventKind kind, std::chrono::milliseconds limit = 10s) {
  std::vector<EventKind> told;
  const auto end = Watch::Clock::now() + limit;
  while (Watch::Clock::now() < end && !watch.ended()) {
    auto until = end;
    if (const auto due = watch.due()) until = std::min(until, *due);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Watch::Clock::now()).count();
    pollfd p{.fd = watch.fd(), .events = watch.poll_events(), .revents = 0};
    const int n = poll(&p, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
    const auto events = watch.read(n > 0 ? Watch::Wake::ready : Watch::Wake::late);
    REQUIRE(events.has_value());
    for (const Event& e : *events) told.push_back(e.kind);
    if (std::ranges::find(told, kind) != told.end()) break;
  }
  return told;
}

bool has(const std::vector<EventKind>& told, EventKind kind) { return std::ranges::find(told, kind) != told.end(); }

bool limit_memory(const Cgroup& group, std::string_view bytes) {
  const Hierarchy* h = group.hierarchies().of(Controller::memory);
  if (h->version() == Version::v2) (void)group.write(*h, "memory.swap.max", "0");
  return group.write(*h, h->version() == Version::v1 ? "memory.limit_in_bytes" : "memory.max", bytes).has_value();
}

}  // namespace

TEST_CASE("kernel watch: what happens before the first poll is told") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const TestGroup g;
  auto watch = watch_state(g.group());
  if (!watch && watch.error().code == ENOTSUP) CGX_SKIP(watch.error().text());
  REQUIRE(watch.has_value());
  Worker worker(g.group(), 0);
  CHECK(has(collect(*watch, EventKind::populated), EventKind::populated));
  worker.end();
  CHECK(has(collect(*watch, EventKind::empty), EventKind::empty));
}

TEST_CASE("kernel watch: a source that starts at birth tells of what was before it") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const TestGroup g;
  const Worker worker(g.group(), 0);
  auto birth = watch_state(g.group(), Since::birth);
  if (!birth && birth.error().code == ENOTSUP) CGX_SKIP(birth.error().text());
  REQUIRE(birth.has_value());
  CHECK(collect(*birth, EventKind::populated) == std::vector{EventKind::populated});
  auto now = watch_state(g.group(), Since::now);
  REQUIRE(now.has_value());
  CHECK(collect(*now, EventKind::populated, 100ms).empty());
}

TEST_CASE("kernel watch: an OOM kill before the first poll is told, with its count") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const TestGroup g;
  auto watch = watch_memory(g.group());
  if (!watch && watch.error().code == ENOTSUP) CGX_SKIP(watch.error().text());
  REQUIRE(watch.has_value());
  REQUIRE(limit_memory(g.group(), "20M"));
  Worker worker(g.group(), 40);
  worker.wait_dead();
  const auto told = collect(*watch, EventKind::oom_kill);
  CHECK(has(told, EventKind::oom));
  CHECK(has(told, EventKind::oom_kill));
}

TEST_CASE("kernel watch: a pause at the limit of v1, and its end by a raise") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const TestGroup g;
  const Hierarchy* memory = g.hierarchies().of(Controller::memory);
  if (memory == nullptr || memory->version() != Version::v1) CGX_SKIP("needs a v1 memory hierarchy");
  REQUIRE(limit_memory(g.group(), "20M"));
  REQUIRE(g.group().write(*memory, "memory.oom_control", "1"));
  auto watch = watch_memory(g.group());
  REQUIRE(watch.has_value());
  Worker worker(g.group(), 40);
  const auto told = collect(*watch, EventKind::under_oom);
  CHECK(told == std::vector{EventKind::oom, EventKind::under_oom});
  // A source that comes later finds the pause, which is no new OOM.
  auto later = watch_memory(g.group());
  REQUIRE(later.has_value());
  CHECK(collect(*later, EventKind::under_oom) == std::vector{EventKind::under_oom});
  REQUIRE(limit_memory(g.group(), "80M"));
  CHECK(collect(*watch, EventKind::oom_kill, 300ms).empty());
}

TEST_CASE("kernel watch: a threshold is told in both directions, and rmdir is none") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const TestGroup g;
  auto watch = watch_threshold(g.group(), 10U << 20U);
  if (!watch && watch.error().code == ENOTSUP) CGX_SKIP(watch.error().text());
  REQUIRE(watch.has_value());
  Worker worker(g.group(), 20);
  CHECK(has(collect(*watch, EventKind::threshold), EventKind::threshold));
  worker.end();
  CHECK(has(collect(*watch, EventKind::threshold), EventKind::threshold));
  g.remove();
  CHECK(collect(*watch, EventKind::threshold).empty());
  CHECK(watch->ended());
}

TEST_CASE("kernel watch: sources of a removed group end, also where another one has its name") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const TestGroup g;
  std::vector<Watch> all;
  if (auto w = watch_memory(g.group())) all.push_back(*std::move(w));
  if (auto w = watch_state(g.group())) all.push_back(*std::move(w));
  if (auto w = watch_v1_state(g.group(), Occupancy::watch)) all.push_back(*std::move(w));
  REQUIRE_FALSE(all.empty());
  g.remove();
  g.make(g.name());
  const Worker worker(g.group(), 0);
  for (Watch& w : all) {
    const auto events = w.read(Watch::Wake::late);
    REQUIRE(events.has_value());
    CHECK(events->empty());
    CHECK(w.ended());
  }
}

TEST_CASE("kernel watch: who is in a v1 group is told by pidfd") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const TestGroup g;
  if (g.hierarchies().layout() == "v2") CGX_SKIP("needs a v1 hierarchy");
  Worker first(g.group(), 0);
  Worker second(g.group(), 0);
  auto watch = watch_v1_state(g.group(), Occupancy::watch);
  REQUIRE(watch.has_value());
  first.end();
  CHECK(collect(*watch, EventKind::empty, 200ms).empty());
  second.end();
  CHECK(collect(*watch, EventKind::empty) == std::vector{EventKind::empty});
  const Worker third(g.group(), 0);
  const auto events = watch->read(Watch::Wake::late);  // as a TreeWatch would have it
  REQUIRE(events.has_value());
  REQUIRE(events->size() == 1);
  CHECK(events->front().kind == EventKind::populated);
}

TEST_CASE("kernel watch: an unprivileged or a wrong PSI window says what the kernel takes") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const TestGroup g;
  const PressureTrigger trigger{.stall = 150'000, .window = 1'000'000};
  const auto watch = watch_pressure(g.group(), trigger);
  if (watch) {
    CHECK(watch->tells().test(bit(EventKind::pressure)));
  } else if (watch.error().code == ENOTSUP) {
    CGX_SKIP(watch.error().text());
  } else {
    CHECK(watch.error().code == EINVAL);
    CHECK(watch.error().value == "memory:some:150ms/1s");
    CHECK(watch.error().hint.find("multiple of 2 s") != std::string::npos);
  }
  CHECK(watch_pressure(g.group(), {.stall = 150'000, .window = 2'000'000}).has_value());
}

}  // namespace watch_test
