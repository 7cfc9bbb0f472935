// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/limit_hits.h"

#include <algorithm>
#include <cerrno>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/presence.h"
#include "cgx/cgroupfs/tasks.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

// A process is killed for no more than eight pages (the kernel's PAGE_ALLOC_COSTLY_ORDER), so that much may be free.
constexpr std::uint64_t slack = std::uint64_t{8} * 4096;
constexpr std::uint64_t v1_unlimited = std::uint64_t{1} << 62U;  // v1 shows the largest number of pages

std::uint64_t key_of(const std::string& text, std::string_view key) { return sys::keyed_u64(text, key).value_or(0); }

// The files of one look, with the first that could not be read: what it holds is unknown, and not nothing. One that is
// not there is no failure, since not every kernel has each, and groups go.
class Files {
 public:
  std::string text(const std::string& dir, std::string_view file) {
    const std::string path = fmt::format("{}/{}", dir, file);
    auto read = sys::read_path(path);
    if (read) return *std::move(read);
    if (unread_.empty() && !says_no_value(read.error()))
      keep(fmt::format("{}: {}", path, errno_text(read.error().code)), read.error().code);
    return {};
  }
  std::uint64_t number(const std::string& dir, std::string_view file) {
    return sys::parse_u64(sys::trim(text(dir, file))).value_or(0);
  }
  std::uint64_t limit(const std::string& dir, std::string_view file) {
    const auto value = sys::parse_u64(sys::trim(text(dir, file)));  // or "max"
    return value && *value < v1_unlimited ? *value : no_limit;
  }
  void not_listed(const Error& error) {
    if (unread_.empty() && !says_absent(error)) keep(error.text(), error.code);
  }
  [[nodiscard]] const std::string& unread() const { return unread_; }
  [[nodiscard]] int unread_code() const { return code_; }

 private:
  void keep(std::string text, int code) {
    unread_ = std::move(text);
    code_ = code;
  }

  std::string unread_;
  int code_ = 0;
};

// Below the mount's root there may be no root of the hierarchy: a cgroup namespace shows one of its groups as it.
bool is_root(const Hierarchy& h) {
  const char* file = h.version() == Version::v1 ? "release_agent" : "cgroup.events";  // v1: there alone; v2: not there
  return (access(fmt::format("{}/{}", h.mount_point(), file).c_str(), F_OK) == 0) == (h.version() == Version::v1);
}

enum class From : std::uint8_t { below, group, above };

// Calls f with the directory and the level of each group, in the order of Readings.
template <class F>
Readings read_levels(const Cgroup& group, Controller controller, From from, F read) {
  Readings readings;
  const Hierarchy* h = group.hierarchies().of(controller);
  if (h == nullptr) return readings;
  Files files;
  const auto add = [&](const std::string& dir, std::string name, bool inside) {
    LevelReading level{.group = std::move(name), .inside = inside};
    read(files, *h, dir, level);
    readings.levels.push_back(std::move(level));
  };
  const auto below =  // of containers in it
      from == From::below ? groups_below(group) : Result<std::vector<std::string>>();
  if (!below) files.not_listed(below.error());
  if (below)
    for (const std::string& name : *below) add(fmt::format("{}/{}", h->dir(), name), name, true);
  std::string_view name = from == From::above ? parent_of(group.name()) : std::string_view(group.name());
  for (; !name.empty(); name = parent_of(name))
    add(fmt::format("{}/{}", h->dir(), name), std::string(name), name == group.name());
  // Above those that the names count from.
  const std::string& top = h->mount_point();
  for (std::string dir = h->dir(); dir.size() > top.size() && dir.starts_with(top); dir.resize(dir.rfind('/')))
    add(dir, dir.substr(std::min(dir.size(), top.size() + 1)), false);
  readings.whole = is_root(*h);
  if (!readings.whole) add(top, "/", false);
  readings.unread = files.unread();
  return readings;
}

// The memory nodes that the group may use, where the host has more: there is an OOM kill of the host for those alone.
std::string own_nodes(Files& files, const Cgroup& group) {
  const Hierarchy* h = group.hierarchies().of(Controller::cpuset);
  const auto all = sys::IdSet::parse(sys::trim(files.text("/sys/devices/system/node", "has_memory")));
  if (h == nullptr || !all || all->ids().size() < 2) return {};
  const std::string_view file = h->version() == Version::v1 ? "cpuset.effective_mems" : "cpuset.mems.effective";
  // On v2 a group without the controller has those of the group above.
  for (std::string_view name = group.name();; name = parent_of(name)) {
    const auto own = sys::IdSet::parse(sys::trim(files.text(fmt::format("{}/{}", h->dir(), name), file)));
    if (own && !own->empty()) return all->within(*own) ? std::string() : own->text();
    if (name.empty()) return {};
  }
}

std::string memory_events(Files& files, const std::string& dir) {
  std::string events = files.text(dir, "memory.events.local");
  return events.empty() ? files.text(dir, "memory.events") : events;  // before Linux 5.2
}

void read_memory_v1(Files& files, const std::string& dir, LevelReading& level) {
  level.count = key_of(files.text(dir, "memory.oom_control"), "oom_kill");
  // Memory and swap are counted together, and first. Newer kernels keep no failcnt of that, so
  // its peak counts.
  for (const std::string_view of : {"memory.memsw", "memory"})
    level.limits.push_back({.file = fmt::format("{}.limit_in_bytes", of),
                            .value = files.limit(dir, fmt::format("{}.limit_in_bytes", of)),
                            .hits = files.number(dir, fmt::format("{}.failcnt", of)),
                            .peak = of == "memory" ? 0 : files.number(dir, fmt::format("{}.max_usage_in_bytes", of))});
  for (LimitReading& limit : level.limits) limit.reached = limit.hits;
}

void read_memory_v2(Files& files, const std::string& dir, LevelReading& level) {
  const std::string events = memory_events(files, dir);
  level.count = key_of(events, "oom_kill");
  LimitReading limit{.file = "memory.max", .value = files.limit(dir, "memory.max"), .hits = key_of(events, "oom")};
  limit.reached = key_of(events, "max");
  level.limits.push_back(std::move(limit));
  // It kills nobody by itself; where it is at its end, memory.max does sooner.
  LimitReading swap{.file = "memory.swap.max", .value = files.limit(dir, "memory.swap.max")};
  swap.hits = key_of(files.text(dir, "memory.swap.events"), "max");
  level.limits.push_back(std::move(swap));
}

const LevelReading* level_in(const Readings& readings, const std::string& group) {
  const auto at = std::ranges::find(readings.levels, group, &LevelReading::group);
  return at == readings.levels.end() ? nullptr : &*at;
}
std::uint64_t more(std::uint64_t now, std::uint64_t then) { return now > then ? now - then : 0; }
std::uint64_t count_grown(const Readings& before, const LevelReading& now) {
  const LevelReading* then = level_in(before, now.group);
  return more(now.count, then != nullptr ? then->count : 0);
}
const LimitReading* limit_in(const Readings& readings, const std::string& group, const std::string& file) {
  const LevelReading* level = level_in(readings, group);
  if (level == nullptr) return nullptr;
  const auto at = std::ranges::find(level->limits, file, &LimitReading::file);
  return at == level->limits.end() ? nullptr : &*at;
}
std::uint64_t hits_grown(const Readings& before, const LevelReading& now, const LimitReading& limit) {
  const LimitReading* then = limit_in(before, now.group, limit.file);
  return more(limit.hits, then != nullptr ? then->hits : 0);
}
const std::string& first_unread(const Readings& before, const Readings& after) {
  return before.unread.empty() ? after.unread : before.unread;
}
bool full(const LimitReading& l) { return l.value != no_limit && l.peak != 0 && l.peak + slack >= l.value; }

// A limit that may have been changed meanwhile: which of the values it was that stopped somebody is not counted.
class Span {
 public:
  Span(const Readings& before, const LevelReading& level, const LimitReading& limit)
      : now_(limit), then_(limit_in(before, level.group, limit.file)) {}

  [[nodiscard]] std::uint64_t least() const {
    return then_ != nullptr ? std::min(then_->value, now_.value) : now_.value;
  }
  [[nodiscard]] bool limits() const { return least() != no_limit; }
  [[nodiscard]] bool was_full() const {
    return full(now_) || (then_ != nullptr && full({.file = {}, .value = then_->value, .peak = now_.peak}));
  }
  [[nodiscard]] std::string text() const {
    if (then_ == nullptr || then_->value == now_.value) return fmt::format("{} {}", now_.file, now_.value);
    return fmt::format("{} {} (changed to {} meanwhile)", now_.file, word(then_->value), word(now_.value));
  }

 private:
  static std::string word(std::uint64_t value) { return value == no_limit ? "max" : std::to_string(value); }

  const LimitReading& now_;
  const LimitReading* then_;
};

Readings read_memory_from(const Cgroup& group, From from) {
  return read_levels(group,
                     Controller::memory,
                     from,
                     [](Files& files, const Hierarchy& h, const std::string& dir, LevelReading& level) {
                       if (h.version() == Version::v1)
                         read_memory_v1(files, dir, level);
                       else
                         read_memory_v2(files, dir, level);
                     });
}

}  // namespace

Readings read_memory(const Cgroup& group, bool below) {
  Readings readings = read_memory_from(group, below ? From::below : From::group);
  Files files;
  readings.nodes = own_nodes(files, group);
  if (readings.unread.empty()) readings.unread = files.unread();
  return readings;
}

Readings read_memory_above(const Cgroup& group) { return read_memory_from(group, From::above); }

Result<std::uint64_t> memory_kills(const Cgroup& group) {
  const Hierarchy* h = group.hierarchies().of(Controller::memory);
  if (h == nullptr) return 0;
  const std::string dir = fmt::format("{}/{}", h->dir(), group.name());
  Files files;
  const std::string text =
      h->version() == Version::v1 ? files.text(dir, "memory.oom_control") : memory_events(files, dir);
  if (!files.unread().empty()) return fail(files.unread_code(), files.unread());
  return key_of(text, "oom_kill");
}

Readings read_pids(const Cgroup& group) {
  bool at_limit = true;
  Readings readings = read_levels(
      group,
      Controller::pids,
      From::below,
      [&](Files& files, const Hierarchy&, const std::string& dir, LevelReading& level) {
        // Where there is no such file (v1, and v2 before Linux 6.11), pids.events counts in the group of who forks.
        std::string events = files.text(dir, "pids.events.local");
        if (events.empty()) {
          at_limit = false;
          events = files.text(dir, "pids.events");
        }
        level.count = key_of(events, "max");
        level.limits.push_back(
            {.file = "pids.max", .value = files.limit(dir, "pids.max"), .peak = files.number(dir, "pids.peak")});
      });
  readings.at_limit = at_limit;
  return readings;
}

Cause memory_cause(const Readings& before, const Readings& after) {
  Cause cause;
  for (const LevelReading& level : after.levels)
    if (level.inside) cause.count += count_grown(before, level);
  cause.unread = first_unread(before, after);
  if (cause.count == 0 || !cause.unread.empty()) return cause;
  for (std::size_t i = 0; i < after.levels.size(); ++i) {
    const LevelReading& level = after.levels[i];
    // A limit of a group below has killed there alone.
    const bool below = level.inside && i + 1 < after.levels.size() && after.levels[i + 1].inside;
    if (below && count_grown(before, level) == 0) continue;
    for (const LimitReading& limit : level.limits) {
      if (limit.file == "memory.swap.max") {
        const bool used_up = limit.value == 0 || hits_grown(before, level, limit) > 0;
        if (!cause.limit.empty() && limit.value != no_limit && used_up)
          cause.limit += fmt::format(", {} {}", limit.file, limit.value);
      } else if (const Span span(before, level, limit);
                 cause.limit.empty() && span.limits() && (span.was_full() || hits_grown(before, level, limit) > 0)) {
        cause.group = level.group;
        cause.limit = span.text();
      }
    }
    if (!cause.limit.empty()) return cause;
  }
  cause.host = after.whole;
  cause.nodes = after.nodes;
  return cause;
}

Cause memory_cause(std::uint64_t kills_before, const Readings& after) {
  Cause cause;
  const auto own = std::ranges::find(after.levels, true, &LevelReading::inside);
  if (own != after.levels.end()) cause.count = more(own->count, kills_before);
  cause.unread = after.unread;
  if (cause.count == 0 || !cause.unread.empty()) return cause;
  std::size_t reached = 0;
  for (const LevelReading& level : after.levels) {
    const auto limit = std::ranges::find_if(level.limits, [](const LimitReading& l) {
      return l.file != "memory.swap.max" && l.value != no_limit && (full(l) || l.hits > 0);
    });
    if (limit == level.limits.end()) continue;
    ++reached;
    cause.group = level.group;
    cause.limit = fmt::format("{} {}", limit->file, limit->value);
  }
  cause.several = reached > 1;
  if (cause.several) cause.group = cause.limit = {};
  cause.host = reached == 0 && after.whole;
  cause.nodes = after.nodes;
  return cause;
}

std::vector<std::string> memory_limits_reached(const Readings& before, const Readings& after) {
  std::vector<std::string> found;
  for (const LevelReading& level : after.levels)
    for (const LimitReading& limit : level.limits) {
      const LimitReading* then = limit_in(before, level.group, limit.file);
      // Where the kernel counts no hits of it, its peak tells, unless that was there before.
      const bool grown = more(limit.reached, then != nullptr ? then->reached : 0) > 0 ||
                         (full(limit) && (then == nullptr || !full(*then)));
      if (const Span span(before, level, limit); span.limits() && grown)
        found.push_back(fmt::format("{} of {}", span.text(), shown(level.group)));
    }
  return found;
}

Cause pids_cause(const Readings& before, const Readings& after) {
  Cause cause;
  cause.unread = first_unread(before, after);
  for (const LevelReading& level : after.levels) {
    const std::uint64_t grown = count_grown(before, level);
    const LimitReading& limit = level.limits.front();
    const Span span(before, level, limit);
    if (after.at_limit) {
      cause.count = grown;
    } else {
      if (level.inside) cause.count += grown;
      if (cause.count == 0 || !span.limits() || (limit.peak != 0 && limit.peak < span.least())) continue;
    }
    if (cause.count == 0) continue;
    if (!cause.unread.empty()) break;
    cause.group = level.group;
    cause.limit = span.text();
    break;
  }
  return cause;
}

std::string Cause::unknown_text() const {
  return fmt::format("by which limit is unknown, because {} (dmesg tells more)", unread);
}

std::string Cause::memory_text() const {
  if (!unread.empty()) return unknown_text();
  if (!limit.empty()) return fmt::format("{} of {}", limit, shown(group));
  if (host && !nodes.empty())
    return fmt::format("the memory of node{} {} of the host (cpuset.mems)",
                       nodes.find_first_of(",-") == std::string::npos ? "" : "s",
                       nodes);
  if (host) return "the memory of the host";
  if (several) return "several of its groups have been at their limits (dmesg tells which one)";
  return "no group that can be seen from here had reached a limit (dmesg tells more)";
}

}  // namespace cgx::container
