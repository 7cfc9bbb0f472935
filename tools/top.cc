// SPDX-License-Identifier: Apache-2.0
// cgx top: checks its words, prints one table with --once, and otherwise becomes cgx-top, the program with the terminal
// library in it, so that cgx itself stays without.
//
// --once --json prints one object:
//   {"time": 1700000000.1, "version": "v1"|"v2"|"hybrid", "interval": 0.2, "groups": [
//     {"name": "web", "cpu": 12.5, "memory": 4096, "io": 0.0, "pids": 3, "pressure": 0.1}]}
// in the order asked for: percent of one CPU, bytes, bytes a second, processes and threads, percent of the time in
// which tasks waited. What is not counted is left out.
#include <thread>

#include <fmt/format.h>

#include "cgx/cgroupfs/walk.h"
#include "cgx/sys/json.h"
#include "cgx/sys/program.h"
#include "cgx/sys/text.h"

#include "command.h"
#include "top_model.h"
#include "usage_text.h"

namespace cgx::tool {
namespace {

struct Wanted {
  std::string group;
  TopColumn sort = TopColumn::cpu;
  std::uint64_t interval_usec = 2'000'000;
  unsigned depth = any_depth;
};

Result<TopColumn> parse_column(std::string_view text) {
  std::vector<std::string_view> known;
  for (const TopColumnRow& c : top_columns()) {
    if (c.name == text) return c.id;
    known.push_back(c.name);
  }
  auto error = bad_value(text, "is not a column: cpu, memory, io, pids, pressure or name");
  if (const std::string_view close = sys::nearest(text, known); !close.empty())
    error.error().hint = fmt::format("did you mean {}?", close);
  return error;
}

Result<Wanted> wanted_of(const Call& call) {
  Wanted w;
  if (!call.words.empty()) w.group = CGX_TRY(parse_group_name(call.words[0]));
  if (call.on("sort")) w.sort = CGX_TRY(located(parse_column(call.get("sort")), "", "--sort"));
  if (call.on("interval")) {
    w.interval_usec = CGX_TRY(located(sys::parse_time(call.get("interval")), "", "--interval"));
    if (w.interval_usec < 50'000 || w.interval_usec > 3'600'000'000)
      return located(Result<Wanted>(bad_value(call.get("interval"), "is not between 50ms and 1h")), "", "--interval");
  }
  if (call.on("depth"))
    w.depth = static_cast<unsigned>(CGX_TRY(located(sys::parse_u64(call.get("depth"), 0, 1'000'000), "", "--depth")));
  if (call.json && !call.on("once")) return located(Result<Wanted>(bad_value({}, "needs --once")), "", "--json");
  return w;
}

std::string table(const std::vector<TopRow>& rows) {
  std::string text;
  const auto line = [&](const auto& of) {
    for (const TopColumnRow& c : top_columns())
      text += c.width > 0 ? fmt::format("{:>{}} ", of(c), c.width) : fmt::format(" {}\n", of(c));
  };
  line([](const TopColumnRow& c) { return std::string(c.heading); });
  for (const TopRow& row : rows) line([&](const TopColumnRow& c) { return without_controls(cell(row, c.id)); });
  return text;
}

std::string json_table(const Hierarchies& hierarchies, const std::vector<TopRow>& rows, double interval) {
  sys::JsonWriter json;
  json.open_object().key("time").real(wall_clock()).key("version").string(hierarchies.layout());
  json.key("interval").real(interval).key("groups").open_array();
  for (const TopRow& row : rows) {
    json.open_object().key("name").string(shown(row.group));
    if (row.cpu) json.key("cpu").real(*row.cpu);
    if (row.memory) json.key("memory").number(*row.memory);
    if (row.io) json.key("io").real(*row.io);
    if (row.pids) json.key("pids").number(*row.pids);
    if (row.pressure) json.key("pressure").real(*row.pressure);
    json.close_object();
  }
  json.close_array().close_object();
  return json.take() + "\n";
}

Result<int> once(const Call& call, const Wanted& w) {
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  TopReader reader = CGX_TRY(TopReader::create(hierarchies, w.group, w.depth));
  // Long enough for the slowest counter, v1's ticks of 10 ms apart, short enough for a script.
  const std::chrono::microseconds interval(call.on("interval") ? w.interval_usec : 200'000);
  CGX_CHECK(reader.read());
  const auto began = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(interval);
  std::vector<TopRow> rows = CGX_TRY(reader.read());
  sort_rows(rows, w.sort, TopOrder::usual);
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - began;
  print(call.json ? json_table(hierarchies, rows, passed.count()) : table(rows));
  return 0;
}

// Comes back only where it fails.
Result<int> exec_live(const Wanted& w) {
  const std::string_view column = top_columns()[static_cast<std::size_t>(w.sort)].name;
  std::unexpected<Error> failed = sys::become_helper(
      "cgx-top",
      {std::string(shown(w.group)), std::string(column), std::to_string(w.interval_usec), std::to_string(w.depth)});
  failed.error().hint = "cgx top --once prints one table";
  return failed;
}

}  // namespace

Result<int> run_top(const Call& call) {
  const Wanted w = CGX_TRY(wanted_of(call));
  if (call.on("once")) return once(call, w);
  if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1) {
    Error e{.code = ENOTTY, .what = "the live view needs a terminal", .hint = "cgx top --once prints one table"};
    return std::unexpected(std::move(e));
  }
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  CGX_CHECK(walk_below(hierarchies, w.group, 0));  // a group that is not there is told before the screen is taken
  return exec_live(w);
}

}  // namespace cgx::tool
