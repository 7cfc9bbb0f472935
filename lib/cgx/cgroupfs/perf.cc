// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/perf.h"

#include <array>
#include <cerrno>

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"

namespace cgx {
namespace {

// clang-format off
constexpr std::array events{
    PerfEvent{"cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, "CPU cycles"},
    PerfEvent{"instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, "instructions that were completed"},
    PerfEvent{"cache-misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES, "accesses that the last cache did not have"},
    PerfEvent{"branch-misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_BRANCH_MISSES, "branches that were guessed wrong"},
    PerfEvent{"task-clock", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, "nanoseconds on a CPU"},
    PerfEvent{"context-switches", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES, "switches from one task to another"},
    PerfEvent{"cpu-migrations", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_MIGRATIONS, "moves of a task to another CPU"},
    PerfEvent{"page-faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS, "page faults"},
};
// clang-format on

// perf_event_open(2): what the machine or its hypervisor cannot count is one of these.
bool not_on_this_machine(int code) {
  return code == ENOENT || code == EOPNOTSUPP || code == ENODEV || code == EINVAL || code == ENXIO;
}

int open_counter(const PerfEvent& event, int group, unsigned cpu) {
  perf_event_attr attr{};
  attr.size = sizeof attr;
  attr.type = event.type;
  attr.config = event.config;
  attr.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
  return static_cast<int>(syscall(
      SYS_perf_event_open, &attr, group, static_cast<int>(cpu), -1, PERF_FLAG_PID_CGROUP | PERF_FLAG_FD_CLOEXEC));
}

Error refused(int code, const Cgroup& group, const PerfEvent& event) {
  Error e{.code = code, .what = fmt::format("perf_event_open {}: {}", event.name, errno_text(code))};
  e.group = shown(group.name());
  if (code == EACCES || code == EPERM)
    e.hint = "counting a group needs root or CAP_PERFMON, or /proc/sys/kernel/perf_event_paranoid at -1";
  if (code == EMFILE || code == ENFILE)
    e.hint =
        fmt::format("each group takes {} descriptors a CPU: count fewer groups, or raise ulimit -n", events.size());
  return e;
}

Result<int> directory(const Cgroup& group) {
  const Hierarchy* h = group.hierarchies().of(Controller::perf_event);
  if (h == nullptr) {
    Error e{
        .code = ENOTSUP, .what = "perf_event is on no mounted hierarchy", .group = std::string(shown(group.name()))};
    e.hint = "cgx mount --v1 perf_event DIR mounts it; where cgroup2 is mounted, it has it";
    return std::unexpected(std::move(e));
  }
  const auto fd = group.dir(*h);
  if (fd || fd.error().code != ENOENT) return located(fd, shown(group.name()));
  Error e{.code = ENOENT, .what = fmt::format("is not in the hierarchy of perf_event ({})", h->dir())};
  e.group = shown(group.name());
  e.hint = fmt::format(
      "cgx create --exist-ok {} makes it there; only processes that are then moved into it are counted", group.name());
  return std::unexpected(std::move(e));
}

}  // namespace

std::span<const PerfEvent> perf_events() { return events; }

Result<PerfCounters> PerfCounters::open(const Cgroup& group) {
  const int dir = CGX_TRY(directory(group));
  const std::string online = CGX_TRY(sys::read_path("/sys/devices/system/cpu/online"));
  const sys::IdSet cpus = CGX_TRY(sys::IdSet::parse(sys::trim(online)));
  PerfCounters counters;
  for (const PerfEvent& event : events) {
    Line line{&event, {}, {}};
    for (const unsigned cpu : cpus.ids()) {
      sys::Fd fd(open_counter(event, dir, cpu));
      if (!fd.valid()) {
        if (!not_on_this_machine(errno)) return std::unexpected(refused(errno, group, event));
        line.missing = "this CPU, or what emulates it, does not count it";
        line.cpus.clear();
        break;
      }
      line.cpus.push_back({std::move(fd)});
    }
    counters.lines_.push_back(std::move(line));
  }
  return counters;
}

Result<std::vector<PerfCount>> PerfCounters::read() {
  std::vector<PerfCount> counts;
  for (Line& line : lines_) {
    PerfCount count{.event = line.event, .value = std::nullopt, .share = 1, .missing = line.missing};
    double total = 0;
    double enabled = 0;
    double running = 0;
    for (Counter& c : line.cpus) {
      std::array<std::uint64_t, 3> now{};
      if (::read(c.fd.get(), now.data(), sizeof now) != sizeof now)
        return fail_errno(errno, fmt::format("read {}", line.event->name));
      const double value = static_cast<double>(now[0] - c.value);
      const double e = static_cast<double>(now[1] - c.enabled);
      const double r = static_cast<double>(now[2] - c.running);
      // There are fewer counters than events: the kernel takes turns, and what was counted stands for the whole time.
      total += r > 0 ? value * e / r : 0;
      enabled += e;
      running += r;
      c.value = now[0];
      c.enabled = now[1];
      c.running = now[2];
    }
    if (line.missing.empty()) count.value = static_cast<std::uint64_t>(total);
    if (enabled > 0) count.share = running / enabled;
    counts.push_back(std::move(count));
  }
  return counts;
}

}  // namespace cgx
