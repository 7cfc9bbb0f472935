// SPDX-License-Identifier: Apache-2.0
// Usage for people: what stat shows at a terminal, and what exec --report prints.
#include <vector>

#include <fmt/format.h>

#include "cgx/sys/count.h"
#include "cgx/sys/text.h"

#include "usage_text.h"

namespace cgx::tool {
namespace {

using Number = std::optional<std::uint64_t>;

// "31.2M (peak 40.0M, anon 30.0M)": a value, and parts of which those that are there are shown.
class Line {
 public:
  Line(std::string_view label, std::string_view value, int width = 11)
      : text_(fmt::format("  {:<{}} {}", label, width, value)) {}
  Line& part(std::string text) {
    parts_.push_back(std::move(text));
    return *this;
  }
  Line& part(std::string_view label, Number value, std::string (*format)(std::uint64_t)) {
    if (value) part(fmt::format("{} {}", label, format(*value)));
    return *this;
  }
  [[nodiscard]] std::string text(std::string_view tail = {}) const {
    std::string all = text_;
    for (std::size_t i = 0; i < parts_.size(); ++i) all.append(i == 0 ? " (" : ", ").append(parts_[i]);
    if (!parts_.empty()) all += ')';
    return all.append(tail) + "\n";
  }

 private:
  std::string text_;
  std::vector<std::string> parts_;
};

std::string plain(std::uint64_t n) { return std::to_string(n); }

std::string per_second(const Shot& shot, std::string_view name, std::string_view unit) {
  if (shot.before == nullptr) return {};
  const auto r = rate(*shot.before, *shot.usage, stat_id(name));
  return r ? fmt::format("  {:.1f}{}/s", *r, unit) : std::string();
}

std::string size_rate(std::optional<double> r) {
  return r ? fmt::format(" {}/s", sys::format_size(static_cast<std::uint64_t>(*r))) : std::string();
}

std::string cpu_lines(const Shot& shot) {
  const Usage& u = *shot.usage;
  std::string text;
  if (const Number used = u.get("cpu.usage_usec")) {
    std::string share;
    if (shot.before != nullptr)
      if (const auto r = rate(*shot.before, u, stat_id("cpu.usage_usec")))
        share = fmt::format("  {:.1f}% of a CPU", *r / 1e4);
    text += Line("CPU", short_time(*used))
                .part("user", u.get("cpu.user_usec"), short_time)
                .part("system", u.get("cpu.system_usec"), short_time)
                .text(share);
  }
  const Number periods = u.get("cpu.nr_periods");
  if (const Number throttled = u.get("cpu.nr_throttled"); throttled && periods)
    text += Line("throttled", short_time(u.get("cpu.throttled_usec").value_or(0)))
                .part(fmt::format("{} of {}", *throttled, sys::counted(*periods, "period")))
                .text(per_second(shot, "cpu.nr_throttled", " periods"));
  return text;
}

std::string memory_lines(const Shot& shot) {
  const Usage& u = *shot.usage;
  std::string text;
  const Number current = u.get("memory.current");
  const Number anon = u.get("memory.anon");
  if (current || anon)  // the root of cgroup2 has kinds, but no sum
    text += Line("memory", current ? sys::format_size(*current) : "-")
                .part("peak", u.get("memory.peak"), sys::format_size)
                .part("anon", anon, sys::format_size)
                .part("file", u.get("memory.file"), sys::format_size)
                .part("kernel", u.get("memory.kernel"), sys::format_size)
                .part("swap", u.get("memory.swap"), sys::format_size)
                .text();
  if (const Number hits = u.get("memory.limit_hits"))
    text += Line("limit hits", plain(*hits)).part("OOM kills", u.get("memory.oom_kill"), plain).text();
  if (const Number faults = u.get("memory.pgfault"))
    text += Line("page faults", plain(*faults))
                .part("from disk", u.get("memory.pgmajfault"), plain)
                .text(per_second(shot, "memory.pgfault", ""));
  return text;
}

std::string io_lines(const Shot& shot) {
  std::string text;
  for (const Usage::Device& d : shot.usage->devices()) {
    const auto get = [&](std::string_view name) { return shot.usage->get(d, stat_id(name)).value_or(0); };
    const auto speed = [&](std::string_view name) -> std::string {
      if (shot.before != nullptr)
        for (const Usage::Device& b : shot.before->devices())
          if (b.device == d.device) {
            const StatId id = stat_id(name);
            return size_rate(
                rate(shot.before->get(b, id), shot.usage->get(d, id), shot.usage->when - shot.before->when));
          }
      return {};
    };
    text += Line("IO " + device_name(d.device),
                 fmt::format("read {} in {}{}, written {} in {}{}",
                             sys::format_size(get("io.rbytes")),
                             sys::counted(get("io.rios"), "request"),
                             speed("io.rbytes"),
                             sys::format_size(get("io.wbytes")),
                             get("io.wios"),
                             speed("io.wbytes")))
                .text();
  }
  return text;
}

std::string rest_lines(const Shot& shot) {
  const Usage& u = *shot.usage;
  std::string text;
  if (const Number tasks = u.get("pids.current"))
    text += Line("tasks", plain(*tasks))
                .part("peak", u.get("pids.peak"), plain)
                .part("refused", u.get("pids.max_hits"), plain)
                .text();
  std::string pressure;
  for (const std::string_view resource : {"cpu", "memory", "io"})
    if (const Number avg = u.get(fmt::format("pressure.{}.some_avg10", resource)))
      pressure += fmt::format("{}{} {}.{:02}%", pressure.empty() ? "" : ", ", resource, *avg / 100, *avg % 100);
  if (!pressure.empty()) text += Line("pressure", pressure).part("of the last 10s").text();
  for (const PerfCount& c : shot.perf) {
    Line line(c.event->name, c.value ? plain(*c.value) : "not supported", 16);
    if (!c.value) line.part(c.missing);
    if (c.value && c.share < 0.9995) line.part(fmt::format("counted {:.0f}% of the time", c.share * 100));
    text += line.text();
  }
  return text;
}

}  // namespace

std::string usage_block(const Shot& shot, bool colour) {
  const std::string name = without_controls(shown(shot.group));
  std::string text = colour ? fmt::format("\x1b[1m{}\x1b[0m\n", name) : name + "\n";
  return text + cpu_lines(shot) + memory_lines(shot) + io_lines(shot) + rest_lines(shot);
}

std::string report_text(const UsageReport& r) {
  std::string text = Line("wall time", short_time(r.wall_usec)).text();
  if (r.cpu_usec) {
    Line line("CPU time", short_time(*r.cpu_usec));
    line.part("user", r.user_usec, short_time).part("system", r.system_usec, short_time);
    const double share =
        r.wall_usec > 0 ? static_cast<double>(*r.cpu_usec) * 100 / static_cast<double>(r.wall_usec) : 0;
    text += line.text(r.wall_usec > 0 ? fmt::format(", {:.0f}% of a CPU", share) : "");
  }
  if (r.throttled_usec && r.nr_throttled && r.nr_periods)
    text += Line("throttled", short_time(*r.throttled_usec))
                .part(fmt::format("{} of {}", *r.nr_throttled, sys::counted(*r.nr_periods, "period")))
                .text();
  if (r.memory_peak) text += Line("peak memory", sys::format_size(*r.memory_peak)).text();
  if (r.limit_hits) text += Line("limit hits", plain(*r.limit_hits)).text();
  if (r.oom_kills) text += Line("OOM kills", plain(*r.oom_kills)).text();
  for (const UsageReport::Device& d : r.io)
    text += Line("IO " + device_name(d.device),
                 fmt::format("read {}, written {}", sys::format_size(d.rbytes), sys::format_size(d.wbytes)))
                .text();
  if (r.pids_peak) text += Line("peak tasks", plain(*r.pids_peak)).text();
  return text;
}

std::string report_json(const UsageReport& r) {
  sys::JsonWriter json;
  json.open_object().key("group").string(shown(r.group)).key("wall_usec").number(r.wall_usec);
  const auto number = [&](std::string_view name, Number value) {
    if (value) json.key(name).number(*value);
  };
  number("cpu.usage_usec", r.cpu_usec);
  number("cpu.user_usec", r.user_usec);
  number("cpu.system_usec", r.system_usec);
  number("cpu.throttled_usec", r.throttled_usec);
  number("cpu.nr_throttled", r.nr_throttled);
  number("cpu.nr_periods", r.nr_periods);
  number("memory.peak", r.memory_peak);
  number("memory.limit_hits", r.limit_hits);
  number("memory.oom_kill", r.oom_kills);
  number("memory.pgmajfault", r.major_faults);
  number("pids.peak", r.pids_peak);
  json.key("io").open_array();
  for (const UsageReport::Device& d : r.io) {
    json.open_object().key("device").string(fmt::format("{}:{}", d.device.major, d.device.minor));
    json.key("name").string(device_name(d.device)).key("rbytes").number(d.rbytes).key("wbytes").number(d.wbytes);
    json.key("rios").number(d.rios).key("wios").number(d.wios).close_object();
  }
  json.close_array().close_object();
  return json.take();
}

}  // namespace cgx::tool
