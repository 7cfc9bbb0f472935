// SPDX-License-Identifier: Apache-2.0
// What cgxd tells of itself, and the page for people.
#include <chrono>
#include <string>

#include <doctest/doctest.h>

#include "daemon/metrics/metrics.h"
#include "metrics_support.h"

namespace metrics_self_test {

using namespace cgx;
using daemon::Metrics;
using namespace metrics_support;

TEST_CASE("metrics: what cgxd counts of itself") {
  const Copy copy("v2");
  const Hierarchies hierarchies = copy.hierarchies();
  daemon::Shared shared;
  auto world = world_of({"web"});
  world->groups[0].warnings = {"x", "y"};
  world->problems = {"z"};
  shared.set(world);
  Metrics metrics(hierarchies, shared, {});
  daemon::Decision d;
  d.group.set("we\"b");
  d.event.set("oom");
  d.count = 1;
  d.action.set("raise");
  d.result.set("done");
  d.took = 300;
  metrics.count(d);
  d.action.set("kill");  // the second action about the same event
  metrics.count(d);
  d.event.set("failcnt");
  d.count = 9;
  d.action.set("none");
  metrics.count(d);
  metrics.lost_decisions(4);
  metrics.reloaded(false, {});
  metrics.watched(7);
  metrics.rules({.events = 10, .moved = 5, .failed = 1, .lost = 2, .rescans = 1});
  metrics.rules({.events = 12, .moved = 5, .failed = 1, .lost = 2, .rescans = 1});
  metrics.drifted(3);
  for (const auto format : {daemon::Format::text, daemon::Format::openmetrics}) {
    CAPTURE(static_cast<int>(format));
    const auto all = samples(metrics.page(format));
    CHECK(sample(all, "cgxd_oom_events_total{event=\"oom\",policy=\"we\\\"b\"}") == "1");
    CHECK(sample(all, "cgxd_actions_total{action=\"raise\",result=\"done\"}") == "1");
    CHECK(sample(all, "cgxd_actions_total{action=\"kill\",result=\"done\"}") == "1");
    CHECK(sample(all, "cgxd_event_reaction_seconds_count") == "2");
    CHECK(sample(all, "cgxd_event_reaction_seconds_bucket{le=\"0.0005\"}") == "2");
    CHECK(sample(all, "cgxd_event_reaction_seconds_bucket{le=\"0.00025\"}") == "0");
    CHECK(sample(all, "cgxd_events_without_notification_total") == "1");
    CHECK(sample(all, "cgxd_decisions_lost_total") == "4");
    CHECK(sample(all, "cgxd_config_last_reload_successful") == "0");
    CHECK(sample(all, "cgxd_config_reloads_total{result=\"failed\"}") == "1");
    CHECK(sample(all, "cgxd_watched_cgroups") == "7");
    CHECK(sample(all, "cgxd_policy_warnings") == "2");
    CHECK(sample(all, "cgxd_policy_problems") == "1");
    CHECK(sample(all, "cgxd_rule_events_total") == "12");
    CHECK(sample(all, "cgxd_rule_moves_total{result=\"done\"}") == "5");
    CHECK(sample(all, "cgxd_drift_repairs_total") == "3");
    CHECK(sample(all, "process_open_fds") != "(none)");
  }
}

TEST_CASE("metrics: the page for people escapes what others named") {
  const Copy copy("v2");
  copy.file("v2/<script>alert(1)<script>/cpu.stat", "usage_usec 61000000\n");
  const Hierarchies hierarchies = copy.hierarchies();
  daemon::Shared shared;
  auto world = world_of({"<script>alert(1)<script>", "web"});
  world->problems = {"a.yaml:1:1: <b>"};
  world->last_reload = std::chrono::system_clock::now();
  world->policy_valid = false;
  shared.set(world);
  Metrics metrics(hierarchies, shared, {});
  const std::string page = metrics.html("NONCE");
  CHECK(page.starts_with("<!DOCTYPE html>"));
  CHECK(page.find("<script>alert") == std::string::npos);
  CHECK(page.find("&lt;script&gt;alert(1)&lt;script&gt;") != std::string::npos);
  CHECK(page.find("<b>") == std::string::npos);
  CHECK(page.find("<script nonce=\"NONCE\">") != std::string::npos);
  CHECK(page.find(">1m 01s<") != std::string::npos);
  CHECK(page.find("the last load failed") != std::string::npos);
  const std::string json = metrics.json();
  CHECK(json.find("\"cpu_usec\":61000000") != std::string::npos);
  CHECK(json.find("\"summary\":\"2 groups\"") != std::string::npos);
}

}  // namespace metrics_self_test
