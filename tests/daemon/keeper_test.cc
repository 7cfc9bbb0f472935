// SPDX-License-Identifier: Apache-2.0
// What a keeper does with what an earlier run has left, and with policies that are refused at the start.
#include "daemon/keeper.h"

#include <cerrno>
#include <optional>
#include <string>

#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "groups.h"
#include "scratch.h"
#include "skip.h"

namespace keeper_test {

using namespace cgx;
using cgx::daemon::Keeper;
using cgx::daemon::Settings;
using cgx::daemon::StateDir;

// The directories of one cgxd, and a group for its policies.
class Runs {
 public:
  explicit Runs(const Hierarchies& hierarchies) : hierarchies_(&hierarchies), group_(hierarchies) {
    dir_.dir("policies");
    settings_.policy_dir = dir_.path() + "/policies";
    settings_.state_dir = dir_.path() + "/state";
  }
  [[nodiscard]] const std::string& group() const { return group_.name(); }
  [[nodiscard]] std::string state() const { return settings_.state_dir; }
  Settings& settings() { return settings_; }
  void policy(std::string_view text) const { dir_.file("policies/a.yaml", text); }
  [[nodiscard]] std::string pids(std::string_view max) const {
    return fmt::format("version: 1\ngroups: {{{}: {{pids: {{max: {}}}}}}}\n", group(), max);
  }
  [[nodiscard]] bool there() const { return !Cgroup(*hierarchies_, group()).present().empty(); }

  // A start; the run before ends with it.
  Keeper& start() {
    keeper_.reset();
    state_.reset();
    auto state = StateDir::open(settings_.state_dir);
    REQUIRE_MESSAGE(state.has_value(), (state ? "" : state.error().text()));
    state_.emplace(*std::move(state));
    return keeper_.emplace(*hierarchies_, *state_, settings_);
  }

 private:
  const Hierarchies* hierarchies_;
  test::TestGroup group_;
  test::ScratchDir dir_;
  Settings settings_;
  std::optional<StateDir> state_;
  std::optional<Keeper> keeper_;
};

TEST_CASE("keeper: policies that are refused at the start take no group away") {
  const auto hierarchies = Hierarchies::discover();
  if (!hierarchies) CGX_SKIP("no cgroup file system is mounted");
  if (geteuid() != 0) CGX_SKIP("needs root");
  Runs runs(*hierarchies);
  runs.policy(runs.pids("30"));
  {
    Keeper& first = runs.start();
    REQUIRE(first.recall());
    REQUIRE(first.reload().ok);
    REQUIRE(runs.there());
  }
  runs.policy(runs.pids("30Q"));
  Keeper& second = runs.start();
  REQUIRE(second.recall());
  CHECK_FALSE(second.reload().ok);
  const auto repairs = second.put_right();
  REQUIRE(repairs.has_value());
  CHECK(repairs->changes.empty());
  CHECK(runs.there());
  // Once they are right, they are in force again.
  runs.policy("version: 1\ngroups: {}\n");
  REQUIRE(second.reload().ok);
  CHECK_FALSE(runs.there());
}

TEST_CASE("keeper: what an earlier run has left and cannot be read is not taken for nothing") {
  const auto hierarchies = Hierarchies::discover();
  if (!hierarchies) CGX_SKIP("no cgroup file system is mounted");
  if (geteuid() != 0) CGX_SKIP("needs root");
  for (const std::string file : {"requested.yaml", "sources", "changed"}) {
    CAPTURE(file);
    Runs runs(*hierarchies);
    REQUIRE(runs.start().recall());
    REQUIRE(mkdir((runs.state() + "/" + file).c_str(), 0755) == 0);  // it is there, and no file
    const auto recalled = runs.start().recall();
    REQUIRE_FALSE(recalled.has_value());
    CHECK(recalled.error().code == EISDIR);
    CHECK(recalled.error().text().find(runs.state() + "/" + file) != std::string::npos);
  }
}

TEST_CASE("keeper: a directory of policies that cannot be looked at is not an empty one") {
  const auto hierarchies = Hierarchies::discover();
  if (!hierarchies) CGX_SKIP("no cgroup file system is mounted");
  if (geteuid() != 0) CGX_SKIP("needs root");
  Runs runs(*hierarchies);
  runs.policy(runs.pids("30"));
  Keeper& keeper = runs.start();
  REQUIRE(keeper.recall());
  REQUIRE(keeper.reload().ok);
  const std::string kept = runs.settings().policy_dir + ".kept";
  REQUIRE(rename(runs.settings().policy_dir.c_str(), kept.c_str()) == 0);
  REQUIRE(symlink(runs.settings().policy_dir.c_str(), runs.settings().policy_dir.c_str()) == 0);
  CHECK_FALSE(keeper.reload().ok);
  CHECK(runs.there());
  // That there is none at all is no mistake: then there are no policies.
  REQUIRE(unlink(runs.settings().policy_dir.c_str()) == 0);
  CHECK(keeper.reload().ok);
  CHECK_FALSE(runs.there());
}

}  // namespace keeper_test
