// SPDX-License-Identifier: Apache-2.0
// Watch itself, and the sources of v2 and of pressure stalls.
#include "cgx/cgroupfs/watch.h"

#include <cerrno>

#include <fcntl.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/watch_source.h"

namespace cgx {

Watch::Watch(std::unique_ptr<Source> source) : source_(std::move(source)) {}
Watch::Watch(Watch&&) noexcept = default;
Watch& Watch::operator=(Watch&&) noexcept = default;
Watch::~Watch() = default;

int Watch::fd() const { return source_->fd.get(); }
short Watch::poll_events() const { return source_->poll_events; }
std::optional<Watch::Clock::time_point> Watch::due() const { return source_->due; }
bool Watch::ended() const { return source_->ended; }
const std::string& Watch::group() const { return source_->group; }
EventSet Watch::tells() const { return source_->tells; }

Result<std::vector<Event>> Watch::read(Wake wake) {
  auto events = source_->read(*source_, wake);
  if (events)
    watch::stamp(*events, source_->group);
  else
    events.error().group = shown(source_->group);
  return events;
}

namespace watch {

std::unexpected<Error> lacks(const Cgroup& group, std::string_view file, std::string what, std::string hint) {
  return std::unexpected(Error{.code = ENOTSUP,
                               .what = std::move(what),
                               .group = std::string(shown(group.name())),
                               .knob = std::string(file),
                               .hint = std::move(hint)});
}

Result<const Hierarchy*> memory_of(const Cgroup& group, std::string_view file) {
  const Hierarchy* h = group.hierarchies().of(Controller::memory);
  if (h == nullptr) return lacks(group, file, "no hierarchy has the memory controller");
  const auto dir = group.dir(*h);
  if (!dir && dir.error().code == ENOENT)
    return lacks(group, file, "the group is not in the hierarchy of the memory controller");
  CGX_CHECK(located(dir, shown(group.name()), file));
  return h;
}

Result<sys::Fd> open_file(const Cgroup& group, const Hierarchy& h, std::string_view file, int flags) {
  auto fd = sys::open_beneath(CGX_TRY(located(group.dir(h), shown(group.name()), file)), file, flags | O_NOCTTY);
  if (fd || (fd.error().code != ENOENT && fd.error().code != EOPNOTSUPP))
    return located(std::move(fd), shown(group.name()), file);
  if (group.name().empty()) return lacks(group, file, "the root has no such file");
  return lacks(group,
               file,
               "this kernel has no such file, or its controller is not enabled for the group",
               h.version() == Version::v2 ? "cgroup.controllers of the group lists what is enabled for it" : "");
}

void stamp(std::span<Event> events, const std::string& group) {
  if (events.empty()) return;
  const auto now = std::chrono::system_clock::now();
  for (Event& e : events) {
    e.time = now;
    e.group = group;
  }
}

Result<std::optional<std::string_view>> reread(Watch::Source& source, int file, std::span<char> buffer) {
  auto text = sys::read_start(file, buffer);
  if (text) return std::optional(*text);
  if (!gone(text.error())) return std::unexpected(text.error());
  source.ended = true;
  source.due.reset();
  return std::optional<std::string_view>();
}

}  // namespace watch

namespace {

using watch::lacks;
using watch::open_file;
using watch::reread;
using Source = Watch::Source;

Result<std::vector<Event>> read_memory_events(Source& s, Watch::Wake /*wake*/) {
  s.due.reset();
  std::array<char, 1024> buffer;
  const auto text = CGX_TRY(reread(s, s.fd.get(), buffer));
  if (!text) return std::vector<Event>{};
  const MemoryEvents after = CGX_TRY(located(MemoryEvents::parse(*text), "", "memory.events"));
  auto events = changes(s.memory, after);
  s.memory = after;
  return events;
}

Result<std::vector<Event>> read_state(Source& s, Watch::Wake /*wake*/) {
  s.due.reset();
  std::array<char, 1024> buffer;
  const auto text = CGX_TRY(reread(s, s.fd.get(), buffer));
  GroupState after = s.state;
  if (text)
    after = CGX_TRY(located(GroupState::parse(*text), "", "cgroup.events"));
  else
    after.populated =
        false;  // only an empty group can be removed, and the kernel's word of that comes up to 10 ms late
  auto events = changes(s.state, after);
  s.state = after;
  return events;
}

Result<std::vector<Event>> read_pressure(Source& s, Watch::Wake wake) {
  std::array<char, 1024> buffer;
  const auto text = CGX_TRY(reread(s, s.fd.get(), buffer));
  std::vector<Event> events;
  if (!text || wake != Watch::Wake::ready) return events;
  const std::uint64_t total = CGX_TRY(stalled_total(*text, s.share));
  events.push_back(
      Event{.kind = EventKind::pressure}.with("total_usec", total).with("new_usec", total - std::min(total, s.mark)));
  s.mark = total;
  return events;
}

// The first reading. A file that was never read polls as changed at once, so `birth` needs none; the due time makes it
// come also where the caller polls edge triggered.
Result<Watch> start(std::unique_ptr<Source> s, Since since) {
  if (since == Since::birth)
    s->due = Watch::Clock::now();
  else
    CGX_CHECK(s->read(*s, Watch::Wake::late));
  return Watch(std::move(s));
}

}  // namespace

Result<Watch> watch_state(const Cgroup& group, Since since) {
  const Hierarchy* h = group.hierarchies().unified();
  if (h == nullptr)
    return lacks(group,
                 "cgroup.events",
                 "no v2 hierarchy is mounted, and v1 has no such event",
                 "cgx mount --v2 DIR mounts one");
  if (const auto dir = group.dir(*h); !dir && dir.error().code == ENOENT)
    return lacks(group, "cgroup.events", "the group is not in the v2 hierarchy, and v1 has no such event");
  auto s = std::make_unique<Source>(
      group,
      read_state,
      std::initializer_list<EventKind>{EventKind::populated, EventKind::empty, EventKind::frozen, EventKind::thawed});
  s->fd = CGX_TRY(open_file(group, *h, "cgroup.events", O_RDONLY));
  return start(std::move(s), since);
}

Result<Watch> watch_pressure(const Cgroup& group, const PressureTrigger& trigger) {
  const Hierarchy* h = group.hierarchies().unified();
  const auto dir = h == nullptr ? Result<int>(fail(ENOENT, "")) : group.dir(*h);
  if (!dir && dir.error().code == ENOENT)
    return lacks(group,
                 trigger.file(),
                 "pressure stalls are counted in a v2 hierarchy only, and the group is in none",
                 "on v1 there is --pressure memory:low, medium or critical");
  auto s = std::make_unique<Source>(group, read_pressure, std::initializer_list<EventKind>{EventKind::pressure});
  s->share = trigger.share;
  s->fd = CGX_TRY(open_file(group, *h, trigger.file(), O_RDWR));
  auto set = sys::write_fd(s->fd.get(), trigger.kernel_text());
  if (!set) {
    Error& e = set.error();
    e.group = shown(group.name());
    e.knob = trigger.file();
    e.value = trigger.text();
    if (e.code == EINVAL && trigger.window % 2'000'000 != 0) {
      e.what = "the kernel refuses this window";
      e.hint = "without CAP_SYS_RESOURCE a window is a multiple of 2 s: 2s, 4s, ... 10s";
    } else if (e.code == EOPNOTSUPP) {
      e.what = "this kernel counts no pressure stalls";
      e.hint = "boot with psi=1; cgroup.pressure of the group may be 0";
    }
    return std::unexpected(std::move(e));
  }
  std::array<char, 1024> buffer;
  if (const auto text = sys::read_start(s->fd.get(), buffer)) s->mark = stalled_total(*text, trigger.share).value_or(0);
  return Watch(std::move(s));
}

namespace watch {

Result<Watch> memory_v2(const Cgroup& group, const Hierarchy& h, Since since) {
  auto s = std::make_unique<Watch::Source>(
      group,
      read_memory_events,
      std::initializer_list<EventKind>{
          EventKind::low, EventKind::high, EventKind::max, EventKind::oom, EventKind::oom_kill});
  s->fd = CGX_TRY(open_file(group, h, "memory.events", O_RDONLY));
  return start(std::move(s), since);
}

}  // namespace watch
}  // namespace cgx
