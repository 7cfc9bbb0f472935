// SPDX-License-Identifier: Apache-2.0
// Rules when events come faster than they can be handled.
#include <ctime>

#include <sys/resource.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/sys/text.h"

#include "rules_support.h"

namespace rules_storm_test {

using namespace cgx;
using cgx::test::Program;
using cgx::test::Started;

TEST_CASE("rules lose no process of a storm of 4,000") {
  CGX_SORTED(sorted);
  const Program driver(sorted.scratch);
  const std::string& name = sorted.group.name();
  REQUIRE(sorted.rules({{.command = sorted.program.comm(), .target = name}}));
  const std::string& path = sorted.program.path();
  Started storm({driver.path(), "storm", "4000", "16", path, "settle", name, "30"});
  CHECK(storm.line() == "0");
  CHECK(storm.end() == 0);
  CAPTURE(sorted.failures());
  // Each process has looked for itself. One that ends as soon as it sees its group is not counted as moved.
  CHECK(sorted.sorter->stats().moved > 0);
  CHECK(sorted.sorter->stats().failed == 0);
}

TEST_CASE("rules lose no process when the queue of events overflows") {
  // Room for a few events. The storm's processes run side by side, so that more come than fit.
  CGX_SORTED(sorted, {.buffer = 2048});
  const Program driver(sorted.scratch);
  const std::string& name = sorted.group.name();
  REQUIRE(sorted.rules({{.command = sorted.program.comm(), .target = name}}));
  const std::string& path = sorted.program.path();
  for (int round = 0; round < 10 && sorted.sorter->stats().lost == 0; ++round) {
    Started storm({driver.path(), "storm", "400", "40", path, "settle", name, "30"});
    CHECK(storm.line() == "0");
    CHECK(storm.end() == 0);
  }
  CHECK(sorted.sorter->stats().lost > 0);
  CHECK(sorted.sorter->stats().rescans > 1);
  CAPTURE(sorted.failures());
  CHECK(sorted.sorter->stats().failed == 0);
}

TEST_CASE("rules go on in a flood of forks, which costs little") {
  CGX_SORTED(sorted);
  const Program flood(sorted.scratch);
  const std::string& name = sorted.group.name();
  REQUIRE(sorted.rules({{.command = sorted.program.comm(), .target = name}}));
  constexpr std::uint64_t count = 4'000;
  const auto before = sorted.sorter->stats();
  Started first({flood.path(), "forks", std::to_string(count / 2)});
  Started second({flood.path(), "forks", std::to_string(count / 2)});
  Started process({sorted.program.path(), "settle", name, "20"});
  CHECK(process.end() == 0);
  const auto took = sys::parse_u64(first.line());
  REQUIRE(took);
  CHECK(second.end() == 0);
  CHECK(first.end() == 0);
  const auto after = sorted.sorter->stats();
  MESSAGE("forks a second: ", count / 2 * 2 * 1'000'000 / *took);
  // The children of a process that was there long before are not looked at one by one.
  CHECK(after.looked - before.looked < count / 4);
}

}  // namespace rules_storm_test
