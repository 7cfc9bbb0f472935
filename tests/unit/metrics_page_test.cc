// SPDX-License-Identifier: Apache-2.0
// The pages, of groups in directories that stand in for hierarchies.
#include <set>
#include <string>

#include <doctest/doctest.h>

#include "daemon/metrics/listing.h"
#include "daemon/metrics/metrics.h"
#include "daemon/metrics/page.h"
#include "metrics_support.h"

namespace metrics_page_test {

using namespace cgx;
using namespace std::chrono_literals;
using daemon::Collector;
using daemon::Metrics;
using daemon::OomMemory;
using namespace metrics_support;

TEST_CASE("metrics page: v2, with the names and units of Prometheus") {
  const Copy copy("v2");
  copy.file("v2/cgroup.controllers", "cpu memory io pids\n");
  copy.file("v2/web/memory.max", "1073741824\n");
  copy.file("v2/web/memory.high", "max\n");
  copy.file("v2/web/memory.current", "5000000\n");
  copy.file("v2/web/cpu.max", "150000 100000\n");
  copy.file("v2/web/pids.max", "max\n");
  copy.file("v2/web/cpu.weight", "100\n");
  const Hierarchies hierarchies = copy.hierarchies();
  daemon::Shared shared;
  shared.set(world_of({"web"}));
  Metrics metrics(hierarchies, shared, {});
  const std::string page = page_of(metrics);
  const auto all = samples(page);
  const auto of_web = [&](const std::string& name, const std::string& more = "") {
    return sample(all, "cgx_cgroup_" + name + "{cgroup=\"web\"" + more + "}");
  };
  CHECK(of_web("memory_usage_bytes") == "5000000");
  CHECK(of_web("memory_limit_bytes") == "1073741824");
  CHECK(of_web("memory_high_bytes") == "(none)");  // no limit is no sample
  CHECK(of_web("pids_limit") == "(none)");
  CHECK(of_web("cpu_limit_cpus") == "1.5");
  CHECK(of_web("cpu_weight") == "100");
  CHECK(of_web("memory_soft_limit_bytes") == "(none)");  // another row's file on v2
  for (const char* name : {"cpu_usage_seconds_total",
                           "cpu_user_seconds_total",
                           "memory_working_set_bytes",
                           "memory_anon_bytes",
                           "memory_limit_hits_total",
                           "oom_kill_total",
                           "processes",
                           "pressure_memory_waiting_seconds_total",
                           "pressure_cpu_stalled_seconds_total"}) {
    CAPTURE(std::string(name));
    CHECK(of_web(name) != "(none)");
  }
  for (const char* event : {"low", "high", "max", "oom", "oom_kill"}) {
    CAPTURE(std::string(event));
    CHECK(of_web("memory_events_total", ",event=\"" + std::string(event) + '"') != "(none)");
  }
  CHECK(page.find("_avg") == std::string::npos);
  CHECK(page.find("_ratio") == std::string::npos);
  CHECK(page.find("9223372036854771712") == std::string::npos);
  CHECK(sample(all, "cgxd_scraped_cgroups") == "1");
  CHECK(page.find("# EOF") == std::string::npos);
}

TEST_CASE("metrics page: v1 has the same names") {
  const Copy v1("v1");
  const Copy v2("v2");
  v2.file("v2/cgroup.controllers", "cpu memory io pids\n");
  v1.file("memory/web/memory.limit_in_bytes", "9223372036854771712\n");
  v1.file("cpu,cpuacct/web/cpu.cfs_quota_us", "50000\n");
  v1.file("cpu,cpuacct/web/cpu.cfs_period_us", "100000\n");
  v1.file("cpu,cpuacct/web/cpu.shares", "1024\n");
  const auto names = [](const Copy& copy) {
    const Hierarchies hierarchies = copy.hierarchies();
    daemon::Shared shared;
    shared.set(world_of({"web"}));
    Metrics metrics(hierarchies, shared, {});
    std::set<std::string> found;
    for (const auto& [key, value] : samples(page_of(metrics))) found.insert(key.substr(0, key.find('{')));
    return found;
  };
  const auto on_v1 = names(v1);
  const auto on_v2 = names(v2);
  for (const char* name : {"cpu_usage_seconds_total",
                           "cpu_throttled_seconds_total",
                           "memory_usage_bytes",
                           "memory_working_set_bytes",
                           "memory_limit_hits_total",
                           "oom_kill_total",
                           "memory_events_total",
                           "processes",
                           "info"}) {
    CAPTURE(std::string(name));
    CHECK(on_v1.contains("cgx_cgroup_" + std::string(name)));
    CHECK(on_v2.contains("cgx_cgroup_" + std::string(name)));
  }
  CHECK_FALSE(on_v1.contains("cgx_cgroup_memory_limit_bytes"));
  const Hierarchies hierarchies = v1.hierarchies();
  daemon::Shared shared;
  shared.set(world_of({"web"}));
  Metrics metrics(hierarchies, shared, {});
  const auto all = samples(page_of(metrics));
  CHECK(sample(all, "cgx_cgroup_cpu_limit_cpus{cgroup=\"web\"}") == "0.5");
  CHECK(sample(all, "cgx_cgroup_cpu_weight{cgroup=\"web\"}") == "100");
}

TEST_CASE("metrics page: OpenMetrics has units, no _total in names of families, and an end") {
  const Copy copy("v2");
  const Hierarchies hierarchies = copy.hierarchies();
  daemon::Shared shared;
  shared.set(world_of({"web"}));
  Metrics metrics(hierarchies, shared, {});
  metrics.count({});
  const std::string page = metrics.page(daemon::Format::openmetrics);
  CHECK(page.ends_with("\n# EOF\n"));
  CHECK(page.find("# TYPE cgx_cgroup_cpu_usage_seconds counter\n# UNIT cgx_cgroup_cpu_usage_seconds seconds\n"
                  "cgx_cgroup_cpu_usage_seconds_total{cgroup=\"web\"} ") != std::string::npos);
  CHECK(page.find("# TYPE cgx_cgroup info\ncgx_cgroup_info{cgroup=\"web\",") != std::string::npos);
  CHECK(page.find("cgxd_event_reaction_seconds_bucket{le=\"+Inf\"} 0\n") != std::string::npos);
  std::set<std::string> families;
  for (const std::string_view line : sys::lines(page))
    if (line.starts_with("# TYPE ")) {
      CAPTURE(std::string(line));
      const auto words = sys::words(line);
      REQUIRE(words.size() == 4);
      CHECK(families.emplace(words[2]).second);
      CHECK_FALSE(words[2].ends_with("_total"));
    }
  CHECK(samples(page).size() > 30);
}

TEST_CASE("metrics page: in pieces it is the same as in one") {
  const Copy copy("v2");
  const Hierarchies hierarchies = copy.hierarchies();
  Collector collector(hierarchies, {});
  const auto snapshot = collector.collect(world_of({"web", ""}), [](const Error&) {});
  REQUIRE(snapshot.has_value());
  CHECK((*snapshot)->count == 2);
  daemon::Page whole(*snapshot, daemon::Format::openmetrics, daemon::Page::Names::group, "own 1\n");
  daemon::Page pieces(*snapshot, daemon::Format::openmetrics, daemon::Page::Names::group, "own 1\n");
  std::string out;
  std::size_t n = 1;
  while (pieces.more(out, 1)) ++n;
  CHECK(out == whole.rest());
  CHECK(n > 20);
  CHECK(out.find("{cgroup=\"/\"") != std::string::npos);
}

TEST_CASE("metrics page: names that would break the format are escaped, and no series is there twice") {
  const Copy copy("v2");
  const std::vector<std::string> names = {
      "a\"b", "a\\b", "a b", "\xFF", "\\xff", "}", "a\tb", "\xC3\xBC", "web", "web"};
  for (const std::string& name : names) copy.file("v2/" + name + "/cpu.stat", "usage_usec 1\n");
  const Hierarchies hierarchies = copy.hierarchies();
  daemon::Shared shared;
  auto world = world_of(names);
  world->seen = names;
  shared.set(world);
  Metrics metrics(hierarchies, shared, {.scope = "all"});
  const auto all = samples(page_of(metrics));  // checks that each is there once
  const auto usage = [&](const std::string& name) {
    return sample(all, "cgx_cgroup_cpu_usage_seconds_total{cgroup=\"" + name + "\"}");
  };
  CHECK(usage("a\\\"b") == "0.000001");
  CHECK(usage("a\\\\b") == "0.000001");
  CHECK(usage("a b") == "0.000001");
  CHECK(usage("\\\\xff") == "0.000001");  // of the two that look alike
  CHECK(usage("\xC3\xBC") == "0.000001");
  CHECK(sample(all, "cgxd_scraped_cgroups") == "8");
  CHECK(sample(all, "cgxd_dropped_cgroups") == "1");
}

TEST_CASE("metrics: the scope, and the bounds on groups and series") {
  CHECK(daemon::in_scope("managed", "a", true));
  CHECK_FALSE(daemon::in_scope("managed", "a", false));
  CHECK(daemon::in_scope("all", "a", false));
  CHECK(daemon::in_scope("web/*", "web/a/b", false));
  CHECK_FALSE(daemon::in_scope("web/*", "web", true));
  const Copy copy("v2");
  for (const char* name : {"a", "b", "c", "c/d"}) copy.file("v2/" + std::string(name) + "/cpu.stat", "usage_usec 1\n");
  const Hierarchies hierarchies = copy.hierarchies();
  const auto scraped = [&](const daemon::MetricsOptions& options) {
    daemon::Shared shared;
    auto world = world_of({"a"});
    world->seen = {"a", "b", "c", "c/d"};
    shared.set(world);
    Metrics metrics(hierarchies, shared, options);
    const auto all = samples(page_of(metrics));
    return sample(all, "cgxd_scraped_cgroups") + " " + sample(all, "cgxd_dropped_cgroups");
  };
  CHECK(scraped({}) == "1 0");
  CHECK(scraped({.scope = "all"}) == "4 0");
  CHECK(scraped({.scope = "c*"}) == "2 0");
  CHECK(scraped({.scope = "all", .max_groups = 3}) == "3 1");
  CHECK(scraped({.scope = "all", .max_series = 3}) == "2 2");  // two samples a group
}

TEST_CASE("metrics: groups come and go between and within scrapes") {
  const Copy copy("v2");
  for (const char* name : {"a", "b"}) {
    copy.file("v2/" + std::string(name) + "/cpu.stat", "usage_usec 2000000\n");
    copy.file("v2/" + std::string(name) + "/cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n");
  }
  const Hierarchies hierarchies = copy.hierarchies();
  daemon::Shared shared;
  shared.set(world_of({"a", "b"}));
  Metrics metrics(hierarchies, shared, {});
  CHECK(sample(samples(page_of(metrics)), "cgxd_scraped_cgroups") == "2");
  fs::remove_all(copy.root / "v2/b");  // the world still has it
  const auto without = samples(page_of(metrics));
  // A file that is kept open can still be read here, while the kernel says ENODEV: only what is opened anew is checked.
  CHECK(sample(without, "cgx_cgroup_pressure_cpu_waiting_seconds_total{cgroup=\"b\"}") == "(none)");
  CHECK(sample(without, "cgxd_scrape_errors_total") == "0");
  shared.set(world_of({"a"}));
  CHECK(sample(samples(page_of(metrics)), "cgxd_scraped_cgroups") == "1");
  shared.set(world_of({"a", "none"}));
  CHECK(sample(samples(page_of(metrics)), "cgxd_scraped_cgroups") == "1");
}

TEST_CASE("metrics: the count of killed processes outlives the group for five minutes") {
  OomMemory memory;
  const OomMemory::Time start{};
  CHECK(memory.seen("a", 2, start) == 2);
  CHECK(memory.seen("b", 0, start) == 0);
  CHECK(memory.remembered(start).empty());
  memory.gone("a", "{id=\"/a\"", start + 10s);
  memory.gone("a", "{id=\"/a\"", start + 200s);  // told again at each scrape: the first time counts
  memory.gone("never seen", "x", start);
  auto list = memory.remembered(start + 60s);
  REQUIRE(list.size() == 1);
  CHECK(list[0].labels == "{id=\"/a\"");
  CHECK(list[0].events == 2);
  // A new group of the name goes on counting, within the five minutes.
  CHECK(memory.seen("a", 1, start + 70s) == 3);
  CHECK(memory.remembered(start + 70s).empty());
  memory.gone("a", "{id=\"/a\"", start + 80s);
  CHECK(memory.remembered(start + 379s).size() == 1);
  CHECK(memory.remembered(start + 380s).empty());
  CHECK(memory.seen("a", 1, start + 400s) == 1);
  // The kernel's counter went back although nobody saw the group go.
  CHECK(memory.seen("a", 0, start + 401s) == 1);
}

TEST_CASE("metrics page: the names of cAdvisor") {
  const std::string id(64, 'a');
  CHECK(daemon::container_id("system.slice/docker-" + id + ".scope") == id);
  CHECK(daemon::container_id("docker/" + id) == id);
  CHECK(daemon::container_id("web/api").empty());
  CHECK(daemon::container_id("docker-" + id + "b.scope").empty());
  const Copy copy("v2");
  copy.file("v2/cgroup.controllers", "cpu memory io pids\n");
  copy.file("v2/web/memory.events", "low 0\nhigh 0\nmax 5\noom 3\noom_kill 3\n");
  copy.file("v2/web/cgroup.procs", "1\n2\n");
  const Hierarchies hierarchies = copy.hierarchies();
  daemon::Shared shared;
  auto world = world_of({"web"});
  world->groups[0].unit = "web.slice";
  shared.set(world);
  Metrics metrics(hierarchies, shared, {.cadvisor = true});
  const auto all = samples(metrics.cadvisor());
  const std::string labels = "{id=\"/web\",image=\"cgx\",name=\"web.slice\"";
  CHECK(sample(all, "container_oom_events_total" + labels + "}") == "3");
  CHECK(sample(all, "container_processes" + labels + "}") == "2");
  CHECK(sample(all, "container_spec_memory_limit_bytes" + labels + "}") == "0");
  CHECK(sample(all, "container_memory_failcnt" + labels + "}") == "5");
  CHECK(sample(all, "container_last_seen" + labels + "}") != "(none)");
  fs::remove_all(copy.root / "v2/web");
  shared.set(std::make_shared<daemon::World>());
  CHECK(metrics.cadvisor() ==
        "# HELP container_oom_events_total Processes that were killed because memory ran out, kept for "
        "five minutes after the group is gone.\n# TYPE container_oom_events_total counter\n"
        "container_oom_events_total" +
            labels + "} 3\n");
}

TEST_CASE("metrics: every name is one that Prometheus takes, and is listed") {
  const std::string listing = daemon::metrics_listing();
  std::set<std::string> names;
  for (const auto* families : {&daemon::group_families(), &daemon::container_families()})
    for (const daemon::MetricFamily& f : *families) {
      CAPTURE(f.name);
      CHECK(names.insert(f.name).second);
      CHECK(f.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string::npos);
      CHECK((f.type == daemon::MetricType::counter) == f.name.ends_with("_total"));
      CHECK(f.help.ends_with('.'));
      CHECK(listing.find("| `" + f.name + "` |") != std::string::npos);
    }
  CHECK(names.size() > 80);
}

}  // namespace metrics_page_test
