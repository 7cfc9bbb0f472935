// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics/status.h"

#include <algorithm>
#include <optional>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "cgx/sys/count.h"
#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

#include "daemon/metrics/status_assets.h"
#include "daemon/metrics/text.h"

namespace cgx::daemon {
namespace {

using Number = std::optional<std::uint64_t>;

// What is shown of a group.
struct StatusRow {
  std::string_view name;
  Number cpu, throttled;  // microseconds
  Number cpu_limit;       // millionths of a CPU
  Number memory, memory_limit;
  Number tasks, tasks_limit;
  Number oom_kills;
};

Number limit_of(const Reading& reading, std::string_view knob) {
  const auto rows = metric_limits();
  const auto at = std::ranges::find(rows, knob, &Knob::name);
  if (at == rows.end()) return std::nullopt;
  const std::uint64_t n = reading.limits[static_cast<std::size_t>(at - rows.begin())];
  return n == no_value ? Number() : Number(n);
}

StatusRow row_of(const Reading& reading) {
  return {.name = shown(reading.labels->name),
          .cpu = reading.usage.get("cpu.usage_usec"),
          .throttled = reading.usage.get("cpu.throttled_usec"),
          .cpu_limit = limit_of(reading, "cpu.max"),
          .memory = reading.usage.get("memory.current"),
          .memory_limit = limit_of(reading, "memory.max"),
          .tasks = reading.usage.get("pids.current"),
          .tasks_limit = limit_of(reading, "pids.max"),
          .oom_kills = reading.usage.get("memory.oom_kill")};
}

void cell(std::string& out, std::string_view text) {
  out.append("<td>");
  text::append_html(out, text);
  out.append("</td>");
}

std::string time_text(Number usec) {
  if (!usec) return "";
  const std::uint64_t s = *usec / 1'000'000;
  if (s >= 3600) return fmt::format("{}h {:02}m", s / 3600, s / 60 % 60);
  if (s >= 60) return fmt::format("{}m {:02}s", s / 60, s % 60);
  return fmt::format("{:.1f}s", static_cast<double>(*usec) / 1e6);
}
std::string size_text(Number bytes) { return bytes ? sys::format_size(*bytes) : ""; }
std::string count_text(Number n) { return n ? std::to_string(*n) : ""; }
std::string cpus_text(Number millionths) {
  return millionths ? fmt::format("{:.2f}", static_cast<double>(*millionths) / 1e6) : "";
}

// The limit, with a gauge of how much of it is used.
void gauge_cell(std::string& out, Number used, Number limit, const std::string& text) {
  out.append("<td>");
  text::append_html(out, text);
  if (used && limit && *limit > 0) {
    const std::uint64_t percent = std::min<std::uint64_t>(100, *used * 100 / *limit);
    out.append(fmt::format(
        R"( <meter min="0" max="100" high="90" optimum="0" value="{0}" title="{0}% used">{0}%</meter>)", percent));
  }
  out.append("</td>");
}

void table_row(std::string& out, const Reading& reading) {
  const StatusRow r = row_of(reading);
  out.append("<tr><th scope=\"row\">");
  text::append_html(out, r.name);
  out.append("</th><td class=\"live\"></td>");
  cell(out, time_text(r.cpu));
  cell(out, cpus_text(r.cpu_limit));
  cell(out, time_text(r.throttled));
  cell(out, size_text(r.memory));
  gauge_cell(out, r.memory, r.memory_limit, size_text(r.memory_limit));
  cell(out, count_text(r.tasks));
  gauge_cell(out, r.tasks, r.tasks_limit, count_text(r.tasks_limit));
  cell(out, count_text(r.oom_kills));
  out.append("</tr>\n");
}

std::string count_line(const Snapshot& snapshot) {
  std::string text = sys::counted(snapshot.count, "group");
  if (snapshot.count > most_shown) text += fmt::format(", of which the first {} are shown", most_shown);
  if (snapshot.dropped > 0)
    text += fmt::format("; {} left out by the bounds of cgxd", sys::counted(snapshot.dropped, "more is", "more are"));
  return text;
}

std::string utc(std::chrono::system_clock::time_point time) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

void policy_state(std::string& out, const World& world) {
  if (world.last_reload == std::chrono::system_clock::time_point()) {
    out.append("<p>No policies were loaded yet.</p>\n");
  } else {
    out.append(world.policy_valid ? "<p>Policies: in force, loaded "
                                  : "<p class=\"bad\">Policies: the last load failed, ");
    out.append(utc(world.last_reload)).append("</p>\n");
  }
  if (world.problems.empty()) return;
  out.append("<ul class=\"bad\">\n");
  for (const std::string& problem : world.problems) {
    out.append("<li>");
    text::append_html(out, problem);
    out.append("</li>\n");
  }
  out.append("</ul>\n");
}

}  // namespace

std::string status_html(const Snapshot& snapshot, const World& world, std::string_view nonce) {
  std::string out;
  out.reserve(8192 + std::min(snapshot.count, most_shown) * 500);
  out.append(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>cgxd: groups</title>\n<style nonce=\"");
  out.append(nonce)
      .append("\">\n")
      .append(status_style)
      .append("</style>\n</head>\n<body>\n<header>\n<h1>cgxd</h1>\n<p>");
  out.append("Version " CGX_VERSION);
  if (!world.manager.empty()) {
    out.append(", groups by ");
    text::append_html(out, world.manager);
  }
  out.append("</p>\n");
  policy_state(out, world);
  out.append("<p id=\"state\" role=\"status\">Read ").append(utc(snapshot.time)).append("</p>\n</header>\n<main>\n");
  out.append("<p id=\"tools\" hidden><label>Show groups with <input id=\"filter\" type=\"search\"></label></p>\n");
  out.append(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"caption\">\n<table>\n"
      "<caption id=\"caption\">");
  out.append(count_line(snapshot)).append("</caption>\n<thead><tr>");
  for (const StatusColumn& column : status_columns) {
    out.append("<th scope=\"col\"").append(column.live ? " class=\"live\"" : "").append(" data-key=\"");
    out.append(column.key).append("\" title=\"").append(column.help).append("\">").append(column.title).append("</th>");
  }
  out.append("</tr></thead>\n<tbody>\n");
  for (std::size_t i = 0; i < std::min(snapshot.count, most_shown); ++i) table_row(out, snapshot.groups[i]);
  out.append(
      "</tbody>\n</table>\n</div>\n</main>\n<footer><p><a href=\"metrics\">Metrics</a> for Prometheus, "
      "<a href=\"status.json\">JSON</a></p></footer>\n<script nonce=\"");
  out.append(nonce).append("\">\n").append(status_script).append("</script>\n</body>\n</html>\n");
  return out;
}

std::string status_json(const Snapshot& snapshot, const World& world) {
  sys::JsonWriter json;
  const auto number = [&json](std::string_view key, Number n) {
    json.key(key);
    if (n) {
      json.number(*n);
    } else {
      json.null();
    }
  };
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(snapshot.time.time_since_epoch());
  json.open_object().key("time_msec").number(static_cast<std::uint64_t>(millis.count()));
  json.key("version").string(CGX_VERSION).key("policy_valid").boolean(world.policy_valid);
  json.key("summary").string(count_line(snapshot)).key("groups").open_array();
  for (std::size_t i = 0; i < std::min(snapshot.count, most_shown); ++i) {
    const StatusRow r = row_of(snapshot.groups[i]);
    json.open_object().key("name").string(text::utf8(r.name));
    number("cpu_usec", r.cpu);
    number("cpu_limit_millionths", r.cpu_limit);
    number("throttled_usec", r.throttled);
    number("memory", r.memory);
    number("memory_limit", r.memory_limit);
    number("tasks", r.tasks);
    number("tasks_limit", r.tasks_limit);
    number("oom_kills", r.oom_kills);
    json.close_object();
  }
  json.close_array().close_object();
  return json.take() + '\n';
}

}  // namespace cgx::daemon
