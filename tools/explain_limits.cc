// SPDX-License-Identifier: Apache-2.0
// cgx explain: memory, swap, processes, IO, huge pages, devices, freezer.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/sys/text.h"

#include "explain.h"

namespace cgx::tool {
namespace {

const Hierarchy* home_of(const Cgroup& group, Controller controller) { return group.hierarchies().of(controller); }

std::string path_of(const Cgroup& group, const Hierarchy& h, std::string_view file) {
  return h.path(group.name(), file);
}

// The file of `knob` on this host, with the page size for the `*` of hugetlb.
std::string file_of(const Cgroup& group, std::string_view knob, std::string_view size = {}) {
  const Knob* k = find_knob(knob);
  const auto home = k != nullptr ? cgx::home_of(group.hierarchies(), *k) : Result<Home>(Home{nullptr, nullptr});
  if (!home || home->backing == nullptr) return std::string(knob);
  std::string file(home->backing->files[0]);
  if (const std::size_t star = file.find('*'); star != std::string::npos && !size.empty()) file.replace(star, 1, size);
  return file;
}

void memory_events(Look& look, Resource& r, const std::vector<Cgroup>& path) {
  for (const Cgroup& group : path) {
    const Hierarchy* h = home_of(group, Controller::memory);
    if (h == nullptr || group.name().empty()) continue;
    if (h->version() == Version::v1) {
      happened(
          r, group, "memory.failcnt", look.number(group, Controller::memory, "memory.failcnt"), "times at the limit");
      const std::string oom = look.text(group, Controller::memory, "memory.oom_control");
      happened(r, group, "memory.oom_control", sys::keyed_u64(oom, "oom_kill"), "processes killed");
      if (sys::keyed_u64(oom, "under_oom") == 1 && sys::keyed_u64(oom, "oom_kill_disable") == 1)
        r.note = fmt::format("{} is paused at its limit: raise it, or switch the OOM killer on (cgx set {} --oom kill)",
                             group.name(),
                             group.name());
      continue;
    }
    // The local file tells whose limit it was; memory.events counts the groups below too.
    std::string file = "memory.events.local";
    std::string events = look.text(group, Controller::memory, file);
    if (events.empty()) events = look.text(group, Controller::memory, file = "memory.events");
    happened(r, group, file, sys::keyed_u64(events, "high"), "times slowed down at memory.high");
    happened(r, group, file, sys::keyed_u64(events, "max"), "times at the limit");
    happened(r, group, file, sys::keyed_u64(events, "oom_kill"), "processes killed");
  }
}

std::uint64_t meminfo(Look& look, std::string_view key) {
  const std::string text = look.kept(sys::read_path("/proc/meminfo")).value_or("");
  for (const std::string_view line : sys::lines(text))
    if (line.starts_with(key) && line.substr(key.size()).starts_with(':')) {
      const auto words = sys::words(line);
      if (words.size() >= 2) return sys::parse_u64(words[1]).value_or(0) * 1024;
    }
  return 0;
}

}  // namespace

std::string Look::text(const Cgroup& group, Controller controller, std::string_view file) {
  const auto text = kept(group.read(controller, file));
  return text ? std::string(sys::trim(*text)) : std::string();
}

std::optional<std::uint64_t> Look::number(const Cgroup& group, Controller controller, std::string_view file) {
  const std::string text = this->text(group, controller, file);
  if (text == "max" || text == "-1") return sys::unlimited;
  const auto n = sys::parse_u64(text);
  return n ? std::optional(*n) : std::nullopt;
}

std::optional<Value> Look::value(const Cgroup& group, std::string_view knob) {
  const Knob* k = find_knob(knob);
  return k != nullptr ? kept(read_knob(group, *k)).value_or(std::nullopt) : std::nullopt;
}

std::optional<std::uint64_t> Look::number(const Cgroup& group, std::string_view knob) {
  const auto read = value(group, knob);
  const auto* n = read ? std::get_if<std::uint64_t>(&*read) : nullptr;
  return n != nullptr ? std::optional(*n) : std::nullopt;
}

std::optional<Table> Look::table(const Cgroup& group, std::string_view knob) {
  const auto read = value(group, knob);
  const auto* t = read ? std::get_if<Table>(&*read) : nullptr;
  return t != nullptr ? std::optional(*t) : std::nullopt;
}

void happened(Resource& r,
              const Cgroup& group,
              std::string_view knob,
              std::optional<std::uint64_t> count,
              std::string_view what) {
  if (count && *count != 0)
    r.lately.push_back({std::string(shown(group.name())), std::string(knob), *count, std::string(what)});
}

Resource tightest(Look& look,
                  const std::vector<Cgroup>& path,
                  std::string_view name,
                  std::string_view unit,
                  std::string_view knob,
                  std::string_view usage) {
  Resource r{.name = std::string(name), .unit = std::string(unit)};
  std::uint64_t least = sys::unlimited;
  for (const Cgroup& group : path) {
    const auto limit = look.number(group, knob);
    const auto used = look.number(group, usage);
    // What is in use is the group's own, where nothing binds.
    if (&group == &path.front() && used) r.usage = *used;
    if (!limit || *limit == sys::unlimited) continue;
    const std::uint64_t left = used && *used < *limit ? *limit - *used : (used ? 0 : *limit);
    if (!std::holds_alternative<std::monostate>(r.limit) && left >= least) continue;
    least = left;
    r.limit = *limit;
    r.group = shown(group.name());
    r.knob = file_of(group, knob);
    if (const Knob* k = find_knob(knob))
      if (const auto home = cgx::home_of(group.hierarchies(), *k)) r.file = path_of(group, *home->hierarchy, r.knob);
    r.usage = used ? Amount(*used) : Amount();
    r.headroom = used ? Amount(left) : Amount();
  }
  return r;
}

namespace {

// What protects the group: the least of the path counts (v2).
void protection_of(Look& look, const std::vector<Cgroup>& path, std::string_view knob, std::vector<Resource>& found) {
  const auto own = look.number(path.front(), knob);
  if (!own || *own == 0) return;
  const Hierarchy* h = home_of(path.front(), Controller::memory);
  Resource r{.name = knob == "memory.min" ? "memory min" : "memory low", .unit = "bytes"};
  std::uint64_t least = sys::unlimited;
  for (const Cgroup& group : path) {
    const auto here = group.name().empty() ? std::nullopt : look.number(group, knob);
    if (!here || (*here >= least && !r.group.empty())) continue;
    least = *here;
    r.limit = *here;
    r.group = group.name();
    r.knob = file_of(group, knob);
    r.file = path_of(group, *h, r.knob);
  }
  r.usage = look.number(path.front(), "memory.current").value_or(0);
  if (least < *own)
    r.note = fmt::format("{} asks for {}; the group above protects {}",
                         path.front().name(),
                         sys::format_size(*own),
                         sys::format_size(least));
  found.push_back(std::move(r));
}

}  // namespace

std::vector<Resource> explain_memory(const Target& target, Look& look) {
  std::vector<Resource> found;
  const std::vector<Cgroup> path = target.path(Controller::memory);
  if (path.empty()) return found;
  const bool v1 = home_of(path.front(), Controller::memory)->version() == Version::v1;
  Resource memory = tightest(look, path, "memory", "bytes", "memory.max", "memory.current");
  memory_events(look, memory, path);
  if (std::holds_alternative<std::monostate>(memory.limit) && memory.note.empty())
    memory.note =
        fmt::format("no group limits it; the host has {} available", sys::format_size(meminfo(look, "MemAvailable")));
  found.push_back(std::move(memory));
  if (!v1) {
    Resource high = tightest(look, path, "memory high", "bytes", "memory.high", "memory.current");
    if (!std::holds_alternative<std::monostate>(high.limit)) found.push_back(std::move(high));
    protection_of(look, path, "memory.min", found);
    protection_of(look, path, "memory.low", found);
  }
  Resource swap =
      v1 ? tightest(
               look, path, "memory and swap", "bytes", "memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes")
         : tightest(look, path, "swap", "bytes", "memory.swap.max", "memory.swap.current");
  for (const Cgroup& group : path) {
    if (group.name().empty()) continue;
    if (v1) {
      happened(swap,
               group,
               "memory.memsw.failcnt",
               look.number(group, Controller::memory, "memory.memsw.failcnt"),
               "times at the limit");
    } else {
      const std::string events = look.text(group, Controller::memory, "memory.swap.events");
      happened(swap, group, "memory.swap.events", sys::keyed_u64(events, "max"), "times at the limit");
      happened(swap, group, "memory.swap.events", sys::keyed_u64(events, "fail"), "times no swap was left");
    }
  }
  if (meminfo(look, "SwapTotal") == 0) swap.note = "this host has no swap";
  found.push_back(std::move(swap));
  return found;
}

namespace {

Resource pids_of(Look& look, const Target& target) {
  const std::vector<Cgroup> path = target.path(Controller::pids);
  Resource r = tightest(look, path, "pids", "", "pids.max", "pids.current");
  for (const Cgroup& group : path) {
    std::string file = "pids.events.local";
    std::string events = look.text(group, Controller::pids, file);
    if (events.empty()) events = look.text(group, Controller::pids, file = "pids.events");
    happened(r, group, file, sys::keyed_u64(events, "max"), "forks refused");
  }
  return r;
}

// One resource for each disk and kind of rate that a group on the path limits: the lowest counts.
void io_of(Look& look, const Target& target, std::vector<Resource>& found) {
  std::map<std::string, Resource> by_key;
  for (const Cgroup& group : target.path(Controller::io)) {
    const auto table = look.table(group, "io.max");
    if (!table) continue;
    for (const TableRow& row : *table)
      for (const auto& [field, limit] : row.fields) {
        if (limit == sys::unlimited) continue;
        Resource r{.name = fmt::format("io {} {}", row.key, field),
                   .unit = field.ends_with("bps") ? "bytes/s" : "operations/s"};
        r.limit = limit;
        r.group = shown(group.name());
        r.knob = file_of(group, "io.max");
        if (const Hierarchy* h = home_of(group, Controller::io)) {
          // v1 has a file for each kind of rate.
          if (h->version() == Version::v1)
            r.knob =
                fmt::format("blkio.throttle.{}_{}_device", field.starts_with('r') ? "read" : "write", field.substr(1));
          r.file = path_of(group, *h, r.knob);
        }
        const auto [at, fresh] = by_key.try_emplace(r.name, r);
        if (!fresh && std::get<std::uint64_t>(at->second.limit) > limit) at->second = std::move(r);
      }
  }
  for (auto& [name, r] : by_key) found.push_back(std::move(r));
  if (by_key.empty() && target.hierarchies->of(Controller::io) != nullptr) found.push_back({.name = "io"});
}

void hugetlb_of(Look& look, const Target& target, std::vector<Resource>& found) {
  std::map<std::string, Resource> by_size;
  for (const Cgroup& group : target.path(Controller::hugetlb)) {
    const auto limits = look.table(group, "hugetlb.*.max");
    const auto usage = look.table(group, "hugetlb.*.current");
    if (!limits) continue;
    const Hierarchy* h = home_of(group, Controller::hugetlb);
    for (const TableRow& row : *limits) {
      Resource& r = by_size.try_emplace(row.key, Resource{.name = "hugetlb " + row.key, .unit = "bytes"}).first->second;
      std::optional<std::uint64_t> used;
      if (usage)
        for (const TableRow& u : *usage)
          if (u.key == row.key && !u.fields.empty()) used = u.fields[0].second;
      const bool v1 = h->version() == Version::v1;
      const std::string counter = fmt::format("hugetlb.{}.{}", row.key, v1 ? "failcnt" : "events.local");
      const std::string text = look.text(group, Controller::hugetlb, counter);
      happened(r,
               group,
               counter,
               v1 ? look.number(group, Controller::hugetlb, counter) : sys::keyed_u64(text, "max"),
               "times at the limit");
      const std::uint64_t limit = row.fields.empty() ? sys::unlimited : row.fields[0].second;
      if (limit == sys::unlimited) continue;
      const std::uint64_t left = used && *used < limit ? limit - *used : (used ? 0 : limit);
      const auto* best = std::get_if<std::uint64_t>(&r.headroom);
      if (best != nullptr && *best <= left) continue;
      r.limit = limit;
      r.group = shown(group.name());
      r.knob = file_of(group, "hugetlb.*.max", row.key);
      r.file = path_of(group, *h, r.knob);
      r.usage = used.value_or(0);
      r.headroom = left;
    }
  }
  for (auto& [size, r] : by_size)
    if (!std::holds_alternative<std::monostate>(r.limit) || !r.lately.empty()) found.push_back(std::move(r));
}

Resource devices_of(Look& look, const Target& target) {
  Resource r{.name = "devices"};
  for (const Cgroup& group : target.path(Controller::devices)) {
    const auto value = look.value(group, "devices");
    if (!value) continue;
    std::string rules = exact(*find_knob("devices"), *value);
    std::ranges::replace(rules, '\n', ';');
    const Hierarchy* h = home_of(group, Controller::devices);
    // v1 copies a parent's list to its children; v2 keeps none where none was set.
    if (rules.empty() || rules == "allow a *:* rwm" || rules == "allow a") continue;
    r.limit = rules;
    r.group = shown(group.name());
    r.knob = h->version() == Version::v1 ? "devices.list" : "devices";
    if (h->version() == Version::v1) r.file = path_of(group, *h, "devices.list");
    break;
  }
  return r;
}

Resource freezer_of_target(Look& look, const Target& target) {
  Resource r{.name = "freezer"};
  for (const Cgroup& group : target.path(Controller::freezer)) {
    const Hierarchy* h = home_of(group, Controller::freezer);
    if (group.name().empty() || !look.kept(told_to_freeze(group, *h)).value_or(false)) continue;
    r.limit = std::string("frozen");
    r.group = group.name();
    r.knob = h->version() == Version::v1 ? "freezer.state" : "cgroup.freeze";
    r.file = path_of(group, *h, r.knob);
    r.note = fmt::format("cgx thaw {} lets it go on", group.name());
    break;
  }
  return r;
}

}  // namespace

std::vector<Resource> explain_others(const Target& target, Look& look) {
  std::vector<Resource> found;
  if (!target.path(Controller::pids).empty()) found.push_back(pids_of(look, target));
  io_of(look, target, found);
  if (!target.path(Controller::devices).empty()) found.push_back(devices_of(look, target));
  hugetlb_of(look, target, found);
  if (!target.path(Controller::freezer).empty()) found.push_back(freezer_of_target(look, target));
  return found;
}

}  // namespace cgx::tool
