// SPDX-License-Identifier: Apache-2.0
// Which groups TreeWatch reports as made and removed, also those that come and go while it looks.
#include "cgx/cgroupfs/tree_watch.h"

#include <algorithm>
#include <functional>
#include <utility>

#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/sys/text.h"

#include "skip.h"
#include "watch_support.h"

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
using Change = TreeEvent::Change;

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

TEST_CASE("kernel tree watch: a group that comes while the one above it begins to be watched") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const TestGroup g;
  const int root = g.hierarchies().all().front().root().value();
  const std::string inner = g.name() + "/a/b";
  auto tree = TreeWatch::open(g.hierarchies());
  REQUIRE(tree.has_value());
  REQUIRE(tree->add(g.name(), TreeWatch::Depth::below));
  REQUIRE(sys::make_dir(root, g.name() + "/a").has_value());
  before_watch = [&] { REQUIRE(sys::make_dir(root, inner).has_value()); };
  const auto events = tree->read();
  REQUIRE_FALSE(before_watch);
  REQUIRE(events.has_value());
  CHECK(std::ranges::count(*events, inner, &TreeEvent::group) == 1);
}

TEST_CASE("kernel tree watch: a group whose parent is made anew while that begins to be watched") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  const TestGroup g;
  const int root = g.hierarchies().all().front().root().value();
  const std::string inner = g.name() + "/a/b";
  const auto make = [&] {
    REQUIRE(sys::make_dir(root, g.name() + "/a").has_value());
    REQUIRE(sys::make_dir(root, inner).has_value());
  };
  make();
  auto tree = TreeWatch::open(g.hierarchies());
  REQUIRE(tree.has_value());
  before_watch = [&] {
    REQUIRE(remove_group(Cgroup(g.hierarchies(), g.name() + "/a"), Below::remove));
    make();
  };
  REQUIRE(tree->add(inner, TreeWatch::Depth::group));
  REQUIRE_FALSE(before_watch);
  (void)tree->read();
  REQUIRE(remove_group(Cgroup(g.hierarchies(), inner), Below::keep));
  const auto events = tree->read();
  REQUIRE(events.has_value());
  CHECK(std::ranges::count_if(
            *events, [&](const TreeEvent& e) { return e.group == inner && e.change == Change::removed; }) == 1);
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
