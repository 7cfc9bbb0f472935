// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics/own.h"

#include <algorithm>
#include <cstdlib>
#include <exception>

#include <prometheus/text_serializer.h>

#include "daemon/metrics/process.h"

namespace cgx::daemon {
namespace {

// The texts have no backslash and no line break: prometheus-cpp does not escape them.
struct OwnRow {
  std::string_view name;
  std::string_view type;
  std::string_view help;
  std::string_view labels{};
};
// clang-format off
constexpr OwnRow own_rows[] = {
    {"cgxd_build_info", "gauge", "The version of cgxd.", "version"},
    {"cgxd_oom_events_total", "counter", "Events of memory that ran out or was about to, by the group whose policy applied.", "policy, event"},
    {"cgxd_actions_total", "counter", "What was done about events.", "action, result"},
    {"cgxd_event_reaction_seconds", "histogram", "Time from the kernel's signal to the end of the action."},
    {"cgxd_events_without_notification_total", "counter", "How often a limit was hit without a signal of the kernel, as in a system call."},
    {"cgxd_decisions_lost_total", "counter", "Decisions of which nothing is known because their ring was full."},
    {"cgxd_watched_cgroups", "gauge", "Groups of which memory events are watched."},
    {"cgxd_managed_cgroups", "gauge", "Groups that policies name."},
    {"cgxd_policy_warnings", "gauge", "Limits of policies that this host cannot honour and best_effort leaves out."},
    {"cgxd_policy_problems", "gauge", "What was wrong with the policies at the last load."},
    {"cgxd_config_reloads_total", "counter", "Loads of the policies.", "result"},
    {"cgxd_config_last_reload_successful", "gauge", "1 where the policies in force are those of the files."},
    {"cgxd_config_last_reload_success_timestamp_seconds", "gauge", "When policies were last loaded without a mistake."},
    {"cgxd_drift_repairs_total", "counter", "Limits that somebody else had changed and that were set again."},
    {"cgxd_left_limits", "gauge", "Limits of adopted groups that their owners have put back, and that are left so."},
    {"cgxd_rule_events_total", "counter", "Processes that started, executed or changed user, seen by rules."},
    {"cgxd_rule_moves_total", "counter", "Processes that rules put into groups.", "result"},
    {"cgxd_rule_events_lost_total", "counter", "Events of processes that the kernel had no room for."},
    {"cgxd_rule_rescans_total", "counter", "Looks at all processes after events were lost."},
    {"cgxd_scrapes_total", "counter", "Readings of all groups."},
    {"cgxd_scrape_errors_total", "counter", "Groups that could not be read or only in part."},
    {"cgxd_scrape_duration_seconds", "gauge", "Time that the last reading of all groups took."},
    {"cgxd_scraped_cgroups", "gauge", "Groups that were read last."},
    {"cgxd_dropped_cgroups", "gauge", "Groups left out because there are more than the bounds allow."},
    {"cgxd_kept_descriptors", "gauge", "Files that are kept open for the next reading."},
};
// clang-format on

const OwnRow& row(std::string_view name) {
  const auto* at = std::ranges::find(own_rows, name, &OwnRow::name);
  if (at == std::end(own_rows)) std::abort();  // a name without a row
  return *at;
}

prometheus::Family<prometheus::Counter>& counters(prometheus::Registry& r, std::string_view name) {
  return prometheus::BuildCounter().Name(std::string(name)).Help(std::string(row(name).help)).Register(r);
}
prometheus::Family<prometheus::Gauge>& gauges(prometheus::Registry& r, std::string_view name) {
  return prometheus::BuildGauge().Name(std::string(name)).Help(std::string(row(name).help)).Register(r);
}
prometheus::Counter* counter(prometheus::Registry& r, std::string_view name) { return &counters(r, name).Add({}); }
prometheus::Gauge* gauge(prometheus::Registry& r, std::string_view name) { return &gauges(r, name).Add({}); }

// 10 us to 10 s; the kernel alone takes some 50 us.
prometheus::Histogram::BucketBoundaries buckets() {
  return {0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1, 10};
}

double seconds(std::chrono::system_clock::time_point t) {
  return std::chrono::duration<double>(t.time_since_epoch()).count();
}

// Groups beyond these are counted as "other": a policy may name any number of them.
constexpr std::size_t most_policies = 5000;

}  // namespace

OwnMetrics::OwnMetrics() : registry_(std::make_shared<prometheus::Registry>()) {
  prometheus::Registry& r = *registry_;
  gauges(r, "cgxd_build_info").Add({{"version", CGX_VERSION}}).Set(1);
  oom_events_ = &counters(r, "cgxd_oom_events_total");
  actions_ = &counters(r, "cgxd_actions_total");
  reaction_ = &prometheus::BuildHistogram()
                   .Name("cgxd_event_reaction_seconds")
                   .Help(std::string(row("cgxd_event_reaction_seconds").help))
                   .Register(r)
                   .Add({}, buckets());
  silent_ = counter(r, "cgxd_events_without_notification_total");
  lost_ = counter(r, "cgxd_decisions_lost_total");
  watched_ = gauge(r, "cgxd_watched_cgroups");
  managed_ = gauge(r, "cgxd_managed_cgroups");
  warnings_ = gauge(r, "cgxd_policy_warnings");
  problems_ = gauge(r, "cgxd_policy_problems");
  auto& reloads = counters(r, "cgxd_config_reloads_total");
  reload_ok_ = &reloads.Add({{"result", "ok"}});
  reload_failed_ = &reloads.Add({{"result", "failed"}});
  reload_successful_ = gauge(r, "cgxd_config_last_reload_successful");
  reload_time_ = gauge(r, "cgxd_config_last_reload_success_timestamp_seconds");
  rule_events_ = counter(r, "cgxd_rule_events_total");
  auto& moves = counters(r, "cgxd_rule_moves_total");
  moved_ = &moves.Add({{"result", "done"}});
  not_moved_ = &moves.Add({{"result", "failed"}});
  rule_lost_ = counter(r, "cgxd_rule_events_lost_total");
  rescans_ = counter(r, "cgxd_rule_rescans_total");
  drift_ = counter(r, "cgxd_drift_repairs_total");
  left_ = gauge(r, "cgxd_left_limits");
  scrapes_ = counter(r, "cgxd_scrapes_total");
  errors_ = counter(r, "cgxd_scrape_errors_total");
  took_ = gauge(r, "cgxd_scrape_duration_seconds");
  scraped_ = gauge(r, "cgxd_scraped_cgroups");
  dropped_ = gauge(r, "cgxd_dropped_cgroups");
  kept_ = gauge(r, "cgxd_kept_descriptors");
  reload_successful_->Set(1);
}

// An event is known by its counter: several decisions about one are one event.
void OwnMetrics::count_event(const Decision& d) {
  const std::string event = text::utf8(d.event.view());
  if (event.empty() || event == "release") return;
  const std::scoped_lock lock(events_mutex_);
  std::string policy = text::utf8(d.group.view());
  if (!last_events_.contains(policy) && last_events_.size() >= most_policies) policy = "other";
  Last& last = last_events_[policy];
  if (last.event == event && last.count == d.count && d.count != 0) return;
  last = {event, d.count};
  oom_events_->Add({{"policy", policy}, {"event", event}}).Increment();
  if (event == "failcnt") silent_->Increment();
}

void OwnMetrics::count(const Decision& d) {
  count_event(d);
  const std::string action = text::utf8(d.action.view());
  if (action.empty() || action == "none") return;
  actions_->Add({{"action", action}, {"result", text::utf8(d.result.view())}}).Increment();
  reaction_->Observe(static_cast<double>(d.took) / 1e6);
}

void OwnMetrics::lost_decisions(std::uint64_t n) { lost_->Increment(static_cast<double>(n)); }

void OwnMetrics::reloaded(bool ok, std::chrono::system_clock::time_point when) {
  (ok ? reload_ok_ : reload_failed_)->Increment();
  reload_successful_->Set(ok ? 1 : 0);
  if (ok) reload_time_->Set(seconds(when));
}

void OwnMetrics::watched(std::size_t groups) { watched_->Set(static_cast<double>(groups)); }

void OwnMetrics::rules(const RuleCounts& total) {
  const std::scoped_lock lock(rules_mutex_);
  const auto grow = [](prometheus::Counter* c, std::uint64_t before, std::uint64_t now) {
    if (now > before) c->Increment(static_cast<double>(now - before));
  };
  grow(rule_events_, rules_.events, total.events);
  grow(moved_, rules_.moved, total.moved);
  grow(not_moved_, rules_.failed, total.failed);
  grow(rule_lost_, rules_.lost, total.lost);
  grow(rescans_, rules_.rescans, total.rescans);
  rules_ = total;
}

void OwnMetrics::drifted(std::size_t changes) { drift_->Increment(static_cast<double>(changes)); }

void OwnMetrics::world(const World& w) {
  std::size_t warnings = 0;
  std::size_t left = 0;
  for (const ManagedGroup& g : w.groups) {
    warnings += g.warnings.size();
    left += g.left.size();
  }
  left_->Set(static_cast<double>(left));
  managed_->Set(static_cast<double>(w.groups.size()));
  warnings_->Set(static_cast<double>(warnings));
  problems_->Set(static_cast<double>(w.problems.size()));
}

void OwnMetrics::scrape_error() { errors_->Increment(); }

void OwnMetrics::scraped(std::size_t groups,
                         std::size_t dropped,
                         std::size_t descriptors,
                         std::chrono::duration<double> took) {
  scrapes_->Increment();
  scraped_->Set(static_cast<double>(groups));
  dropped_->Set(static_cast<double>(dropped));
  kept_->Set(static_cast<double>(descriptors));
  took_->Set(took.count());
}

std::string OwnMetrics::page(Format format) const {
  std::string out;
  try {
    const auto families = registry_->Collect();
    out = format == Format::openmetrics ? openmetrics(families) : prometheus::TextSerializer().Serialize(families);
  } catch (const std::exception&) {
    // Only memory can have run out. The groups' metrics are worth more than an end of the process.
    out.clear();
  }
  append_process_metrics(out, format);
  return out;
}

std::vector<OwnMetrics::Described> OwnMetrics::described() {
  std::vector<Described> list;
  for (const OwnRow& r : own_rows)
    list.push_back({std::string(r.name), std::string(r.type), std::string(r.help), std::string(r.labels)});
  return list;
}

}  // namespace cgx::daemon
