// SPDX-License-Identifier: Apache-2.0
// The sources that are v1's own: eventfds of the memory controller, the freezer, and who is in the group.
#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/cgroupfs/watch.h"
#include "cgx/cgroupfs/watch_source.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

using watch::lacks;
using watch::memory_of;
using watch::open_file;
using watch::reread;
using Source = Watch::Source;
using namespace std::chrono_literals;

// Whether the eventfd fired. Its count says nothing: signals merge, and rmdir sends one too.
bool fired(const Source& s) {
  std::uint64_t count = 0;
  return ::read(s.fd.get(), &count, sizeof count) == sizeof count;
}

// Readings after a wake: 1, 2, 4 ... 512 ms. The kernel writes its report of an OOM before it kills, which takes some
// milliseconds, or most of a second where the console is slow.
constexpr unsigned rounds = 10;

Result<std::vector<Event>> read_oom(Source& s, Watch::Wake /*wake*/) {
  const bool woken = fired(s);  // before the file is read: what comes after fires again
  std::array<char, 512> buffer;
  const auto text = CGX_TRY(reread(s, s.file.get(), buffer));
  if (!text) return std::vector<Event>{};
  const OomControl after = CGX_TRY(located(OomControl::parse(*text), "", "memory.oom_control"));
  if (woken) s.round = 0;
  auto events = changes(s.oom, after, woken, s.round >= rounds);
  // A paused group is woken for by its next OOM; then, and only then, the kernel may kill in it.
  const bool more = s.round < rounds && (woken || s.due) && !(after.under_oom && after.oom_kill_disable);
  s.due.reset();
  if (more) s.due = Watch::Clock::now() + std::chrono::milliseconds(1U << s.round++);
  return events;
}

Result<std::vector<Event>> read_threshold(Source& s, Watch::Wake /*wake*/) {
  std::vector<Event> events;
  const bool woken = fired(s);
  std::array<char, 64> buffer;
  const auto text = CGX_TRY(reread(s, s.file.get(), buffer));
  if (!text || !woken) return events;
  const std::uint64_t usage = CGX_TRY(located(sys::parse_u64(sys::trim(*text)), "", "memory.usage_in_bytes"));
  events.push_back(Event{.kind = EventKind::threshold}
                       .with("threshold", s.mark)
                       .with("usage", usage)
                       .with("above", usage >= s.mark ? 1 : 0));
  return events;
}

Result<std::vector<Event>> read_level(Source& s, Watch::Wake /*wake*/) {
  std::vector<Event> events;
  const bool woken = fired(s);
  std::array<char, 64> buffer;
  const auto text = CGX_TRY(reread(s, s.file.get(), buffer));
  if (!text || !woken) return events;
  const std::uint64_t usage = CGX_TRY(located(sys::parse_u64(sys::trim(*text)), "", "memory.usage_in_bytes"));
  events.push_back(Event{.kind = EventKind::pressure}.with(name_of(s.level), 1).with("usage", usage));
  return events;
}

// Asks for an eventfd to be signalled for `file`: "EVENTFD FILE ARGUMENT" to cgroup.event_control. The kernel keeps the
// group, not the file, and forgets the eventfd when it is closed.
Result<> register_eventfd(
    Source& s, const Cgroup& group, const Hierarchy& h, std::string_view file, int file_fd, std::string_view argument) {
  s.poll_events = POLLIN;
  s.fd = sys::Fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!s.fd.valid()) return located(Result<>(fail(errno, errno_text(errno))), shown(group.name()), file);
  const std::string order = fmt::format("{} {}{}{}", s.fd.get(), file_fd, argument.empty() ? "" : " ", argument);
  auto done = sys::write_file(CGX_TRY(group.dir(h)), "cgroup.event_control", order);
  if (!done && (done.error().code == EOPNOTSUPP || done.error().code == ENOENT))
    return lacks(group, file, "this kernel has no events of v1's memory controller");
  return located(std::move(done), shown(group.name()), file);
}

const Hierarchy* freezer_v1(const Cgroup& group) {
  const Hierarchy* h = group.hierarchies().of(Controller::freezer);
  return h != nullptr && h->version() == Version::v1 && !group.name().empty() && group.dir(*h) ? h : nullptr;
}

bool ended(const sys::Fd& pidfd) {
  pollfd p{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  return poll(&p, 1, 0) != 0;
}

// Makes `id` the member that is watched; false where it has ended already.
Result<bool> watch_member(Source& s, pid_t id) {
  sys::Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, id, 0)));
  // EINVAL (before Linux 6.9), ENOENT: it has ended, and its number is still that of a session or process group.
  if (!pidfd.valid() && (errno == ESRCH || errno == EINVAL || errno == ENOENT)) return false;
  if (!pidfd.valid()) return fail_errno(errno, "pidfd_open");
  if (ended(pidfd)) return false;
  epoll_event e{.events = EPOLLIN, .data = {}};
  if (epoll_ctl(s.fd.get(), EPOLL_CTL_ADD, pidfd.get(), &e) != 0) return fail_errno(errno, "epoll_ctl");
  s.member = std::move(pidfd);
  return true;
}

// The same with the processes right in `group`, until one lives. A group that went meanwhile has none.
Result<bool> watch_member_of(Source& s, const Cgroup& group) {
  const auto ids = tasks_of(group);
  if (!ids) return ids.error().code == ENOENT ? Result<bool>(false) : std::unexpected(ids.error());
  for (const pid_t id : *ids)
    if (CGX_TRY(watch_member(s, id))) return true;
  return false;
}

// The same group as ever, in this hierarchy?
bool same_group(Source& s, const Cgroup& group, const Hierarchy& h) {
  const auto dir = group.dir(h);
  struct stat st{};
  if (!dir || fstat(*dir, &st) != 0) return false;
  ino_t& known = s.inodes[h.index()];
  if (known == 0) known = st.st_ino;
  return known == st.st_ino;
}

// Whether a living process is in the group or below it; the first one found is watched. The source ends where the group
// is gone.
Result<bool> find_member(Source& s) {
  s.member.reset(-1);
  const Cgroup group(*s.hierarchies, s.group);
  bool here = false;
  for (const Hierarchy& h : s.hierarchies->all())
    here = (h.version() == Version::v1 && same_group(s, group, h)) || here;
  s.ended = !here;
  if (!here) return false;
  if (CGX_TRY(watch_member_of(s, group))) return true;
  const auto below = groups_below(group);
  if (!below) return below.error().code == ENOENT ? Result<bool>(false) : std::unexpected(below.error());
  for (const std::string& name : *below)
    if (CGX_TRY(watch_member_of(s, Cgroup(*s.hierarchies, name)))) return true;
  return false;
}

Result<std::vector<Event>> read_v1_state(Source& s, Watch::Wake wake) {
  GroupState after = s.state;
  const bool again = s.due.has_value();
  s.due.reset();
  if (s.file.valid()) {
    std::array<char, 64> buffer;
    const auto text = CGX_TRY(reread(s, s.file.get(), buffer));
    const std::string_view word = text ? sys::trim(*text) : "";
    after.frozen = text ? word == "FROZEN" : s.state.frozen;
    if (word == "FREEZING") {
      // Becomes FROZEN when the last process has stopped, and nothing tells of that.
      s.round = again ? std::min(s.round + 1, 8U) : 0;
      s.due = Watch::Clock::now() + std::chrono::milliseconds(1U << s.round);
    }
  }
  if (s.fd.valid()) {
    // A late call may mean that the member which is watched was moved elsewhere.
    if (wake == Watch::Wake::late || !s.member.valid() || ended(s.member)) after.populated = CGX_TRY(find_member(s));
  }
  auto events = changes(s.state, after);
  s.state = after;
  return events;
}

}  // namespace

Result<Watch> watch_memory(const Cgroup& group, Since since) {
  const Hierarchy* h = CGX_TRY(memory_of(group, "memory.oom_control"));
  if (h->version() == Version::v2) return watch::memory_v2(group, *h, since);
  if (group.name().empty()) return lacks(group, "memory.oom_control", "the root has no limit that it could reach");
  auto s = std::make_unique<Source>(
      group, read_oom, std::initializer_list<EventKind>{EventKind::oom, EventKind::under_oom, EventKind::oom_kill});
  s->file = CGX_TRY(open_file(group, *h, "memory.oom_control", O_RDONLY));
  CGX_CHECK(register_eventfd(*s, group, *h, "memory.oom_control", s->file.get(), ""));
  if (since == Since::birth) {
    s->due = Watch::Clock::now();
    s->round = rounds;  // one reading, and no more where nothing has happened
    return Watch(std::move(s));
  }
  std::array<char, 512> buffer;
  const std::string_view text =
      CGX_TRY(located(sys::read_start(s->file.get(), buffer), shown(group.name()), "memory.oom_control"));
  s->oom.seen = CGX_TRY(located(OomControl::parse(text), shown(group.name()), "memory.oom_control"));
  s->oom.was_paused = s->oom.seen.under_oom;
  return Watch(std::move(s));
}

Result<Watch> watch_threshold(const Cgroup& group, std::uint64_t bytes) {
  const Hierarchy* h = CGX_TRY(memory_of(group, "memory.usage_in_bytes"));
  if (h->version() == Version::v2)
    return lacks(group,
                 "memory.current",
                 "v2 tells of no threshold of memory in use",
                 "set --mem-high and wait for the event high, or use --pressure");
  auto s = std::make_unique<Source>(group, read_threshold, std::initializer_list<EventKind>{EventKind::threshold});
  s->mark = bytes;
  s->file = CGX_TRY(open_file(group, *h, "memory.usage_in_bytes", O_RDONLY));
  CGX_CHECK(register_eventfd(*s, group, *h, "memory.usage_in_bytes", s->file.get(), std::to_string(bytes)));
  return Watch(std::move(s));
}

Result<Watch> watch_level(const Cgroup& group, PressureLevel level) {
  const Hierarchy* h = CGX_TRY(memory_of(group, "memory.pressure_level"));
  if (h->version() == Version::v2)
    return lacks(group,
                 "memory.pressure_level",
                 "is v1's, and the memory controller is on v2 here",
                 "use a trigger: --pressure memory:some:150ms/1s");
  auto s = std::make_unique<Source>(group, read_level, std::initializer_list<EventKind>{EventKind::pressure});
  s->level = level;
  s->file = CGX_TRY(open_file(group, *h, "memory.usage_in_bytes", O_RDONLY));  // pressure_level itself cannot be read
  const sys::Fd file = CGX_TRY(open_file(group, *h, "memory.pressure_level", O_RDONLY));
  CGX_CHECK(register_eventfd(*s, group, *h, "memory.pressure_level", file.get(), name_of(level)));
  return Watch(std::move(s));
}

Result<Watch> watch_v1_state(const Cgroup& group, Occupancy occupancy, Since since) {
  const Hierarchy* freezer = freezer_v1(group);
  if (freezer == nullptr && occupancy == Occupancy::ignore)
    return lacks(group, "freezer.state", "the group is in no v1 hierarchy of the freezer");
  if (group.name().empty()) return lacks(group, "cgroup.procs", "the root is never empty nor frozen");
  auto s = std::make_unique<Source>(group, read_v1_state, std::initializer_list<EventKind>{});
  s->poll_events = POLLIN;
  if (freezer != nullptr) {
    s->file = CGX_TRY(open_file(group, *freezer, "freezer.state", O_RDONLY));
    s->tells.set(bit(EventKind::frozen)).set(bit(EventKind::thawed));
  }
  if (occupancy == Occupancy::watch) {
    s->fd = sys::Fd(epoll_create1(EPOLL_CLOEXEC));
    if (!s->fd.valid())
      return located(Result<Watch>(fail(errno, errno_text(errno))), shown(group.name()), "cgroup.procs");
    s->inodes.resize(group.hierarchies().all().size());
    s->tells.set(bit(EventKind::populated)).set(bit(EventKind::empty));
  }
  if (since == Since::birth)
    s->due = Watch::Clock::now();
  else
    CGX_CHECK(located(s->read(*s, Watch::Wake::late), shown(group.name())));
  return Watch(std::move(s));
}

}  // namespace cgx
