// SPDX-License-Identifier: Apache-2.0
// What the kernel counts of processes that did known work.
#include "cgx/cgroupfs/usage.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/cgroupfs/perf.h"
#include "cgx/cgroupfs/report.h"
#include "cgx/cgroupfs/tasks.h"
#include "cgx/cgroupfs/walk.h"

#include "scratch.h"
#include "skip.h"

namespace usage_test {

using namespace cgx;

namespace {

constexpr std::array<Controller, 5> used{
    Controller::cpu, Controller::cpuacct, Controller::memory, Controller::io, Controller::pids};

// A group in every hierarchy, with the controllers that usage needs; all of it undone at the end.
class TestGroup {
 public:
  explicit TestGroup(const Hierarchies& hierarchies) : group_(hierarchies, test::unique_name()) {
    for (const Hierarchy& h : hierarchies.all()) {
      if (h.version() == Version::v2)
        for (const Controller c : used)
          if (h.controllers().has(c) && !cgx::row(c).v2_name.empty()) enable(h, std::string(cgx::row(c).v2_name));
      REQUIRE(sys::make_dir(h.root().value(), group_.name()).has_value());
      if (h.version() != Version::v1 || !h.controllers().has(Controller::cpuset)) continue;
      for (const char* file : {"cpuset.cpus", "cpuset.mems"})  // v1 takes no task without them
        REQUIRE(group_.write(h, file, sys::trim(sys::read_file(h.root().value(), file).value())).has_value());
    }
  }
  TestGroup(const TestGroup&) = delete;
  TestGroup& operator=(const TestGroup&) = delete;
  ~TestGroup() {
    (void)remove_group(group_, Below::remove);  // what is left is found after the tests
    for (const auto& [h, name] : enabled_)
      (void)sys::write_file(h->root().value(), "cgroup.subtree_control", "-" + name);
  }
  [[nodiscard]] const Cgroup& get() const { return group_; }
  [[nodiscard]] const std::string& name() const { return group_.name(); }

 private:
  void enable(const Hierarchy& h, const std::string& name) {
    const int root = h.root().value();
    const std::string now = sys::read_file(root, "cgroup.subtree_control").value_or("");
    for (const std::string_view word : sys::words(sys::trim(now)))
      if (word == name) return;
    if (sys::write_file(root, "cgroup.subtree_control", "+" + name)) enabled_.emplace_back(&h, name);
  }

  Cgroup group_;
  std::vector<std::pair<const Hierarchy*, std::string>> enabled_;
};

// A child that joins the group, does `work`, says so, and stays until the end of the scope.
class Worker {
 public:
  Worker(const Cgroup& group, const std::function<void()>& work) {
    std::array<int, 2> done{};
    std::array<int, 2> go{};
    REQUIRE(pipe2(done.data(), O_CLOEXEC) == 0);
    REQUIRE(pipe2(go.data(), O_CLOEXEC) == 0);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      char byte = 0;
      if (read(go[0], &byte, 1) != 1) _exit(1);
      work();
      (void)!write(done[1], "x", 1);
      while (true) pause();
    }
    close(done[1]);
    close(go[0]);
    const auto joined = attach(group, pid_);
    CHECK_MESSAGE(joined.has_value(), (joined ? "" : joined.error().text()));
    REQUIRE(write(go[1], "x", 1) == 1);
    char byte = 0;
    REQUIRE(read(done[0], &byte, 1) == 1);
    close(done[0]);
    close(go[1]);
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() { end(); }
  // Kills it and answers the CPU time that it had, in microseconds.
  std::uint64_t end() {
    if (pid_ <= 0) return 0;
    kill(pid_, SIGKILL);
    rusage used_by_it{};
    int status = 0;
    wait4(pid_, &status, 0, &used_by_it);
    pid_ = -1;
    const auto usec = [](const timeval& t) {
      return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(t.tv_usec);
    };
    return usec(used_by_it.ru_utime) + usec(used_by_it.ru_stime);
  }

 private:
  pid_t pid_ = -1;
};

void burn(std::chrono::milliseconds cpu) {
  timespec now{};
  volatile unsigned sink = 0;
  do {
    for (unsigned i = 0; i < 100'000; ++i) sink = sink + i;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  } while (std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec) < cpu);
}

constexpr std::size_t touched = 30U << 20U;

bool has(const Hierarchies& hierarchies, Controller c) { return hierarchies.of(c) != nullptr; }

}  // namespace

#define NEED_ROOT_AND(hierarchies, controller) \
  if (geteuid() != 0) CGX_SKIP("needs root");  \
  if (!has(hierarchies, controller)) CGX_SKIP("no hierarchy has " #controller)

TEST_CASE("usage: the CPU time of a burner is that of getrusage") {
  const Hierarchies hierarchies = Hierarchies::discover().value();
  NEED_ROOT_AND(hierarchies, Controller::cpuacct);
  const TestGroup group(hierarchies);
  Sampler sampler = Sampler::create(hierarchies).value();
  Worker worker(group.get(), [] { burn(std::chrono::milliseconds(600)); });
  const Usage usage = sampler.read(group.name()).value();
  const auto expected = static_cast<double>(worker.end());
  REQUIRE(usage.get("cpu.usage_usec").has_value());
  CHECK(static_cast<double>(*usage.get("cpu.usage_usec")) == doctest::Approx(expected).epsilon(0.1));
  const double parts = static_cast<double>(usage.get("cpu.user_usec").value() + usage.get("cpu.system_usec").value());
  CHECK(parts == doctest::Approx(expected).epsilon(0.1));
}

TEST_CASE("usage: memory that was touched, and its peak") {
  const Hierarchies hierarchies = Hierarchies::discover().value();
  NEED_ROOT_AND(hierarchies, Controller::memory);
  const TestGroup group(hierarchies);
  Sampler sampler = Sampler::create(hierarchies).value();
  char* held = nullptr;
  Worker worker(group.get(), [&held] {
    held = static_cast<char*>(std::malloc(touched));
    if (held != nullptr) std::memset(held, 1, touched);
  });
  const Usage usage = sampler.read(group.name()).value();
  CHECK(usage.get("memory.current").value() >= touched);
  CHECK(usage.get("memory.current").value() < touched + (8U << 20U));
  CHECK(usage.get("memory.anon").value() >= touched * 9 / 10);  // v1's sums may be a little behind
  CHECK(usage.get("memory.pgfault").value() > 0);
  worker.end();
  const Usage after = sampler.read(group.name()).value();
  CHECK(after.get("memory.current").value() < touched / 2);
  if (const auto peak = after.get("memory.peak")) CHECK(*peak >= touched);
}

TEST_CASE("usage: processes, their peak, and forks that were refused") {
  const Hierarchies hierarchies = Hierarchies::discover().value();
  NEED_ROOT_AND(hierarchies, Controller::pids);
  const TestGroup group(hierarchies);
  REQUIRE(group.get().write(*hierarchies.of(Controller::pids), "pids.max", "3").has_value());
  Sampler sampler = Sampler::create(hierarchies).value();
  Worker worker(group.get(), [] {
    for (int i = 0; i < 4; ++i) {
      const pid_t child = fork();
      if (child == 0) {
        usleep(200'000);
        _exit(0);
      }
    }
    while (wait(nullptr) > 0) {
    }
  });
  const Usage usage = sampler.read(group.name()).value();
  CHECK(usage.get("pids.current") == 1);
  if (const auto peak = usage.get("pids.peak")) CHECK(*peak == 3);
  if (const auto hits = usage.get("pids.max_hits")) CHECK(*hits == 2);
}

TEST_CASE("usage: throttling by a quota is counted") {
  const Hierarchies hierarchies = Hierarchies::discover().value();
  NEED_ROOT_AND(hierarchies, Controller::cpu);
  const TestGroup group(hierarchies);
  const Hierarchy& cpu = *hierarchies.of(Controller::cpu);
  const bool v1 = cpu.version() == Version::v1;
  const auto limited = group.get().write(cpu, v1 ? "cpu.cfs_quota_us" : "cpu.max", v1 ? "20000" : "20000 100000");
  if (!limited) CGX_SKIP("this kernel has no CPU quota");
  const Worker worker(group.get(), [] { burn(std::chrono::milliseconds(100)); });
  const Usage usage = Sampler::create(hierarchies).value().read(group.name()).value();
  CHECK(usage.get("cpu.nr_periods").value() >= 3);
  CHECK(usage.get("cpu.nr_throttled").value() >= 2);
  CHECK(usage.get("cpu.throttled_usec").value() > 50'000);
}

TEST_CASE("usage: a group that goes away while it is watched is told, and others are read on") {
  const Hierarchies hierarchies = Hierarchies::discover().value();
  if (geteuid() != 0) CGX_SKIP("needs root");
  Sampler sampler = Sampler::create(hierarchies).value();
  const TestGroup other(hierarchies);
  std::string name;
  {
    const TestGroup group(hierarchies);
    name = group.name();
    CHECK(sampler.read(name).has_value());
  }
  const auto gone = sampler.read(name);
  REQUIRE_FALSE(gone.has_value());
  CHECK(gone.error().code == ENOENT);
  CHECK(sampler.read(other.name()).has_value());
}

TEST_CASE("usage: groups that come and go under a reader do no harm") {
  const Hierarchies hierarchies = Hierarchies::discover().value();
  if (geteuid() != 0) CGX_SKIP("needs root");
  const TestGroup top(hierarchies);
  const pid_t maker = fork();
  REQUIRE(maker >= 0);
  if (maker == 0) {
    while (true) {
      for (const Hierarchy& h : hierarchies.all()) (void)sys::make_dir(h.root().value(), top.name() + "/x");
      for (const Hierarchy& h : hierarchies.all()) (void)sys::remove_dir(h.root().value(), top.name() + "/x");
    }
  }
  Sampler sampler = Sampler::create(hierarchies).value();
  int read = 0;
  int gone = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
  while (std::chrono::steady_clock::now() < end) {
    const auto below = walk_below(hierarchies, top.name());
    CHECK(below.has_value());
    const auto usage = sampler.read(top.name() + "/x");
    if (usage) ++read;
    if (!usage) {
      CHECK_MESSAGE(usage.error().code == ENOENT, usage.error().text());
      ++gone;
    }
  }
  kill(maker, SIGKILL);
  waitpid(maker, nullptr, 0);
  CHECK(read + gone > 0);
  // What was learnt on the way must not have lost a file.
  const Usage usage = sampler.read(top.name()).value();
  const Usage fresh = Sampler::create(hierarchies).value().read(top.name()).value();
  for (StatId id = 0; id < stat_count(); ++id) {
    CAPTURE(std::string(stat_row(id).name));
    CHECK(usage.get(id).has_value() == fresh.get(id).has_value());
  }
}

TEST_CASE("report: a run in a fresh group, and a second one in the same") {
  const Hierarchies hierarchies = Hierarchies::discover().value();
  NEED_ROOT_AND(hierarchies, Controller::cpuacct);
  const TestGroup group(hierarchies);
  const ReportStart first = start_report(hierarchies, group.name(), Counted::from_zero).value();
  std::uint64_t cpu = Worker(group.get(), [] { burn(std::chrono::milliseconds(300)); }).end();
  const UsageReport one = finish_report(hierarchies, first).value();
  CHECK(static_cast<double>(one.cpu_usec.value()) == doctest::Approx(static_cast<double>(cpu)).epsilon(0.1));
  CHECK(one.wall_usec >= 300'000);
  const ReportStart second = start_report(hierarchies, group.name(), Counted::from_now).value();
  cpu = Worker(group.get(), [] { burn(std::chrono::milliseconds(100)); }).end();
  const UsageReport two = finish_report(hierarchies, second).value();
  CHECK(static_cast<double>(two.cpu_usec.value()) == doctest::Approx(static_cast<double>(cpu)).epsilon(0.15));
}

TEST_CASE("perf: events of a group are counted, what the machine has not is told") {
  const Hierarchies hierarchies = Hierarchies::discover().value();
  NEED_ROOT_AND(hierarchies, Controller::perf_event);
  const TestGroup group(hierarchies);
  auto counters = PerfCounters::open(group.get());
  if (!counters &&
      (counters.error().code == EPERM || counters.error().code == EACCES || counters.error().code == ENOSYS))
    CGX_SKIP("perf_event_open is not allowed here: " + counters.error().text());
  REQUIRE_MESSAGE(counters.has_value(), counters.error().text());
  Worker worker(group.get(), [] { burn(std::chrono::milliseconds(300)); });
  const auto counts = counters->read();
  REQUIRE(counts.has_value());
  const auto cpu = static_cast<double>(worker.end());
  REQUIRE(counts->size() == perf_events().size());
  for (const PerfCount& count : *counts) {
    CAPTURE(std::string(count.event->name));
    CHECK(count.value.has_value() == count.missing.empty());
    if (count.event->name == "task-clock")
      CHECK(static_cast<double>(count.value.value()) / 1000 == doctest::Approx(cpu).epsilon(0.25));
    if (count.event->name == "cycles" && count.value) CHECK(*count.value > 1'000'000);
  }
  // The second reading begins where the first ended.
  const auto nothing = counters->read();
  REQUIRE(nothing.has_value());
  for (const PerfCount& count : *nothing)
    if (count.event->name == "task-clock") CHECK(count.value.value() < 50'000'000);
}

TEST_CASE("perf: a group that is not in the hierarchy of perf_event is an error that says so") {
  const Hierarchies hierarchies = Hierarchies::discover().value();
  NEED_ROOT_AND(hierarchies, Controller::perf_event);
  const auto counters = PerfCounters::open(Cgroup(hierarchies, test::unique_name()));
  REQUIRE_FALSE(counters.has_value());
  CHECK(counters.error().code == ENOENT);
  CHECK(counters.error().what.find(hierarchies.of(Controller::perf_event)->dir()) != std::string::npos);
  const Hierarchies none = Hierarchies::of_mounts({Mount{.version = Version::v1, .dir = "/proc", .root = "/"}});
  const auto without = PerfCounters::open(Cgroup(none, "x"));
  REQUIRE_FALSE(without.has_value());
  CHECK(without.error().code == ENOTSUP);
}

}  // namespace usage_test
