// SPDX-License-Identifier: Apache-2.0
// Inside daemon/metrics/: the metrics of cgxd itself, in a registry of prometheus-cpp. Thread safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include "daemon/decision.h"
#include "daemon/metrics/text.h"
#include "daemon/world.h"

namespace cgx::daemon {

// What cgxd counts of rules that sort processes.
struct RuleCounts {
  std::uint64_t events = 0;
  std::uint64_t moved = 0;
  std::uint64_t failed = 0;
  std::uint64_t lost = 0;
  std::uint64_t rescans = 0;
};

class OwnMetrics {
 public:
  OwnMetrics();

  void count(const Decision& decision);
  void lost_decisions(std::uint64_t n);
  void reloaded(bool ok, std::chrono::system_clock::time_point when);
  void watched(std::size_t groups);
  void rules(const RuleCounts& total);
  void drifted(std::size_t changes);
  void world(const World& world);
  void scrape_error();
  void scraped(std::size_t groups, std::size_t dropped, std::size_t descriptors, std::chrono::duration<double> took);

  // All of them, with what the kernel counts of this process, in either format.
  [[nodiscard]] std::string page(Format format) const;
  // Names and help texts, for the list in docs/metrics.md; those that have no sample yet too.
  struct Described {
    std::string name;
    std::string type;
    std::string help;
    std::string labels;
  };
  [[nodiscard]] static std::vector<Described> described();

 private:
  using Counters = prometheus::Family<prometheus::Counter>;
  using Gauges = prometheus::Family<prometheus::Gauge>;
  void count_event(const Decision& decision);

  std::shared_ptr<prometheus::Registry> registry_;
  Counters* oom_events_;
  Counters* actions_;
  // The last event of each group: one event may lead to several decisions.
  struct Last {
    std::string event;
    std::uint64_t count = 0;
  };
  std::mutex events_mutex_;
  std::map<std::string, Last> last_events_;
  prometheus::Histogram* reaction_;
  prometheus::Counter *silent_, *lost_, *reload_ok_, *reload_failed_, *errors_, *scrapes_;
  prometheus::Gauge *reload_successful_, *reload_time_, *watched_, *managed_, *warnings_, *problems_, *left_;
  prometheus::Gauge *scraped_, *dropped_, *kept_, *took_;
  prometheus::Counter *rule_events_, *moved_, *not_moved_, *rule_lost_, *rescans_, *drift_;
  std::mutex rules_mutex_;
  RuleCounts rules_;
};

// A page of the families in OpenMetrics, without its `# EOF`, which prometheus-cpp cannot write.
[[nodiscard]] std::string openmetrics(const std::vector<prometheus::MetricFamily>& families);

}  // namespace cgx::daemon
