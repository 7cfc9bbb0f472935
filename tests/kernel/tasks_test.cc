// SPDX-License-Identifier: Apache-2.0
// Moving, freezing, killing and walking on the real kernel, with failures put in.
#include "cgx/cgroupfs/tasks.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/cgroupfs/place.h"
#include "cgx/cgroupfs/walk.h"
#include "cgx/change/plan.h"

#include "scratch.h"
#include "skip.h"

namespace tasks_test {

namespace {

using cgx::Cgroup;
using cgx::Hierarchies;

// A group in every hierarchy, removed with what is in it.
class Group {
 public:
  explicit Group(const Hierarchies& hierarchies) : group(hierarchies, cgx::test::unique_name()) { make(""); }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  ~Group() {
    (void)cgx::kill_all(group, SIGKILL, std::chrono::steady_clock::now() + std::chrono::seconds(30));
    (void)cgx::remove_group(Cgroup(group.hierarchies(), group.name()), cgx::Below::remove);
  }
  void make(std::string_view child) const {
    cgx::Transaction t(group.hierarchies());
    cgx::Desired d;
    d.group = group.name() + std::string(child);
    d.existing = cgx::Existing::allow;
    const auto made = t.apply(d);
    REQUIRE_MESSAGE(made.has_value(), (made ? "" : made.error().text()));
  }
  Cgroup group;
};

// A process that sleeps until it is killed.
class Sleeper {
 public:
  Sleeper() : pid(fork()) {
    if (pid == 0)
      while (true) pause();
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  ~Sleeper() {
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, nullptr, 0);
  }
  pid_t pid;
};

bool everywhere(const Hierarchies& hierarchies, pid_t pid, const Cgroup& group) {
  const auto places = cgx::places_of(hierarchies, pid);
  if (!places) return false;
  return std::ranges::all_of(group.present(), [&](const cgx::Hierarchy* h) {
    return std::ranges::any_of(*places,
                               [&](const cgx::Place& p) { return p.hierarchy == h && p.group == group.name(); });
  });
}

cgx::Deadline in_seconds(int n) { return std::chrono::steady_clock::now() + std::chrono::seconds(n); }

}  // namespace

TEST_CASE("kernel tasks: a move that fails at any write leaves all processes where they were") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const auto hierarchies = Hierarchies::discover();
  if (!hierarchies) CGX_SKIP("no cgroup hierarchy is mounted");
  const Group from(*hierarchies);
  const Group to(*hierarchies);
  const Sleeper a;
  const Sleeper b;
  const std::array<pid_t, 2> both{a.pid, b.pid};
  REQUIRE(cgx::attach_all(from.group, both));
  bool moved = false;
  std::size_t failures = 0;
  for (int n = 0; n < 100 && !moved; ++n) {
    int write = 0;
    const cgx::sys::FaultFn fault = [&](std::string_view, std::string_view) { return write++ == n ? EIO : 0; };
    cgx::sys::inject_faults(&fault);
    const auto done = cgx::attach_all(to.group, both);
    cgx::sys::inject_faults(nullptr);
    moved = done.has_value();
    if (moved) break;
    ++failures;
    CHECK(done.error().code == EIO);
    CHECK(everywhere(*hierarchies, a.pid, from.group));
    CHECK(everywhere(*hierarchies, b.pid, from.group));
  }
  CHECK(moved);
  CHECK(failures == 2 * to.group.present().size());
  CHECK(everywhere(*hierarchies, a.pid, to.group));
  CHECK(everywhere(*hierarchies, b.pid, to.group));
}

TEST_CASE("kernel tasks: a process that has gone is ESRCH, with its number") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const auto hierarchies = Hierarchies::discover();
  if (!hierarchies) CGX_SKIP("no cgroup hierarchy is mounted");
  const Group group(*hierarchies);
  pid_t gone = -1;
  {
    const Sleeper s;
    gone = s.pid;
  }
  const auto moved = cgx::attach(group.group, gone);
  REQUIRE_FALSE(moved);
  CHECK(moved.error().code == ESRCH);
  CHECK(moved.error().value == std::to_string(gone));
}

TEST_CASE("kernel tasks: killing thaws for it, and leaves the freezer as it was") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const auto hierarchies = Hierarchies::discover();
  if (!hierarchies) CGX_SKIP("no cgroup hierarchy is mounted");
  Group g(*hierarchies);
  g.make("/inner");
  const Cgroup inner(*hierarchies, g.group.name() + "/inner");
  const cgx::Hierarchy* freezer = cgx::freezer_of(inner);
  if (freezer == nullptr) CGX_SKIP("no freezer");
  const Sleeper s;
  REQUIRE(cgx::attach(inner, s.pid));
  REQUIRE(cgx::freeze(inner, in_seconds(20)));
  CHECK(cgx::frozen(inner).value_or(false));
  const auto killed = cgx::kill_all(g.group, SIGKILL, in_seconds(20));
  REQUIRE(killed);
  CHECK(*killed == 1);
  CHECK(cgx::populated(g.group).value_or(true) == false);
  CHECK(cgx::told_to_freeze(inner, *freezer).value());
  CHECK_FALSE(cgx::told_to_freeze(g.group, *freezer).value());
}

TEST_CASE("kernel tasks: groups are walked once each, parents first") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const auto hierarchies = Hierarchies::discover();
  if (!hierarchies) CGX_SKIP("no cgroup hierarchy is mounted");
  const Group g(*hierarchies);
  for (const char* child : {"/b", "/a", "/a/x", "/a/x/y", "/c"}) g.make(child);
  const auto below = cgx::groups_below(g.group);
  REQUIRE(below);
  const std::string& n = g.group.name();
  CHECK(*below == std::vector<std::string>{n + "/a", n + "/a/x", n + "/a/x/y", n + "/b", n + "/c"});
  const auto listed = cgx::walk(g.group, cgx::Depth::children);
  REQUIRE(listed);
  CHECK(listed->size() == 3);
  for (const cgx::Listed& l : *listed)
    for (const cgx::Hierarchy* h : g.group.present()) CHECK(l.in(*h));
}

}  // namespace tasks_test
