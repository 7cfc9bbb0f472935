// SPDX-License-Identifier: Apache-2.0
// container stats. --json prints an object a round, each on one line; what is not counted is left out:
//   {"time": 1700000000.1, "version": "v1"|"v2"|"hybrid", "containers": [
//     {"name": "web", "cpu": 12.5, "memory": 4096, "memory_limit": 1073741824|"max", "pids": 3,
//      "read": 0, "written": 8192}]}
// percent of one CPU; bytes, the limit being the lowest one on the way to the root; processes and threads; bytes since
// the start.
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <thread>

#include <sys/ioctl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/usage.h"
#include "cgx/sys/text.h"

#include "commands.h"
#include "format.h"
#include "table.h"
#include "tools/usage_text.h"
#include "view.h"

namespace cgx::launcher {
namespace {

constexpr std::array<std::string_view, 5> stats_needed{
    "cpu.usage_usec", "memory.current", "pids.current", "io.rbytes", "io.wbytes"};

struct StatsRow {
  std::string name, id, network;
  std::optional<double> cpu;
  std::optional<std::uint64_t> memory, pids, read, written;
  std::optional<std::uint64_t> limit;  // of memory; sys::unlimited: none
};

class StatsReader {
 public:
  // `ended`: those too that do not run.
  static Result<StatsReader> create(const Hierarchies& hierarchies, std::vector<std::string> names, bool ended) {
    StatsReader reader(std::move(names), ended);
    (void)CGX_TRY(reader.source({}, hierarchies));
    return reader;
  }

  Result<std::vector<StatsRow>> read() {
    std::vector<StatsRow> rows;
    std::map<std::string, Usage> now;
    for (const Known& known : CGX_TRY(containers())) {
      StatsRow row{.name = known.record.id, .id = known.record.hex_id, .network = known.record.network};
      if (!runs(known)) {
        rows.push_back(std::move(row));
        continue;
      }
      Source& from = *CGX_TRY(source(known.state.bases, sources_.front()->hierarchies));
      auto usage = known.state.group.empty() ? Result<Usage>(fail(ENOENT, "")) : from.sampler->read(known.state.group);
      if (usage) {
        const auto old = before_.find(row.name);
        take(row, *usage, old == before_.end() ? nullptr : &old->second);
        row.limit = memory_limit(from.hierarchies, known.state.group);
        now.insert_or_assign(row.name, std::move(*usage));
      } else if (usage.error().code != ENOENT) {
        return std::unexpected(std::move(usage).error());
      } else if (!known.state.group.empty()) {
        continue;  // it has ended meanwhile
      }
      rows.push_back(std::move(row));
    }
    before_ = std::move(now);
    return rows;
  }

  [[nodiscard]] bool of_names() const { return !names_.empty(); }
  // Those that cannot be shown, at the last read().
  [[nodiscard]] const std::vector<Error>& damaged() const { return damaged_; }

 private:
  // A sampler for each way of counting names of groups: most containers have the first one's.
  struct Source {
    std::vector<Base> bases;
    Hierarchies hierarchies;
    std::optional<Sampler> sampler;
  };

  StatsReader(std::vector<std::string> names, bool ended) : names_(std::move(names)), ended_(ended) {}

  Result<Source*> source(const std::vector<Base>& bases, const Hierarchies& hierarchies) {
    for (const auto& known : sources_)
      if (known->bases == bases) return known.get();
    auto made =
        std::make_unique<Source>(Source{.bases = bases, .hierarchies = hierarchies.nested(bases), .sampler = {}});
    made->sampler = CGX_TRY(Sampler::create(made->hierarchies, stats_needed));
    return sources_.emplace_back(std::move(made)).get();
  }

  Result<std::vector<Known>> containers() {
    std::vector<Known> found;
    if (names_.empty()) {
      Listing listing = CGX_TRY(list_containers());
      found = std::move(listing.containers);
      damaged_ = std::move(listing.damaged);
    } else {
      for (const std::string& name : names_) {
        auto known = find_exactly(name, Store::How::look);
        if (!known && known.error().code != ENOENT) return std::unexpected(std::move(known).error());
        if (known) found.push_back(std::move(*known));
      }
    }
    if (!ended_) std::erase_if(found, [](const Known& known) { return !runs(known); });
    return found;
  }

  static void take(StatsRow& row, const Usage& now, const Usage* before) {
    row.memory = now.get("memory.current");
    row.pids = now.get("pids.current");
    row.read = now.sum(stat_id("io.rbytes"));
    row.written = now.sum(stat_id("io.wbytes"));
    if (before == nullptr) return;
    if (const auto usec = rate(*before, now, stat_id("cpu.usage_usec"))) row.cpu = *usec / 1e4;
  }

  // The lowest limit of the group and those above it; nullopt: this host has none of them.
  [[nodiscard]] static std::optional<std::uint64_t> memory_limit(const Hierarchies& hierarchies, std::string name) {
    const Knob* knob = find_knob("memory.max");
    std::optional<std::uint64_t> lowest;
    while (knob != nullptr && !name.empty()) {
      const auto value = read_knob(Cgroup(hierarchies, name), *knob);
      const auto* limit = value && *value ? std::get_if<std::uint64_t>(&**value) : nullptr;
      if (limit != nullptr) lowest = std::min(lowest.value_or(sys::unlimited), *limit);
      const std::size_t slash = name.rfind('/');
      name.resize(slash == std::string::npos ? 0 : slash);
    }
    return lowest;
  }

  std::vector<std::string> names_;
  bool ended_;
  std::vector<std::unique_ptr<Source>> sources_;
  std::map<std::string, Usage> before_;
  std::vector<Error> damaged_;
};

std::string stats_table(const std::vector<StatsRow>& rows) {
  const auto size = [](const std::optional<std::uint64_t>& n) { return n ? sys::format_size(*n) : "-"; };
  std::vector<Cells> cells;
  for (const StatsRow& row : rows) {
    const bool limited = row.limit && *row.limit != sys::unlimited && *row.limit != 0 && row.memory;
    const double percent = limited ? 100.0 * static_cast<double>(*row.memory) / static_cast<double>(*row.limit) : 0;
    cells.push_back({row.name,
                     row.cpu ? fmt::format("{:.1f}", *row.cpu) : "-",
                     fmt::format("{} / {}", size(row.memory), size(row.limit)),
                     limited ? fmt::format("{:.1f}", percent) : "-",
                     row.pids ? std::to_string(*row.pids) : "-",
                     size(row.read),
                     size(row.written)});
  }
  const auto right = Column::Align::right;
  return table_text({{"NAME"},
                     {"CPU%", right},
                     {"MEM / LIMIT", right},
                     {"MEM%", right},
                     {"PIDS", right},
                     {"READ", right},
                     {"WRITTEN", right}},
                    cells);
}

std::string stats_json(const Hierarchies& hierarchies, const std::vector<StatsRow>& rows) {
  sys::JsonWriter json;
  json.open_object().key("time").real(tool::wall_clock()).key("version").string(hierarchies.layout());
  json.key("containers").open_array();
  for (const StatsRow& row : rows) {
    json.open_object().key("name").string(row.name);
    if (row.cpu) json.key("cpu").real(*row.cpu);
    if (row.memory) json.key("memory").number(*row.memory);
    if (row.limit) json.key("memory_limit").limit(*row.limit);
    if (row.pids) json.key("pids").number(*row.pids);
    if (row.read) json.key("read").number(*row.read);
    if (row.written) json.key("written").number(*row.written);
    json.close_object();
  }
  return json.close_array().close_object().take() + "\n";
}

constexpr std::array<Field, 9> stats_fields{{{"BlockIO", "BLOCK I/O"},
                                             {"CPUPerc", "CPU %"},
                                             {"Container", "CONTAINER"},
                                             {"ID", "CONTAINER ID"},
                                             {"MemPerc", "MEM %"},
                                             {"MemUsage", "MEM USAGE / LIMIT"},
                                             {"Name", "NAME"},
                                             {"NetIO", "NET I/O"},
                                             {"PIDs", "PIDS"}}};

// Numbers in docker's forms, which programs read.
std::string scaled(std::uint64_t n, double base, std::span<const std::string_view> units, int digits) {
  auto value = static_cast<double>(n);
  std::size_t unit = 0;
  for (; value >= base && unit + 1 < units.size(); ++unit) value /= base;
  return fmt::format("{:.{}g}{}", value, digits, units[unit]);
}
std::string binary_size(std::uint64_t n) {
  static constexpr std::array<std::string_view, 6> units{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  return scaled(n, 1024, units, 4);
}
std::string decimal_size(std::uint64_t n) {
  static constexpr std::array<std::string_view, 6> units{"B", "kB", "MB", "GB", "TB", "PB"};
  return scaled(n, 999.5, units, 3);
}

// What is not counted, or not so of a container that has ended, is --.
Value stats_value(const StatsRow& row, bool whole) {
  // A container without a limit has the memory of the host.
  const std::uint64_t host =
      static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  const std::uint64_t limit = std::min(row.limit.value_or(sys::unlimited), host);
  const auto text = [](bool known, const std::function<std::string()>& value) {
    return Value::text(known ? value() : "--");
  };
  const std::string id = row.id.empty() ? row.name : whole ? row.id : row.id.substr(0, 12);
  return Value::object(
      {{"BlockIO",
        text(row.read && row.written,
             [&] { return fmt::format("{} / {}", decimal_size(*row.read), decimal_size(*row.written)); })},
       {"CPUPerc", text(row.cpu.has_value(), [&] { return fmt::format("{:.2f}%", *row.cpu); })},
       {"Container", Value::text(id)},
       {"ID", Value::text(id)},
       {"MemPerc",
        text(row.memory.has_value(),
             [&] {
               return fmt::format(
                   "{:.2f}%",
                   100.0 * static_cast<double>(*row.memory) / static_cast<double>(std::max<std::uint64_t>(limit, 1)));
             })},
       {"MemUsage",
        text(row.memory.has_value(),
             [&] { return fmt::format("{} / {}", binary_size(*row.memory), binary_size(limit)); })},
       {"Name", Value::text(row.name)},
       // A loopback interface alone carries nothing in or out; the others are not its own.
       {"NetIO", text(row.network == "none" && row.pids, [] { return std::string("0B / 0B"); })},
       {"PIDs", text(row.pids.has_value(), [&] { return std::to_string(*row.pids); })}});
}

Result<std::string> formatted(const Format& format, const std::vector<StatsRow>& rows, bool whole) {
  std::vector<Value> values;
  for (const StatsRow& row : rows) values.push_back(stats_value(row, whole));
  return format.text(values);
}

// A table in the place of the one before: no line may be wrapped, nor the last one scroll.
std::string redrawn(std::string_view table) {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) size = {24, 80, 0, 0};
  std::string out = "\x1b[H";
  const auto lines = sys::lines(table);
  for (std::size_t i = 0; i < lines.size() && i + 1 < size.ws_row; ++i)
    out.append(shortened(lines[i], size.ws_col)).append("\x1b[K\n");
  return out + "\x1b[J";
}

Result<std::vector<std::string>> names_of(const Call& call) {
  std::vector<std::string> names;
  for (const std::string& word : call.words) {
    const Known known = CGX_TRY(find(word));
    if (!call.on("all")) CGX_CHECK(needs_to_run(known));
    if (std::ranges::find(names, known.entry.id()) == names.end()) names.push_back(known.entry.id());
  }
  return names;
}

}  // namespace

Result<int> stats(const Call& call) {
  std::chrono::microseconds interval(1'000'000);
  if (call.on("interval")) {
    const std::uint64_t usec = CGX_TRY(located(sys::parse_time(call.get("interval")), "", "--interval"));
    if (usec < 50'000 || usec > 3'600'000'000)
      return located(Result<int>(bad_value(call.get("interval"), "is not between 50ms and 1h")), "", "--interval");
    interval = std::chrono::microseconds(usec);
  }
  const std::string_view wanted = call.get("format");
  std::optional<Format> format;
  if (!wanted.empty() && wanted != "table") format = CGX_TRY(Format::parse(wanted, stats_fields));
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  StatsReader reader = CGX_TRY(StatsReader::create(hierarchies, CGX_TRY(names_of(call)), call.on("all")));
  const bool redraw = !call.json && !call.on("no-stream") && isatty(STDOUT_FILENO) == 1;
  CGX_CHECK(reader.read());
  int status = 0;
  for (const Error& e : reader.damaged()) status = std::max(status, tool::report(e, call.command->name, call.json));
  // The first rates: of a time that is long enough for v1's ticks of 10 ms.
  auto next =
      std::chrono::steady_clock::now() + std::min<std::chrono::microseconds>(interval, std::chrono::milliseconds(200));
  if (redraw) tool::print("\x1b[2J");
  while (true) {
    std::this_thread::sleep_until(next);
    const std::vector<StatsRow> rows = CGX_TRY(reader.read());
    if (rows.empty() && reader.of_names()) return status;  // all of them have ended
    const std::string text = call.json ? stats_json(hierarchies, rows)
                             : format  ? CGX_TRY(formatted(*format, rows, call.on("no-trunc")))
                                       : stats_table(rows);
    tool::print(redraw ? redrawn(text) : text);
    if (call.on("no-stream")) return status;
    next = std::max(next + interval, std::chrono::steady_clock::now());
  }
}

}  // namespace cgx::launcher
