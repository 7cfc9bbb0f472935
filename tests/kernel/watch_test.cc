// SPDX-License-Identifier: Apache-2.0
// Sources of events on the real kernel: nothing is lost between registering and waiting, and a group is never mistaken
// for a later one of its name.
#include "cgx/cgroupfs/watch.h"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/cgroupfs/tree_watch.h"

#include "scratch.h"
#include "skip.h"

namespace {

// What happens just before the next directory is watched.
std::function<void()> before_watch;

}  // namespace

// In place of the C library's.
extern "C" int inotify_add_watch(int fd, const char* path, std::uint32_t mask) noexcept {
  if (const auto now = std::exchange(before_watch, nullptr)) now();
  return static_cast<int>(syscall(SYS_inotify_add_watch, fd, path, mask));
}

namespace watch_test {

using namespace cgx;
using namespace std::chrono_literals;
using Change = TreeEvent::Change;

namespace {

// A group in every hierarchy that takes it, removed at the end with what is below it. cpuset is left out: on v1 a new
// group of it takes no process.
class TestGroup {
 public:
  TestGroup() : hierarchies_(Hierarchies::discover().value()), name_(test::unique_name()) { make(name_); }
  TestGroup(const TestGroup&) = delete;
  TestGroup& operator=(const TestGroup&) = delete;
  ~TestGroup() { remove(); }

  void make(const std::string& name) const {
    for (const Hierarchy& h : hierarchies_.all()) {
      if (h.version() == Version::v1 && h.controllers().has(Controller::cpuset)) continue;
      if (h.version() == Version::v2 && h.controllers().has(Controller::memory))
        (void)sys::write_file(*h.root(), "cgroup.subtree_control", "+memory");
      (void)sys::make_dir(*h.root(), name);
    }
  }
  void remove() const { (void)remove_group(group(), Below::remove); }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] Cgroup group() const { return Cgroup(hierarchies_, name_); }
  [[nodiscard]] const Hierarchies& hierarchies() const { return hierarchies_; }

 private:
  Hierarchies hierarchies_;
  std::string name_;
};

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

TEST_CASE("kernel tree watch: groups below come and go, and one that took another's place is both") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const TestGroup g;
  auto tree = TreeWatch::open(g.hierarchies());
  REQUIRE(tree.has_value());
  const std::string inner = g.name() + "/inner";
  g.make(inner);
  REQUIRE(tree->add(g.name(), TreeWatch::Depth::below));
  CHECK(tree->groups() == std::vector{g.name(), inner});
  CHECK(tree->read().value().empty());
  REQUIRE(remove_group(Cgroup(g.hierarchies(), inner), Below::keep));
  g.make(inner);
  const auto events = tree->read();
  REQUIRE(events.has_value());
  CHECK(std::ranges::count_if(
            *events, [&](const TreeEvent& e) { return e.group == inner && e.change == Change::removed; }) == 1);
  CHECK(std::ranges::count_if(*events, [&](const TreeEvent& e) {
          return e.group == inner && e.change == Change::appeared && e.first;
        }) == 1);
  g.remove();
  const auto last = tree->read();
  REQUIRE(last.has_value());
  REQUIRE(last->size() >= 2);
  CHECK(last->back().group == g.name());
  CHECK(last->back().change == Change::removed);
  CHECK(tree->groups().empty());
}

TEST_CASE("kernel tree watch: a group that is awaited is told of as it and those above it are made") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const TestGroup g;
  const std::string inner = g.name() + "/a/b";
  const auto told = [&](TreeWatch& tree, const std::string& group) {
    const auto events = tree.read();
    REQUIRE(events.has_value());
    return std::ranges::count_if(
        *events, [&](const TreeEvent& e) { return e.group == group && e.change == Change::appeared && e.first; });
  };
  auto tree = TreeWatch::open(g.hierarchies());
  REQUIRE(tree.has_value());
  g.remove();
  REQUIRE(tree->await(inner));
  CHECK(tree->groups().empty());
  g.make(g.name());
  CHECK(told(*tree, g.name()) > 0);
  REQUIRE(tree->await(inner));
  g.make(g.name() + "/ab");
  CHECK(told(*tree, g.name() + "/ab") == 0);
  g.make(g.name() + "/a");
  CHECK(told(*tree, g.name() + "/a") > 0);
  REQUIRE(tree->await(inner));
  for (int round = 0; round < 2; ++round) {
    g.make(inner);
    const Cgroup made(g.hierarchies(), inner);
    CHECK(told(*tree, inner) == static_cast<std::ptrdiff_t>(made.present().size()));
    REQUIRE(remove_group(made, Below::keep));
  }
}

TEST_CASE("kernel tree watch: a group above an awaited one that is made meanwhile is watched") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const TestGroup g;
  const Hierarchy& h = g.hierarchies().all().front();
  const int root = h.root().value();
  const std::string inner = g.name() + "/a/b";
  auto tree = TreeWatch::open(g.hierarchies());
  REQUIRE(tree.has_value());
  before_watch = [&] { REQUIRE(sys::make_dir(root, g.name() + "/a").has_value()); };
  REQUIRE(tree->await(inner));
  REQUIRE_FALSE(before_watch);
  (void)tree->read();
  REQUIRE(sys::make_dir(root, inner).has_value());
  const auto events = tree->read();
  REQUIRE(events.has_value());
  CHECK(std::ranges::count(*events, inner, &TreeEvent::group) == 1);
}

TEST_CASE("kernel tree watch: what an overflow of the queue lost is found again") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const TestGroup g;
  const auto most = sys::read_path("/proc/sys/fs/inotify/max_queued_events");
  const auto limit = most ? sys::parse_u64(sys::trim(*most)) : Result<std::uint64_t>(fail(ENOENT, ""));
  if (!limit || *limit > 20'000) CGX_SKIP("needs fs.inotify.max_queued_events of 20000 at most");
  auto tree = TreeWatch::open(g.hierarchies());
  REQUIRE(tree.has_value());
  const std::string old = g.name() + "/old";
  g.make(old);
  REQUIRE(tree->add(g.name(), TreeWatch::Depth::below));
  const int root = *g.hierarchies().all().back().root();
  for (std::uint64_t i = 0; i < *limit / 2 + 2; ++i) {
    REQUIRE(sys::make_dir(root, g.name() + "/flood"));
    REQUIRE(sys::remove_dir(root, g.name() + "/flood"));
  }
  g.make(g.name() + "/new");
  REQUIRE(remove_group(Cgroup(g.hierarchies(), old), Below::keep));
  const auto events = tree->read();
  REQUIRE(events.has_value());
  CHECK(
      std::ranges::any_of(*events, [&](const TreeEvent& e) { return e.group == old && e.change == Change::removed; }));
  CHECK(std::ranges::any_of(
      *events, [&](const TreeEvent& e) { return e.group == g.name() + "/new" && e.change == Change::appeared; }));
  CHECK(tree->groups() == std::vector{g.name(), g.name() + "/new"});
}

}  // namespace watch_test
