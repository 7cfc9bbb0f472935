// SPDX-License-Identifier: Apache-2.0
// The rules of v1 that bind groups to the groups above: cpusets are subsets, the ratio of quota to period is at most
// the parent's, the real-time runtimes of all children together are at most the parent's, and exclusive cpusets need an
// exclusive parent. v2 has none but for partitions.
#include "cgx/change/order.h"

#include <algorithm>
#include <cstddef>
#include <limits>

#include "cgx/sys/text.h"

namespace cgx {
namespace {

enum class Phase : std::uint8_t {
  release,  // exclusive sets are given up and real-time runtimes lowered, from the bottom up
  raise,    // bandwidth and cpusets grow, from the top down
  rest,     // from the top down
  lower,    // bandwidth and cpusets shrink, from the bottom up
  seize,    // exclusive sets, from the top down
};

// Writes that keep their order among themselves: a quota with its period and burst.
struct Piece {
  std::vector<Step> steps;
  Phase phase = Phase::rest;
  std::ptrdiff_t group = 0;  // its place from the top down
};

bool one_of(std::string_view file, std::initializer_list<std::string_view> files) {
  return std::ranges::find(files, file) != files.end();
}

// Files whose writes are one piece.
std::string_view family(const Step& step) {
  if (step.hierarchy->version() != Version::v1) return {};
  if (step.file.starts_with("cpu.cfs_")) return "cpu.cfs_";
  if (step.file.starts_with("cpu.rt_")) return "cpu.rt_";
  return {};
}

double number(std::string_view text) {
  const auto n = sys::parse_i64(sys::trim(text), -1, std::numeric_limits<std::int64_t>::max());
  return !n || *n < 0 ? std::numeric_limits<double>::infinity() : static_cast<double>(*n);
}

// Bandwidth after the piece, less what is in force.
double growth(const Piece& piece, std::string_view quota, std::string_view period, const ReadNow& now) {
  const Step& step = piece.steps.front();
  const bool rt = quota.starts_with("cpu.rt_");
  const auto before = [&](std::string_view file, double fresh) {
    const auto text = now(step, file);
    return text ? number(*text) : fresh;
  };
  const double old_quota = before(quota, rt ? 0 : std::numeric_limits<double>::infinity());
  const double old_period = before(period, rt ? 1'000'000 : 100'000);
  double new_quota = old_quota;
  double new_period = old_period;
  for (const Step& s : piece.steps) {
    if (s.file == quota) new_quota = number(s.text);
    if (s.file == period) new_period = number(s.text);
  }
  const double from = old_quota / old_period;
  const double to = new_quota / new_period;
  return from == to ? 0 : to - from;  // infinity less infinity is no number
}

Phase phase_of(const Piece& piece, const ReadNow& now) {
  const Step& step = piece.steps.front();
  const std::string_view kind = family(step);
  if (kind == "cpu.rt_")
    return growth(piece, "cpu.rt_runtime_us", "cpu.rt_period_us", now) < 0 ? Phase::release : Phase::rest;
  if (kind == "cpu.cfs_") {
    const double more = growth(piece, "cpu.cfs_quota_us", "cpu.cfs_period_us", now);
    return more > 0 ? Phase::raise : more < 0 ? Phase::lower : Phase::rest;
  }
  if (one_of(step.file, {"cpuset.cpu_exclusive", "cpuset.mem_exclusive"}))
    return sys::trim(step.text) == "0" ? Phase::release : Phase::seize;
  if (step.file == "cpuset.cpus.partition") return sys::trim(step.text) == "member" ? Phase::release : Phase::seize;
  return Phase::rest;
}

class Sorter {
 public:
  Sorter(std::vector<Step> steps, const ReadNow& now) : steps_(std::move(steps)), now_(now) {}

  std::vector<Step> run() {
    split();
    std::ranges::stable_sort(pieces_, [](const Piece& a, const Piece& b) {
      if (a.phase != b.phase) return a.phase < b.phase;
      const bool up = a.phase == Phase::release || a.phase == Phase::lower;
      return up ? a.group > b.group : a.group < b.group;
    });
    std::vector<Step> sorted;
    sorted.reserve(steps_.size());
    for (Piece& p : pieces_) std::ranges::move(p.steps, std::back_inserter(sorted));
    return sorted;
  }

 private:
  void split() {
    std::ptrdiff_t group = -1;
    std::size_t first = 0;  // of this group's pieces
    const std::string* name = nullptr;
    for (Step& step : steps_) {
      if (name == nullptr || step.group != *name) {
        finish(first);
        first = pieces_.size();
        ++group;
      }
      if (v1_set(step)) {
        add_set(step, group);
        name = &pieces_.back().steps.back().group;
        continue;
      }
      const std::string_view kind = family(step);
      std::size_t at = pieces_.size();
      for (std::size_t i = first; !kind.empty() && i < pieces_.size(); ++i)
        if (family(pieces_[i].steps.front()) == kind) at = i;
      if (at == pieces_.size()) pieces_.push_back({{}, Phase::rest, group});
      pieces_[at].steps.push_back(std::move(step));
      name = &pieces_[at].steps.back().group;
    }
    finish(first);
  }

  void finish(std::size_t first) {
    for (std::size_t i = first; i < pieces_.size(); ++i)
      if (pieces_[i].phase == Phase::rest) pieces_[i].phase = phase_of(pieces_[i], now_);
  }

  static bool v1_set(const Step& step) {
    return step.hierarchy->version() == Version::v1 && one_of(step.file, {"cpuset.cpus", "cpuset.mems"});
  }

  // A set that grows is raised, one that shrinks is lowered, and one that does both is both.
  void add_set(Step& step, std::ptrdiff_t group) {
    const auto text = now_(step, step.file);
    const auto old = sys::IdSet::parse(text ? sys::trim(*text) : std::string_view());
    const auto wanted = sys::IdSet::parse(sys::trim(step.text));
    if (!old || !wanted || old->within(*wanted)) {
      pieces_.push_back({{std::move(step)}, Phase::raise, group});
      return;
    }
    if (!wanted->within(*old)) {
      sys::IdSet both = *old;
      for (const unsigned id : wanted->ids()) both.add(id);
      Step wide = step;
      wide.text = both.text();
      pieces_.push_back({{std::move(wide)}, Phase::raise, group});
    }
    pieces_.push_back({{std::move(step)}, Phase::lower, group});
  }

  std::vector<Step> steps_;
  const ReadNow& now_;
  std::vector<Piece> pieces_;
};

}  // namespace

std::vector<Step> in_order(std::vector<Step> steps, const ReadNow& now) { return Sorter(std::move(steps), now).run(); }

std::string heir_of(std::string_view group, const std::set<std::string_view>& going) {
  std::string_view heir = parent_of(group);
  while (going.contains(heir)) heir = parent_of(heir);
  return std::string(heir);
}

std::vector<Step> yielding_steps(const Hierarchies& hierarchies,
                                 const std::vector<Step>& values,
                                 const ChangeSet& set) {
  std::set<std::string_view> leaving(set.removals.begin(), set.removals.end());
  leaving.insert(set.yielding.begin(), set.yielding.end());
  std::vector<Step> steps;
  const auto any = [&](std::string_view prefix) {
    return std::ranges::any_of(values, [&](const Step& s) { return s.file.starts_with(prefix); });
  };
  const bool sets = any("cpuset.");
  const bool quotas = any("cpu.cfs_");
  const bool runtimes = any("cpu.rt_");
  if (!sets && !quotas && !runtimes) return steps;
  const Hierarchy* cpu = hierarchies.of(Controller::cpu);
  const Hierarchy* cpuset = hierarchies.of(Controller::cpuset);
  for (const std::string_view name : leaving) {
    const Cgroup group(hierarchies, std::string(name));
    const auto yield = [&](const Hierarchy& h, std::string_view file, std::string text) {
      steps.push_back({.hierarchy = &h,
                       .group = std::string(name),
                       .file = std::string(file),
                       .text = std::move(text),
                       .optional = true});
    };
    const auto number_above = [&](const Hierarchy& h, std::string_view file, std::int64_t least) {
      const auto text = group.read(h, file);
      return text &&
             sys::parse_i64(sys::trim(*text), -1, std::numeric_limits<std::int64_t>::max()).value_or(-1) > least;
    };
    if (cpuset != nullptr && sets) {
      if (cpuset->version() == Version::v2) {
        const auto partition = group.read(*cpuset, "cpuset.cpus.partition");
        if (partition && !partition->starts_with("member")) yield(*cpuset, "cpuset.cpus.partition", "member");
      } else {
        for (const std::string_view file : {"cpuset.cpu_exclusive", "cpuset.mem_exclusive"})
          if (number_above(*cpuset, file, 0)) yield(*cpuset, file, "0");
        const std::string heir = heir_of(name, leaving);
        for (const std::string_view file : {"cpuset.cpus", "cpuset.mems"}) {
          const auto above = std::ranges::find_if(
              values, [&](const Step& s) { return s.hierarchy == cpuset && s.group == heir && s.file == file; });
          const auto own = group.read(*cpuset, file);
          if (above == values.end() || !own) continue;
          const auto wanted = sys::IdSet::parse(sys::trim(above->text));
          const auto now = sys::IdSet::parse(sys::trim(*own));
          if (wanted && now && !now->within(*wanted)) yield(*cpuset, file, wanted->text());
        }
      }
    }
    if (cpu == nullptr || cpu->version() != Version::v1) continue;
    if (quotas && number_above(*cpu, "cpu.cfs_quota_us", -1)) yield(*cpu, "cpu.cfs_quota_us", "-1");
    if (runtimes && number_above(*cpu, "cpu.rt_runtime_us", 0)) yield(*cpu, "cpu.rt_runtime_us", "0");
  }
  return steps;
}

}  // namespace cgx
