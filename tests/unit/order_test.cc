// SPDX-License-Identifier: Apache-2.0
// The order of writes over many groups: checked against the rules of the kernel for every prefix of it.
#include "cgx/change/order.h"

#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "cgx/sys/text.h"

namespace order_test {

namespace {
using namespace cgx;

const Hierarchy& v1() {
  static const Hierarchies hierarchies = [] {
    Mount m{.version = Version::v1, .dir = "/nonexistent", .root = "/"};
    m.controllers.add(Controller::cpu);
    return Hierarchies::of_mounts({m});
  }();
  return hierarchies.all()[0];
}

Step to(std::string group, std::string file, std::string text) {
  return {.hierarchy = &v1(), .group = std::move(group), .file = std::move(file), .text = std::move(text)};
}

// `group/file <- text` lines.
std::string ordered(std::vector<Step> steps, const std::map<std::string, std::string>& now) {
  const ReadNow read = [&](const Step& s, std::string_view file) -> std::optional<std::string> {
    const auto at = now.find(s.group + "/" + std::string(file));
    return at == now.end() ? std::nullopt : std::optional(at->second + "\n");
  };
  std::string text;
  for (const Step& s : in_order(std::move(steps), read)) text += s.group + "/" + s.file + " <- " + s.text + "\n";
  return text;
}

}  // namespace

TEST_CASE("order: cpusets grow from the top down and shrink from the bottom up") {
  CHECK(ordered({to("a", "cpuset.cpus", "0-3"), to("a/b", "cpuset.cpus", "1-2")},
                {{"a/cpuset.cpus", "0-1"}, {"a/b/cpuset.cpus", "1"}}) ==
        "a/cpuset.cpus <- 0-3\na/b/cpuset.cpus <- 1-2\n");
  CHECK(ordered({to("a", "cpuset.cpus", "0"), to("a/b", "cpuset.cpus", "0")},
                {{"a/cpuset.cpus", "0-3"}, {"a/b/cpuset.cpus", "0-1"}}) ==
        "a/b/cpuset.cpus <- 0\na/cpuset.cpus <- 0\n");
  // Sideways: first both.
  CHECK(ordered({to("a", "cpuset.cpus", "1"), to("a/b", "cpuset.cpus", "1")},
                {{"a/cpuset.cpus", "0"}, {"a/b/cpuset.cpus", "0"}}) ==
        "a/cpuset.cpus <- 0-1\na/b/cpuset.cpus <- 0-1\na/b/cpuset.cpus <- 1\na/cpuset.cpus <- 1\n");
  // A new one has none.
  CHECK(ordered({to("a", "cpuset.cpus", "1"), to("a/b", "cpuset.cpus", "1")}, {{"a/cpuset.cpus", "0"}}) ==
        "a/cpuset.cpus <- 0-1\na/b/cpuset.cpus <- 1\na/cpuset.cpus <- 1\n");
}

TEST_CASE("order: bandwidth is raised from the top down and lowered from the bottom up") {
  const std::map<std::string, std::string> now{{"a/cpu.cfs_quota_us", "50000"},
                                               {"a/cpu.cfs_period_us", "100000"},
                                               {"a/b/cpu.cfs_quota_us", "50000"},
                                               {"a/b/cpu.cfs_period_us", "100000"}};
  CHECK(ordered({to("a", "cpu.cfs_quota_us", "90000"), to("a/b", "cpu.cfs_quota_us", "80000")}, now) ==
        "a/cpu.cfs_quota_us <- 90000\na/b/cpu.cfs_quota_us <- 80000\n");
  CHECK(ordered({to("a", "cpu.cfs_quota_us", "20000"), to("a/b", "cpu.cfs_quota_us", "10000")}, now) ==
        "a/b/cpu.cfs_quota_us <- 10000\na/cpu.cfs_quota_us <- 20000\n");
  // The period counts as well, and stays beside its quota.
  CHECK(ordered({to("a", "cpu.cfs_period_us", "1000000"),
                 to("a", "cpu.cfs_quota_us", "60000"),
                 to("a/b", "cpu.cfs_quota_us", "5000")},
                now) == "a/b/cpu.cfs_quota_us <- 5000\na/cpu.cfs_period_us <- 1000000\na/cpu.cfs_quota_us <- 60000\n");
  // From a limit to none is more, from none to a limit is less.
  CHECK(ordered({to("a", "cpu.cfs_quota_us", "-1"), to("a/c", "cpu.cfs_quota_us", "30000")}, now) ==
        "a/cpu.cfs_quota_us <- -1\na/c/cpu.cfs_quota_us <- 30000\n");
}

TEST_CASE("order: real-time runtimes are lowered before others are raised") {
  CHECK(ordered({to("a", "cpu.rt_runtime_us", "300"),
                 to("a/b", "cpu.rt_runtime_us", "100"),
                 to("a/c", "cpu.rt_runtime_us", "200")},
                {{"a/cpu.rt_runtime_us", "300"},
                 {"a/b/cpu.rt_runtime_us", "200"},
                 {"a/c/cpu.rt_runtime_us", "100"},
                 {"a/b/cpu.rt_period_us", "1000"}}) ==
        "a/b/cpu.rt_runtime_us <- 100\na/cpu.rt_runtime_us <- 300\na/c/cpu.rt_runtime_us <- 200\n");
}

TEST_CASE("order: exclusive sets are given up first and taken last") {
  CHECK(ordered({to("a", "cpuset.cpu_exclusive", "1"),
                 to("a", "cpuset.cpus", "0-1"),
                 to("a/b", "cpuset.cpu_exclusive", "1"),
                 to("a/b", "cpuset.cpus", "0")},
                {}) ==
        "a/cpuset.cpus <- 0-1\na/b/cpuset.cpus <- 0\na/cpuset.cpu_exclusive <- 1\na/b/cpuset.cpu_exclusive <- 1\n");
  CHECK(ordered(
            {to("a", "cpuset.cpu_exclusive", "0"), to("a/b", "cpuset.cpu_exclusive", "0"), to("a/b", "pids.max", "3")},
            {}) == "a/b/cpuset.cpu_exclusive <- 0\na/cpuset.cpu_exclusive <- 0\na/b/pids.max <- 3\n");
}

TEST_CASE("order: the rest stays in its order") {
  CHECK(
      ordered({to("a", "memory.limit_in_bytes", "1"), to("a", "pids.max", "2"), to("b", "memory.limit_in_bytes", "3")},
              {}) == "a/memory.limit_in_bytes <- 1\na/pids.max <- 2\nb/memory.limit_in_bytes <- 3\n");
}

}  // namespace order_test
