// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics/families.h"

#include <algorithm>
#include <cstdlib>

#include "cgx/model/codec.h"

namespace cgx::daemon {
namespace {

// The units of OpenMetrics that names end in.
std::string_view unit_of(std::string_view name) {
  if (name.ends_with("_total")) name.remove_suffix(6);
  for (const std::string_view unit : {"seconds", "bytes", "cpus"})
    if (name.ends_with(unit) && name.size() > unit.size() && name[name.size() - unit.size() - 1] == '_') return unit;
  return {};
}

MetricFamily& add(std::vector<MetricFamily>& all,
                  std::string name,
                  MetricType type,
                  Scale scale,
                  std::string_view help,
                  Entry entry) {
  auto at = std::ranges::find(all, name, &MetricFamily::name);
  if (at == all.end()) {
    at = all.insert(
        all.end(),
        MetricFamily{.name = std::move(name), .type = type, .scale = scale, .help = std::string(help), .entries = {}});
    at->unit = unit_of(at->name);
  }
  at->entries.push_back(std::move(entry));
  return *at;
}

void finish(std::vector<MetricFamily>& all) {
  for (MetricFamily& f : all) {
    if (f.help.front() >= 'a' && f.help.front() <= 'z') f.help.front() = static_cast<char>(f.help.front() - 'a' + 'A');
    if (f.help.back() != '.') f.help += '.';
    for (const Format format : {Format::text, Format::openmetrics})
      text::append_header(f.headers[static_cast<int>(format)], f.name, f.type, f.unit, f.help, format);
  }
}

std::string full(std::string_view name) { return std::string(group_prefix).append(name); }

std::vector<MetricFamily> make_group_families() {
  std::vector<MetricFamily> all;
  add(all, full("info"), MetricType::info, Scale::one, "what the group is", {.from = From::info});
  for (StatId id = 0; id < stat_count(); ++id) {
    const Stat& row = stat_row(id);
    const MetricType type = row.kind == StatKind::counter ? MetricType::counter : MetricType::gauge;
    const Scale scale = row.unit == StatUnit::usec ? Scale::micro : Scale::one;
    const From from = row.per_device ? From::device_stat : From::stat;
    if (!row.metric.empty() && row.metric != events_metric)
      add(all, full(row.metric), type, scale, row.doc, {.from = from, .id = id});
    if (row.name == "memory.current")
      add(all,
          full("memory_working_set_bytes"),
          MetricType::gauge,
          Scale::one,
          "memory in use without the page cache that was not used lately",
          {.from = From::working_set});
  }
  for (StatId id = 0; id < stat_count(); ++id)
    if (const Stat& row = stat_row(id); !row.event.empty())
      add(all,
          full(events_metric),
          MetricType::counter,
          Scale::one,
          "events of memory, by their names in memory.events",
          {.from = From::stat, .id = id, .label = ",event=\"" + std::string(row.event) + '"'});
  const auto limits = metric_limits();
  for (std::size_t i = 0; i < limits.size(); ++i)
    add(all,
        full(limits[i]->metric),
        MetricType::gauge,
        limits[i]->format == cgx::Format::quota ? Scale::micro : Scale::one,
        limits[i]->format == cgx::Format::quota ? "CPUs that the quota gives in each period" : limits[i]->doc,
        {.from = From::limit, .id = i});
  finish(all);
  return all;
}

// The names that dashboards for cAdvisor query.
struct ContainerRow {
  std::string_view name;
  std::string_view stat;  // a row of the statistics
  std::string_view help;
};
// clang-format off
constexpr ContainerRow container_rows[] = {
    {"cpu_usage_seconds_total", "cpu.usage_usec", "CPU time used"},
    {"cpu_user_seconds_total", "cpu.user_usec", "CPU time in user mode"},
    {"cpu_system_seconds_total", "cpu.system_usec", "CPU time in the kernel"},
    {"cpu_cfs_periods_total", "cpu.nr_periods", "periods of the CPU quota"},
    {"cpu_cfs_throttled_periods_total", "cpu.nr_throttled", "periods in which the group was throttled"},
    {"cpu_cfs_throttled_seconds_total", "cpu.throttled_usec", "time for which the group was throttled"},
    {"memory_usage_bytes", "memory.current", "memory in use, caches included"},
    {"memory_max_usage_bytes", "memory.peak", "most memory that was in use"},
    {"memory_rss", "memory.anon", "anonymous memory in bytes"},
    {"memory_cache", "memory.file", "page cache in bytes"},
    {"memory_mapped_file", "memory.file_mapped", "page cache mapped by processes, in bytes"},
    {"memory_swap", "memory.swap", "swap in use in bytes"},
    {"memory_failcnt", "memory.limit_hits", "how often usage met the limit"},
    {"fs_reads_bytes_total", "io.rbytes", "bytes read"},
    {"fs_writes_bytes_total", "io.wbytes", "bytes written"},
    {"fs_reads_total", "io.rios", "read requests"},
    {"fs_writes_total", "io.wios", "write requests"},
    {"threads", "pids.current", "threads"},
    {"pressure_cpu_waiting_seconds_total", "pressure.cpu.some_usec", "time in which some task waited for a CPU"},
    {"pressure_cpu_stalled_seconds_total", "pressure.cpu.full_usec", "time in which all tasks waited for a CPU"},
    {"pressure_memory_waiting_seconds_total", "pressure.memory.some_usec", "time in which some task waited for memory"},
    {"pressure_memory_stalled_seconds_total", "pressure.memory.full_usec", "time in which all tasks waited for memory"},
    {"pressure_io_waiting_seconds_total", "pressure.io.some_usec", "time in which some task waited for IO"},
    {"pressure_io_stalled_seconds_total", "pressure.io.full_usec", "time in which all tasks waited for IO"},
};
// clang-format on

std::vector<MetricFamily> make_container_families() {
  std::vector<MetricFamily> all;
  const auto name = [](std::string_view rest) { return std::string("container_").append(rest); };
  for (const ContainerRow& row : container_rows) {
    const StatId id = stat_id(row.stat);
    const Stat& stat = stat_row(id);
    add(all,
        name(row.name),
        stat.kind == StatKind::counter && row.name.ends_with("_total") ? MetricType::counter : MetricType::gauge,
        stat.unit == StatUnit::usec ? Scale::micro : Scale::one,
        row.help,
        {.from = stat.per_device ? From::device_stat : From::stat, .id = id});
  }
  const auto gauge = [&](std::string_view rest, std::string_view help, Entry entry) {
    add(all, name(rest), MetricType::gauge, Scale::one, help, std::move(entry));
  };
  gauge(
      "memory_working_set_bytes", "memory in use without the page cache that was not used lately", {From::working_set});
  const auto limits = metric_limits();
  const auto memory = std::ranges::find(limits, std::string_view("memory.max"), &Knob::name);
  if (memory == limits.end()) std::abort();  // a row is gone
  gauge("spec_memory_limit_bytes",
        "most memory, 0 for no limit",
        {From::limit_or_0, static_cast<std::size_t>(memory - limits.begin())});
  gauge("processes", "processes of the group itself", {From::processes});
  gauge("start_time_seconds", "when the group was made, in seconds since 1970", {From::start_time});
  gauge("last_seen", "when the group was read, in seconds since 1970", {From::last_seen});
  add(all,
      name("oom_events_total"),
      MetricType::counter,
      Scale::one,
      "processes that were killed because memory ran out, kept for five minutes after the group is gone",
      {From::oom_events});
  finish(all);
  return all;
}

std::vector<const Knob*> make_limits() {
  std::vector<const Knob*> all;
  for_each_knob([&](const Knob& knob) {
    if (!knob.metric.empty()) all.push_back(&knob);
  });
  if (all.size() > most_limit_metrics) std::abort();  // the bound has to grow
  return all;
}

}  // namespace

std::span<const Knob* const> metric_limits() {
  static const std::vector<const Knob*> all = make_limits();
  return all;
}

bool is_alias(const Knob& knob, Version version) {
  const Backing& b = backing(knob, version);
  return b.fidelity == Fidelity::lossy && b.decode == codec::get_plain;
}

const std::vector<MetricFamily>& group_families() {
  static const std::vector<MetricFamily> all = make_group_families();
  return all;
}

const std::vector<MetricFamily>& container_families() {
  static const std::vector<MetricFamily> all = make_container_families();
  return all;
}

}  // namespace cgx::daemon
