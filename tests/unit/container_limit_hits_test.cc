// SPDX-License-Identifier: Apache-2.0
// Which limit is said to have killed or refused a process, by counters before and after.
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/container/limit_hits.h"

#include "scratch.h"

namespace container_limit_hits_test {

namespace {
using namespace cgx::container;

constexpr std::uint64_t mib = std::uint64_t{1} << 20U;

LevelReading level(std::string group, std::uint64_t count, std::vector<LimitReading> limits, bool inside = false) {
  return {.group = std::move(group), .inside = inside, .count = count, .limits = std::move(limits)};
}
LevelReading own(std::uint64_t kills, std::vector<LimitReading> limits) { return level("a/b", kills, limits, true); }
LimitReading v1_mem(std::uint64_t value, std::uint64_t failcnt) {
  return {.file = "memory.limit_in_bytes", .value = value, .hits = failcnt};
}
LimitReading memsw(std::uint64_t value, std::uint64_t peak, std::uint64_t failcnt = 0) {
  return {.file = "memory.memsw.limit_in_bytes", .value = value, .hits = failcnt, .peak = peak};
}
LimitReading v2_mem(std::uint64_t value, std::uint64_t oom) {
  return {.file = "memory.max", .value = value, .hits = oom};
}
LimitReading swap_max(std::uint64_t value, std::uint64_t hits = 0) {
  return {.file = "memory.swap.max", .value = value, .hits = hits};
}
LimitReading pids_max(std::uint64_t value, std::uint64_t peak) {
  return {.file = "pids.max", .value = value, .peak = peak};
}

// The same with nothing counted yet.
Readings unused(Readings readings) {
  for (LevelReading& l : readings.levels) {
    l.count = 0;
    for (LimitReading& limit : l.limits) limit.hits = limit.peak = 0;
  }
  return readings;
}

TEST_CASE("container limit hits: a limit that was changed meanwhile is told with both values") {
  const Readings before{.levels = {own(0, {v1_mem(20 * mib, 0)})}, .whole = true};
  for (const auto& [now, word] :
       {std::pair{no_limit, std::string("max")}, std::pair{256 * mib, std::to_string(256 * mib)}}) {
    const Readings after{.levels = {own(1, {v1_mem(now, 3)})}, .whole = true};
    CHECK(memory_cause(before, after).memory_text() ==
          fmt::format("memory.limit_in_bytes {} (changed to {} meanwhile) of a/b", 20 * mib, word));
  }
  const Readings few{.levels = {own(0, {pids_max(5, 5)})}};
  for (const bool at_limit : {true, false}) {
    const Readings many{.levels = {own(1, {pids_max(no_limit, 5)})}, .at_limit = at_limit};
    CHECK(pids_cause(few, many).limit == "pids.max 5 (changed to max meanwhile)");
  }
}

TEST_CASE("container limit hits: the host had no more on the memory nodes that the group may use") {
  Readings after{.levels = {own(1, {v2_mem(no_limit, 0)})}, .whole = true};
  for (const auto& [nodes, text] : {std::pair{"", "the memory of the host"},
                                    std::pair{"2", "the memory of node 2 of the host (cpuset.mems)"},
                                    std::pair{"0-1", "the memory of nodes 0-1 of the host (cpuset.mems)"}}) {
    after.nodes = nodes;
    CHECK(memory_cause(unused(after), after).memory_text() == text);
    CHECK(memory_cause(0, after).memory_text() == text);
  }
}

TEST_CASE("container limit hits: the limit of memory that killed") {
  struct Row {
    const char* name;
    std::vector<LevelReading> after;
    bool whole;
    std::uint64_t kills;
    const char* text;
  };
  const LevelReading unlimited = level("a", 0, {v2_mem(no_limit, 0), swap_max(no_limit)});
  const Row rows[] = {
      {"v1 memory",
       {own(1, {memsw(no_limit, 17 * mib), v1_mem(16 * mib, 9)})},
       true,
       1,
       "memory.limit_in_bytes 16777216 of a/b"},
      {"v1 memory and swap, which has no failcnt",
       {own(1, {memsw(16 * mib, 16 * mib), v1_mem(16 * mib, 0)})},
       true,
       1,
       "memory.memsw.limit_in_bytes 16777216 of a/b"},
      {"v1 memory and swap, with its failcnt",
       {own(1, {memsw(16 * mib, 0, 3), v1_mem(16 * mib, 0)})},
       true,
       1,
       "memory.memsw.limit_in_bytes 16777216 of a/b"},
      {"v1 memory, and swapped until both are full",
       {own(1, {memsw(32 * mib, 32 * mib), v1_mem(16 * mib, 900)})},
       true,
       1,
       "memory.memsw.limit_in_bytes 33554432 of a/b"},
      {"v1 memory, with room for swap that the host has not",
       {own(1, {memsw(32 * mib, 16 * mib), v1_mem(16 * mib, 9)})},
       true,
       1,
       "memory.limit_in_bytes 16777216 of a/b"},
      {"v1 the parent's memsw",
       {own(2, {memsw(no_limit, 8 * mib)}), level("a", 0, {memsw(16 * mib, 16 * mib)})},
       true,
       2,
       "memory.memsw.limit_in_bytes 16777216 of a"},
      {"v2 memory",
       {own(1, {v2_mem(16 * mib, 1), swap_max(no_limit)}), unlimited},
       true,
       1,
       "memory.max 16777216 of a/b"},
      {"v2 no swap",
       {own(1, {v2_mem(16 * mib, 1), swap_max(0)}), unlimited},
       true,
       1,
       "memory.max 16777216, memory.swap.max 0 of a/b"},
      {"v2 swap is full",
       {own(1, {v2_mem(16 * mib, 1), swap_max(mib, 5)})},
       true,
       1,
       "memory.max 16777216, memory.swap.max 1048576 of a/b"},
      {"v2 swap is not full", {own(1, {v2_mem(16 * mib, 1), swap_max(mib)})}, true, 1, "memory.max 16777216 of a/b"},
      {"v2 the parent's",
       {own(1, {v2_mem(64 * mib, 0)}), level("a", 0, {v2_mem(32 * mib, 1)}), level("", 0, {v2_mem(16 * mib, 1)})},
       true,
       1,
       "memory.max 33554432 of a"},
      {"of a container in it",
       {level("a/b/c", 1, {v2_mem(mib, 1)}, true), own(0, {v2_mem(16 * mib, 0)})},
       true,
       1,
       "memory.max 1048576 of a/b/c"},
      {"a group below was at its limit and lost nothing",
       {level("a/b/c", 0, {memsw(mib, mib)}, true), own(1, {memsw(2 * mib, 2 * mib)})},
       true,
       1,
       "memory.memsw.limit_in_bytes 2097152 of a/b"},
      {"a limit that was not reached: the host",
       {own(1, {v2_mem(16 * mib, 0), swap_max(0)}), unlimited},
       true,
       1,
       "the memory of the host"},
      {"v1 the same", {own(1, {memsw(16 * mib, 15 * mib), v1_mem(16 * mib, 0)})}, true, 1, "the memory of the host"},
      {"not all groups can be seen",
       {own(1, {v2_mem(16 * mib, 0)})},
       false,
       1,
       "no group that can be seen from here had reached a limit (dmesg tells more)"},
      {"others were killed for the parent's limit",
       {own(0, {v2_mem(16 * mib, 0)}), level("a", 3, {v2_mem(16 * mib, 3)})},
       true,
       0,
       ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    const Readings after{.levels = row.after, .whole = row.whole};
    const Cause cause = memory_cause(unused(after), after);
    CHECK(cause.count == row.kills);
    if (row.kills > 0) CHECK(cause.memory_text() == row.text);
    CHECK(memory_cause(after, after).count == 0);  // what was counted before the run is of others
  }
}

TEST_CASE("container limit hits: what was reached and has killed nobody") {
  LimitReading v1 = v1_mem(16 * mib, 7), v2 = v2_mem(32 * mib, 0), endless = v2_mem(no_limit, 0);
  v1.reached = 7;
  v2.reached = endless.reached = 3;
  using Texts = std::vector<std::string>;
  const Texts texts{fmt::format("memory.limit_in_bytes {} of a/b", 16 * mib),
                    fmt::format("memory.max {} of a", 32 * mib)};
  const Readings after{.levels = {own(0, {v1}), level("a", 0, {v2}), level("", 0, {endless})}, .whole = true};
  CHECK(memory_limits_reached({}, after) == texts);  // a fresh group
  CHECK(memory_limits_reached(after, after).empty());
  Readings before = after;
  before.levels[1].limits[0].reached = 2;
  CHECK(memory_limits_reached(before, after) == Texts{texts[1]});
  // Of memory and swap together v1 keeps a peak alone.
  const Readings swap{.levels = {own(0, {memsw(16 * mib, 16 * mib)})}};
  CHECK(memory_limits_reached(before, swap).size() == 1);
  CHECK(memory_limits_reached(swap, swap).empty());
}

TEST_CASE("container limit hits: by the kills of the group alone, a limit is named where it is the only one reached") {
  const auto cause = [](std::uint64_t before, std::vector<LevelReading> after) {
    return memory_cause(before, {.levels = std::move(after), .whole = true});
  };
  const LevelReading idle = level("a", 0, {v1_mem(64 * mib, 0)});
  CHECK(cause(2, {own(2, {v1_mem(16 * mib, 9)}), idle}).count == 0);  // it was killed by somebody else
  CHECK(cause(0, {}).count == 0);
  CHECK(cause(1, {own(2, {v1_mem(16 * mib, 9)}), idle}).memory_text() ==
        fmt::format("memory.limit_in_bytes {} of a/b", 16 * mib));
  CHECK(cause(0, {own(1, {v1_mem(16 * mib, 0)}), level("a", 0, {v1_mem(64 * mib, 3)})}).memory_text() ==
        fmt::format("memory.limit_in_bytes {} of a", 64 * mib));
  const Cause both = cause(0, {own(1, {v2_mem(16 * mib, 1)}), level("a", 0, {v2_mem(64 * mib, 3)})});
  CHECK(both.count == 1);
  CHECK(both.memory_text() == "several of its groups have been at their limits (dmesg tells which one)");
  CHECK(cause(0, {own(1, {v2_mem(no_limit, 0)})}).memory_text() == "the memory of the host");
}

TEST_CASE("container limit hits: what could not be read names no limit") {
  const std::string why = "/sys/fs/cgroup/memory/a/memory.failcnt: Too many open files";
  const std::string told = "by which limit is unknown, because " + why + " (dmesg tells more)";
  // The counters of the parent are 0 and its limit none, as they are of a group whose files could not be read.
  Readings after{.levels = {own(1, {v1_mem(16 * mib, 0)}), level("a", 0, {v1_mem(no_limit, 0)})}, .whole = true};
  Readings before = unused(after);
  CHECK(memory_cause(before, after).memory_text() == "the memory of the host");
  CHECK(memory_cause(0, after).memory_text() == "the memory of the host");
  after.unread = why;
  CHECK(memory_cause(before, after).memory_text() == told);
  CHECK(memory_cause(0, after).memory_text() == told);
  CHECK_FALSE(memory_cause(before, after).host);
  // Nor does a limit that was hit before, in a look that failed.
  after = {.levels = {own(1, {v1_mem(16 * mib, 9)})}, .whole = true};
  before = unused(after);
  before.unread = why;
  CHECK(memory_cause(before, after).limit.empty());
  CHECK(memory_cause(before, after).memory_text() == told);

  after = {.levels = {own(2, {pids_max(3, 3)})}, .unread = why};
  const Cause pids = pids_cause(unused(after), after);
  CHECK(pids.count == 2);
  CHECK(pids.limit.empty());
  CHECK(pids.unread == why);
}

TEST_CASE("container limit hits: a read that fails is no 0 and no missing limit") {
  const cgx::test::ScratchDir tree;
  tree.dir("memory");
  tree.dir("memory/a");
  tree.file("memory/release_agent", "\n");
  tree.file("memory/a/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
  tree.file("memory/a/memory.limit_in_bytes", "16777216\n");
  cgx::Mount mount{.version = cgx::Version::v1, .dir = tree.path() + "/memory", .root = "/"};
  mount.device = 1;
  mount.controllers.add(cgx::Controller::memory);
  const cgx::Hierarchies hierarchies = cgx::Hierarchies::of_mounts({mount});
  const cgx::Cgroup group(hierarchies, "a");
  // Files that are not there are no failure.
  CHECK(read_memory(group).unread.empty());
  CHECK(memory_kills(group) == 3);
  tree.file("memory/a/memory.failcnt", "4\n");
  CHECK(memory_limits_reached({}, read_memory(group)) ==
        std::vector<std::string>{"memory.limit_in_bytes 16777216 of a"});
  std::filesystem::remove(tree.path() + "/memory/a/memory.failcnt");
  tree.dir("memory/a/memory.failcnt");
  CHECK(read_memory(group).unread == tree.path() + "/memory/a/memory.failcnt: Is a directory");
  const cgx::Cgroup damaged(hierarchies, "b");
  tree.dir("memory/b");
  tree.dir("memory/b/memory.oom_control");
  const auto kills = memory_kills(damaged);
  REQUIRE_FALSE(kills);
  CHECK(kills.error().what == tree.path() + "/memory/b/memory.oom_control: Is a directory");
}

TEST_CASE("container limit hits: the limit of pids that refused") {
  struct Row {
    const char* name;
    bool at_limit;
    std::vector<LevelReading> after;
    std::uint64_t refused;
    const char *group, *limit;
  };
  const Row rows[] = {
      {"own, counted where the limit is", true, {own(2, {pids_max(3, 3)})}, 2, "a/b", "pids.max 3"},
      {"the parent's, counted where the limit is",
       true,
       {own(0, {pids_max(9, 3)}), level("a", 2, {pids_max(3, 3)})},
       2,
       "a",
       "pids.max 3"},
      {"own, counted where it forked",
       false,
       {own(2, {pids_max(3, 3)}), level("a", 0, {pids_max(3, 3)})},
       2,
       "a/b",
       "pids.max 3"},
      {"the parent's, counted where it forked",
       false,
       {own(2, {pids_max(9, 3)}), level("a", 0, {pids_max(3, 3)})},
       2,
       "a",
       "pids.max 3"},
      {"the same, without a peak",
       false,
       {own(2, {pids_max(no_limit, 0)}), level("a", 0, {pids_max(3, 0)})},
       2,
       "a",
       "pids.max 3"},
      {"a limit that cannot be seen", false, {own(2, {pids_max(no_limit, 0)})}, 2, "", ""},
      {"none", true, {own(0, {pids_max(3, 3)})}, 0, "", ""},
      {"another's, counted where it forked",
       false,
       {own(0, {pids_max(9, 3)}), level("a", 4, {pids_max(3, 3)})},
       0,
       "",
       ""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    const Readings after{.levels = row.after, .at_limit = row.at_limit};
    const Cause cause = pids_cause(unused(after), after);
    CHECK(cause.count == row.refused);
    CHECK(cause.group == row.group);
    CHECK(cause.limit == row.limit);
  }
}

}  // namespace
}  // namespace container_limit_hits_test
