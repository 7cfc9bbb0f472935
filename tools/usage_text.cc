// SPDX-License-Identifier: Apache-2.0
#include "usage_text.h"

#include <array>
#include <chrono>
#include <cmath>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"

namespace cgx::tool {
namespace {

using Number = std::optional<std::uint64_t>;

// The part of a device row's name after "io.".
std::string_view short_name(const Stat& row) { return row.name.substr(row.name.find('.') + 1); }

std::string base_text(const Stat& row, std::uint64_t value) {
  if (row.unit == StatUnit::centipercent) return fmt::format("{}.{:02}", value / 100, value % 100);
  return std::to_string(value);
}

void write_value(sys::JsonWriter& json, const Stat& row, std::uint64_t value) {
  if (row.unit == StatUnit::centipercent)
    json.real(static_cast<double>(value) / 100);
  else
    json.number(value);
}

const Usage::Device* find_device(const Usage* usage, sys::DevNumber device) {
  if (usage != nullptr)
    for (const Usage::Device& d : usage->devices())
      if (d.device == device) return &d;
  return nullptr;
}

std::optional<double> device_rate(const Shot& shot, const Usage::Device& device, StatId id) {
  const Usage::Device* before = find_device(shot.before, device.device);
  if (before == nullptr) return std::nullopt;
  return rate(shot.before->get(*before, id), shot.usage->get(device, id), shot.usage->when - shot.before->when);
}

void write_perf(sys::JsonWriter& json, std::span<const PerfCount> counts) {
  json.key("perf").open_array();
  for (const PerfCount& c : counts) {
    json.open_object().key("event").string(c.event->name).key("supported").boolean(c.value.has_value());
    if (c.value)
      json.key("count").number(*c.value).key("share").real(c.share);
    else
      json.key("reason").string(c.missing);
    json.close_object();
  }
  json.close_array();
}

void write_device_number(sys::JsonWriter& json, sys::DevNumber device) {
  json.key("device").string(fmt::format("{}:{}", device.major, device.minor)).key("name").string(device_name(device));
}

}  // namespace

std::string device_name(sys::DevNumber device) {
  std::string number = fmt::format("{}:{}", device.major, device.minor);
  std::array<char, 512> target{};
  const ssize_t n = readlink(("/sys/dev/block/" + number).c_str(), target.data(), target.size());
  if (n <= 0) return number;
  const std::string_view path(target.data(), static_cast<std::size_t>(n));
  return std::string(path.substr(path.rfind('/') + 1));
}

std::string short_time(std::uint64_t usec) {
  if (usec >= 1'000'000) return sys::format_time(usec / 1000 * 1000);
  if (usec >= 1'000) return sys::format_time(usec / 10 * 10);
  return sys::format_time(usec);
}

double wall_clock() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<double>(std::chrono::duration_cast<std::chrono::microseconds>(now).count()) / 1e6;
}

void write_usage(sys::JsonWriter& json, const Shot& shot) {
  const StatId count = stat_count();
  json.key("stats").open_object();
  for (StatId id = 0; id < count; ++id)
    if (const Number value = shot.usage->get(id)) {
      const Stat& row = stat_row(id);
      write_value(json.key(row.name), row, *value);
    }
  json.close_object();
  if (shot.before != nullptr) {
    json.key("rates").open_object();
    for (StatId id = 0; id < count; ++id) {
      const Stat& row = stat_row(id);
      if (row.kind != StatKind::counter || row.per_device) continue;
      if (const auto r = rate(*shot.before, *shot.usage, id)) json.key(row.name).real(*r);
    }
    json.close_object();
  }
  json.key("io").open_array();
  for (const Usage::Device& device : shot.usage->devices()) {
    json.open_object();
    write_device_number(json, device.device);
    for (StatId id = first_device_stat(); id < count && stat_row(id).per_device; ++id)
      if (const Number value = shot.usage->get(device, id)) json.key(short_name(stat_row(id))).number(*value);
    if (shot.before != nullptr) {
      json.key("rates").open_object();
      for (StatId id = first_device_stat(); id < count && stat_row(id).per_device; ++id)
        if (const auto r = device_rate(shot, device, id)) json.key(short_name(stat_row(id))).real(*r);
      json.close_object();
    }
    json.close_object();
  }
  json.close_array();
  if (!shot.perf.empty()) write_perf(json, shot.perf);
}

std::string usage_lines(const Shot& shot) {
  std::string text;
  const std::string group = without_controls(shown(shot.group));
  const auto line = [&](std::string_view name, std::string_view value, std::optional<double> per_second) {
    text.append(group).append("\t").append(name).append("\t").append(value);
    if (per_second) text += fmt::format("\t{:.1f}", *per_second);
    text += '\n';
  };
  for (StatId id = 0; id < stat_count(); ++id) {
    const Stat& row = stat_row(id);
    const bool rated = shot.before != nullptr && row.kind == StatKind::counter;
    if (!row.per_device) {
      if (const Number value = shot.usage->get(id))
        line(row.name, base_text(row, *value), rated ? rate(*shot.before, *shot.usage, id) : std::nullopt);
      continue;
    }
    for (const Usage::Device& d : shot.usage->devices())
      if (const Number value = shot.usage->get(d, id))
        line(fmt::format("{}[{}:{}]", row.name, d.device.major, d.device.minor),
             base_text(row, *value),
             rated ? device_rate(shot, d, id) : std::nullopt);
  }
  for (const PerfCount& c : shot.perf)
    line(fmt::format("perf.{}", c.event->name),
         c.value ? std::to_string(*c.value) : fmt::format("not supported ({})", c.missing),
         std::nullopt);
  return text;
}

}  // namespace cgx::tool
