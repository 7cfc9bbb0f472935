// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics/page.h"

#include <algorithm>

namespace cgx::daemon {
namespace {

const StatId& memory_current() {
  static const StatId id = stat_id("memory.current");
  return id;
}
const StatId& memory_inactive_file() {
  static const StatId id = stat_id("memory.inactive_file");
  return id;
}

}  // namespace

Page::Page(std::shared_ptr<const Snapshot> snapshot, Format format, Names names, std::string own)
    : snapshot_(std::move(snapshot)),
      format_(format),
      names_(names),
      own_(std::move(own)),
      families_(names == Names::group ? &group_families() : &container_families()) {}

bool Page::more(std::string& out, std::size_t some) {
  const std::size_t end = out.size() + some;
  while (family_ < families_->size())
    if (!family(out, end)) return true;
  if (!ended_) {
    ended_ = true;
    out.append(own_);
    if (format_ == Format::openmetrics) out.append("# EOF\n");
  }
  return false;
}

std::string Page::rest() {
  std::string out;
  while (more(out, std::size_t{1} << 30U)) continue;
  return out;
}

std::string_view Page::labels(const Reading& group) const {
  return names_ == Names::group ? std::string_view(group.labels->group) : std::string_view(group.labels->container);
}

// Writes the samples of the family in hand until `out` is as long as `end`. False: it is.
bool Page::family(std::string& out, std::size_t end) {
  const MetricFamily& f = (*families_)[family_];
  for (; group_ < snapshot_->count; ++group_) {
    if (out.size() >= end) return false;
    const Reading& group = snapshot_->groups[group_];
    labels_ = labels(group);
    for (const Entry& entry : f.entries) samples(out, f, entry, group);
  }
  if (f.entries.front().from == From::oom_events) gone(out, f);
  ++family_;
  group_ = 0;
  header_ = false;
  return true;
}

void Page::sample(
    std::string& out, const MetricFamily& f, const Entry& entry, std::string_view device, std::uint64_t n) {
  if (!header_) {
    out.append(f.headers[static_cast<int>(format_)]);
    header_ = true;
  }
  out.append(f.name).append(labels_).append(entry.label).append(device).append("} ");
  text::append(out, n, f.scale);
  out.push_back('\n');
}

void Page::samples(std::string& out, const MetricFamily& f, const Entry& entry, const Reading& group) {
  switch (entry.from) {
    case From::stat:
      if (const auto n = group.usage.get(entry.id)) sample(out, f, entry, {}, *n);
      return;
    case From::device_stat:
      for (const Usage::Device& device : group.usage.devices())
        if (const auto n = group.usage.get(device, entry.id)) {
          const auto& names = snapshot_->device_labels;
          const auto at = std::ranges::find(names, device.device, &std::pair<sys::DevNumber, std::string>::first);
          if (at != names.end()) sample(out, f, entry, at->second, *n);
        }
      return;
    case From::limit:
      if (group.limits[entry.id] != no_value) sample(out, f, entry, {}, group.limits[entry.id]);
      return;
    case From::limit_or_0:
      sample(out, f, entry, {}, group.limits[entry.id] == no_value ? 0 : group.limits[entry.id]);
      return;
    case From::working_set:
      if (const auto used = group.usage.get(memory_current())) {
        const std::uint64_t idle = group.usage.get(memory_inactive_file()).value_or(0);
        sample(out, f, entry, {}, *used - std::min(*used, idle));
      }
      return;
    case From::info:
      labels_ = group.labels->info;
      sample(out, f, entry, {}, 1);
      return;
    case From::oom_events:
      if (group.oom_events != no_value) sample(out, f, entry, {}, group.oom_events);
      return;
    case From::processes:
      if (group.processes != no_value) sample(out, f, entry, {}, group.processes);
      return;
    case From::start_time:
      if (group.labels->start != no_value) sample(out, f, entry, {}, group.labels->start);
      return;
    case From::last_seen: {
      const auto now = std::chrono::duration_cast<std::chrono::seconds>(snapshot_->time.time_since_epoch()).count();
      sample(out, f, entry, {}, static_cast<std::uint64_t>(now));
      return;
    }
  }
}

// The groups that are gone, after those that are there.
void Page::gone(std::string& out, const MetricFamily& f) {
  for (const GoneOom& group : snapshot_->gone) {
    labels_ = group.labels;
    sample(out, f, f.entries.front(), {}, group.events);
  }
}

}  // namespace cgx::daemon
