// SPDX-License-Identifier: Apache-2.0
// Docker's names for limits, and the forms of theirs that mean something else here, as flags of the knobs.
#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/model/convert.h"
#include "cgx/sys/text.h"

#include "options.h"
#include "tools/bad_flag.h"
#include "tools/groups.h"

namespace cgx::launcher {
namespace {

using tool::LimitFlag;

// `before`: what stands between the disk and the number. `none`: what means no limit in Docker.
struct DockerLimit {
  std::string_view option;
  std::string_view knob;
  std::string_view before;
  std::string_view none;
};
constexpr std::array<DockerLimit, 15> docker_rows{{{"memory", "memory.max", {}, "0"},
                                                   {"memory-swap", "memory.memsw.limit_in_bytes", {}, "0"},
                                                   {"memory-reservation", "memory.soft_limit_in_bytes", {}, "0"},
                                                   {"memory-swappiness", "memory.swappiness", {}, "-1"},
                                                   {"cpu-shares", "cpu.shares", {}, "0"},
                                                   {"oom-kill-disable", "memory.oom", {}, {}},
                                                   {"cpuset-cpus", "cpuset.cpus", {}, {}},
                                                   {"cpuset-mems", "cpuset.mems", {}, {}},
                                                   {"pids-limit", "pids.max", {}, {}},
                                                   {"blkio-weight", "io.weight", {}, "0"},
                                                   {"blkio-weight-device", "io.weight", {}, {}},
                                                   {"device-read-bps", "io.max", "rbps=", {}},
                                                   {"device-write-bps", "io.max", "wbps=", {}},
                                                   {"device-read-iops", "io.max", "riops=", {}},
                                                   {"device-write-iops", "io.max", "wiops=", {}}}};

// With 0 of these no program starts: the kernel kills or stops it on its way, or refuses it.
struct NeededLimit {
  std::string_view knob;
  std::string_view why;
};
constexpr std::array<NeededLimit, 4> needed_rows{
    {{"memory.max", "leaves no memory to start a program"},
     {"memory.high", "leaves no memory to start a program"},
     {"memory.memsw.limit_in_bytes", "leaves no memory and swap to start a program"},
     {"pids.max", "leaves no process to start a program"}}};

// Weights of v1 are 10 to 1000; on v2 they become 1 to 10000, as the OCI's runtimes have it.
Result<std::string> weight_text(const DockerLimit& row, const std::string& text) {
  const std::size_t colon = row.option == "blkio-weight" ? std::string::npos : text.rfind(':');
  const std::size_t number = colon == std::string::npos ? 0 : colon + 1;
  const auto weight = sys::parse_u64(std::string_view(text).substr(number), 10, 1000);
  if (!weight || (row.option != "blkio-weight" && (colon == std::string::npos || colon == 0)))
    return tool::bad_flag(row.option,
                          text,
                          row.option == "blkio-weight" ? "is no number from 10 to 1000, or 0 for none"
                                                       : "is not DISK:NUMBER with a number from 10 to 1000",
                          row.option == "blkio-weight" ? "500 is the weight without it" : "/dev/sda:500");
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  const Hierarchy* io = hierarchies.of(Controller::io);
  const bool v2 = io != nullptr && io->version() == Version::v2;
  return text.substr(0, number) + std::to_string(v2 ? blkio_to_io_weight(*weight) : *weight);
}

Result<std::string> limit_text(const DockerLimit& row, const std::string& text) {
  if (row.option == "oom-kill-disable") return "pause";
  if (row.option == "pids-limit" && (text == "0" || text == "-1")) return "max";
  if (row.knob == "io.weight") return weight_text(row, text);
  if (row.before.empty()) return text;
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == text.size())
    return tool::bad_flag(row.option, text, "is not DISK:NUMBER", "/dev/sda:1M");
  return fmt::format("{}:{}{}", text.substr(0, colon), row.before, text.substr(colon + 1));
}

// `limit` is what was typed as `option`: an error of it names that (tool::as_typed()).
void translate(tool::Call& call, std::string_view option, const std::string& text, const LimitFlag& limit) {
  const auto as =
      std::ranges::find_if(call.typed, [&](const tool::Typed& t) { return t.flag == option && t.value == text; });
  if (as == call.typed.end()) return;  // a switch: its value is not the user's
  tool::Typed typed = *as;
  typed.flag = limit.knob->flag;
  typed.value = limit.text;
  call.typed.push_back(std::move(typed));
}

// The rows of a table's text, of one disk: rbps and 1M of /dev/sda:rbps=1M.
struct TableText {
  std::string_view disk;
  std::vector<std::pair<std::string_view, std::string_view>> rows;
};
TableText table_text(std::string_view text) {
  const std::size_t colon = text.substr(0, text.find('=')).rfind(':');
  const std::size_t rows = colon == std::string_view::npos ? 0 : colon + 1;
  TableText table{.disk = text.substr(0, rows), .rows = {}};
  for (const std::string_view row : sys::split(text.substr(rows), ',')) {
    const std::size_t equals = row.find('=');
    table.rows.emplace_back(equals == std::string_view::npos ? std::string_view() : row.substr(0, equals),
                            row.substr(equals == std::string_view::npos ? 0 : equals + 1));
  }
  return table;
}

bool same_value(std::string_view a, std::string_view b) {
  const auto x = sys::parse_size(a), y = sys::parse_size(b);
  return a == b || (x && y && *x == *y);
}

// Both are texts of this knob.
bool contradict(const Knob& knob, std::string_view a, std::string_view b) {
  if (!tool::adds(knob.format)) return !same_value(a, b);
  const TableText one = table_text(a), other = table_text(b);
  return one.disk == other.disk && std::ranges::any_of(one.rows, [&](const auto& row) {
           return std::ranges::any_of(other.rows, [&](const auto& of_other) {
             return row.first == of_other.first && !same_value(row.second, of_other.second);
           });
         });
}

// Of Docker's flag and of cgx's own for the same knob one would win in silence.
Result<> check_own_flags(const tool::Call& call, const DockerLimit& row, const std::string& text, bool none) {
  const Knob* knob = find_knob(row.knob);
  for (const LimitFlag& own : call.limits) {
    // The time of CPUs, and not their numbers.
    const bool other_knob = knob == find_knob("cpuset.cpus") && own.text.find('.') != std::string::npos;
    if (own.knob != knob || other_knob) continue;
    if (!contradict(*knob, none ? "max" : CGX_TRY(limit_text(row, text)), own.text)) continue;
    return tool::bad_flag(row.option,
                          text,
                          fmt::format("{} --{} {}{}",
                                      text.empty() ? "contradicts" : "and",
                                      knob->flag,
                                      own.text,
                                      text.empty() ? "" : " contradict each other"));
  }
  return {};
}

// A count of CPUs that this host does not have is one of microseconds, which it is in Docker.
Result<> check_cpu_count(const std::string& text) {
  const auto count = sys::parse_u64(text);
  const long cpus = sysconf(_SC_NPROCESSORS_CONF);
  if (!count || cpus <= 0 || *count <= static_cast<std::uint64_t>(cpus)) return {};
  return tool::bad_flag("cpu-quota",
                        text,
                        fmt::format("is more CPUs than the {} of this host", cpus),
                        fmt::format("for {} microseconds in each 100000: --cpu-quota {}% or --cpu-quota {}/100000",
                                    *count,
                                    static_cast<double>(*count) / 1000,
                                    *count));
}

// Docker's --cpus 1 is the time of one CPU, and 0 no limit. Ours is a list, as for groups.
void say_which_cpu(std::string_view command, const std::string& text) {
  const auto number = sys::parse_u64(text);
  if (!number) return;
  const std::string other = *number == 0   ? std::string("without a limit: no --cpus")
                            : *number == 1 ? std::string("for the time of one CPU: --cpus 1.0")
                                           : fmt::format("for the time of {0} CPUs: --cpus {0}.0", *number);
  fmt::print(stderr,
             "cgx: {1}: note: --cpus {0} is the CPU with number {0}, as --cpuset-cpus {0}; {2}\n",
             *number,
             command,
             other);
}

Result<> take_cpu_limits(tool::Call& call, const std::optional<std::string>& period) {
  const Knob* quota = find_knob("cpu.max");
  const Knob* cpus = find_knob("cpuset.cpus");
  LimitFlag* given = nullptr;
  bool counted = false;
  for (LimitFlag& limit : call.limits) {
    if (limit.knob == cpus && limit.text.find('.') != std::string::npos) {
      const auto given_cpus = sys::parse_quota(limit.text);
      const long there = sysconf(_SC_NPROCESSORS_CONF);
      if (given_cpus && there > 0 && given_cpus->quota > static_cast<std::uint64_t>(there) * 100'000)
        return tool::bad_flag("cpus", limit.text, fmt::format("is more CPUs than the {} of this host", there));
      limit.knob = quota;
      translate(call, "cpus", limit.text, limit);
      counted = true;
    } else if (limit.knob == quota) {
      given = &limit;
    }
  }
  if (counted && (given != nullptr || period))
    return tool::bad_flag(
        period ? "cpu-period" : "cpu-quota", period ? *period : given->text, "and --cpus contradict each other");
  if (!period) return given != nullptr ? check_cpu_count(given->text) : Result<>();
  if (given == nullptr) {
    call.limits.push_back({quota, {}, "max/" + *period});
    translate(call, "cpu-period", *period, call.limits.back());
  } else if (given->text == "-1" || given->text == "max" || sys::parse_u64(given->text)) {
    given->text += "/" + *period;
  } else {
    return tool::bad_flag("cpu-period",
                          *period,
                          fmt::format("and --cpu-quota {} contradict each other", given->text),
                          "give both in microseconds");
  }
  return {};
}

Result<> check_not_zero(const LimitFlag& limit) {
  if (limit.knob == nullptr) return {};
  const auto row = std::ranges::find(needed_rows, limit.knob->name, &NeededLimit::knob);
  if (row == needed_rows.end() || sys::parse_size(limit.text).value_or(1) != 0) return {};
  return tool::bad_flag(limit.knob->flag,
                        limit.text,
                        std::string(row->why),
                        fmt::format("for no limit: --{} max, or leave the flag out", limit.knob->flag));
}

}  // namespace

Result<tool::Call> with_docker_limits(const tool::Call& call) {
  tool::Call out = call;
  for (const LimitFlag& limit : call.limits)
    if (limit.knob == find_knob("cpuset.cpus")) say_which_cpu(call.command->name, limit.text);
  std::optional<std::string> period;
  for (const auto& [name, text] : call.options) {
    if (name == "cpu-period") period = text;
    const auto row = std::ranges::find(docker_rows, name, &DockerLimit::option);
    if (row == docker_rows.end()) continue;
    const bool none = !row->none.empty() && text == row->none;
    CGX_CHECK(check_own_flags(call, *row, text, none));
    if (none) continue;
    out.limits.push_back({find_knob(row->knob), {}, CGX_TRY(limit_text(*row, text))});
    translate(out, name, text, out.limits.back());
  }
  CGX_CHECK(take_cpu_limits(out, period));
  return out;
}

Result<> check_needed_limits(const tool::Call& call) {
  for (const LimitFlag& limit : call.limits) CGX_CHECK(check_not_zero(limit));
  return {};
}

}  // namespace cgx::launcher
