// SPDX-License-Identifier: Apache-2.0
#include "daemon/rules/targets.h"

#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "groups.h"
#include "skip.h"

namespace targets_test {

using namespace cgx;
using cgx::daemon::Targets;

TEST_CASE("groups of templates are removed when they have been empty for a while") {
  const auto hierarchies = Hierarchies::discover();
  if (!hierarchies) CGX_SKIP("no cgroup file system is mounted");
  if (geteuid() != 0) CGX_SKIP("needs root");
  const test::TestGroup group(*hierarchies);
  Targets targets(*hierarchies);
  const std::string made = group.name() + "/made";
  const std::string kept = group.name() + "/kept";
  REQUIRE(targets.open(kept, false));
  REQUIRE(targets.open(made, true));
  const auto there = [&](const std::string& name) { return !Cgroup(*hierarchies, name).present().empty(); };
  auto now = std::chrono::steady_clock::now();
  const auto sweep_after = [&](int seconds) {
    now += std::chrono::seconds(seconds);
    targets.sweep(now);
  };
  sweep_after(61);  // seen empty for the first time
  CHECK(there(made));
  sweep_after(30);
  CHECK(there(made));
  sweep_after(31);
  CHECK_FALSE(there(made));
  CHECK(there(kept));
  // It comes again with its next process. One that has groups below it stays.
  REQUIRE(targets.open(made, true));
  REQUIRE(targets.open(made + "/below", false));
  sweep_after(61);
  sweep_after(61);
  sweep_after(61);
  CHECK(there(made));
  targets.forget_all();
}

TEST_CASE("groups of rules are made where the group above them is") {
  const auto hierarchies = Hierarchies::discover();
  if (!hierarchies) CGX_SKIP("no cgroup file system is mounted");
  if (geteuid() != 0) CGX_SKIP("needs root");
  const Hierarchy* pids = hierarchies->of(Controller::pids);
  if (pids == nullptr || hierarchies->all().size() < 2) CGX_SKIP("needs several hierarchies, one of them with pids");
  const test::TestGroup group(*hierarchies);
  REQUIRE(mkdir(pids->path(group.name()).c_str(), 0755) == 0);
  Targets targets(*hierarchies);
  const auto target = targets.open(group.name() + "/a/b", true);
  REQUIRE(target);
  REQUIRE((*target)->files.size() == 1);
  CHECK((*target)->files[0].hierarchy == pids);
  CHECK(Cgroup(*hierarchies, group.name() + "/a/b").present() == std::vector<const Hierarchy*>{pids});
}

}  // namespace targets_test
