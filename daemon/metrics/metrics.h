// SPDX-License-Identifier: Apache-2.0
// The numbers that cgxd shows: of the groups, read from the kernel when somebody asks, and of itself. Thread safe: the
// main loop counts, the threads of the server read. Groups come from the world that the main loop has set last.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "cgx/cgroupfs/hierarchy.h"

#include "daemon/decision.h"
#include "daemon/metrics/collector.h"
#include "daemon/metrics/own.h"
#include "daemon/metrics/page.h"
#include "daemon/world.h"

namespace cgx::daemon {

struct MetricsOptions {
  // "managed": the groups that policies name; "all": all of the host; else a glob over names, in which `*` matches `/`
  // too ("web/*": all below web). For "all" and a glob the main loop puts the host's groups into World::seen.
  std::string scope = "managed";
  std::size_t max_groups = 10'000;     // further groups are left out: cgxd_dropped_cgroups
  std::size_t max_series = 1'000'000;  // the same by samples, of which a group has some 60
  bool cadvisor = false;               // /metrics/cadvisor
  // Files that are kept open between scrapes, at most, each of which takes 4.5 KiB of the kernel's memory.
  // 0: a quarter of what RLIMIT_NOFILE is when this is made.
  std::size_t descriptors = 0;
  [[nodiscard]] bool wants_all_groups() const { return scope != "managed"; }
};

class Metrics {
 public:
  // `shared` must outlive it; `hierarchies` is only looked at here.
  Metrics(const Hierarchies& hierarchies, const Shared& shared, MetricsOptions options);
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;
  ~Metrics() = default;

  // What the main loop tells.
  void count(const Decision& decision) { own_.count(decision); }
  void lost_decisions(std::uint64_t n) { own_.lost_decisions(n); }  // those that MemoryThread::take() could not give
  void reloaded(bool ok, std::chrono::system_clock::time_point when) { own_.reloaded(ok, when); }
  void watched(std::size_t groups) { own_.watched(groups); }    // by the memory thread, now
  void rules(const RuleCounts& total) { own_.rules(total); }    // of the sorter, since it started
  void drifted(std::size_t changes) { own_.drifted(changes); }  // what others had changed in groups and was put right
  void scrape_error() { own_.scrape_error(); }
  void set_ready(bool ready) { ready_ = ready; }  // /-/ready answers 503 until then
  [[nodiscard]] bool ready() const { return ready_; }
  [[nodiscard]] const MetricsOptions& options() const { return options_; }

  // Pages. They read the groups and block for as long as that takes, some 50 us a group. Requests that wait while the
  // groups are being read for another one share the next reading.
  [[nodiscard]] std::string page(Format format);
  [[nodiscard]] std::string cadvisor(Format format = Format::text);
  [[nodiscard]] std::string html(
      const std::string& nonce = {});  // nonce: of the security policy, for its style and script
  [[nodiscard]] std::string json();
  // The same as page() and cadvisor(), a piece at a time.
  [[nodiscard]] Page pages(Format format, Page::Names names);

  // The last thing that could not be read, for the log of the main loop; empty: nothing since the last call.
  [[nodiscard]] std::string take_error();
  // What is read of each group.
  [[nodiscard]] std::vector<std::string> files();

 private:
  std::shared_ptr<const Snapshot> snapshot(std::chrono::milliseconds age);

  Hierarchies hierarchies_;
  const Shared* shared_;
  MetricsOptions options_;
  OwnMetrics own_;
  std::atomic<bool> ready_ = false;

  std::mutex mutex_;  // of what follows
  Collector collector_;
  std::shared_ptr<const Snapshot> last_;
  std::mutex error_mutex_;
  std::string error_;
};

}  // namespace cgx::daemon
