// SPDX-License-Identifier: Apache-2.0
// Inside of watch.h: what every source has, and what its kind adds. Not installed.
#pragma once

#include <span>
#include <vector>

#include <poll.h>

#include "cgx/cgroupfs/watch.h"

namespace cgx {

struct Watch::Source {
  using Read = Result<std::vector<Event>> (*)(Source& source, Wake wake);

  Read read = nullptr;
  std::string group;
  EventSet tells;
  short poll_events = POLLPRI;
  sys::Fd fd;    // what is polled
  sys::Fd file;  // what is read again, where that is another one
  bool ended = false;
  std::optional<Clock::time_point> due;
  unsigned round = 0;  // readings since the last wake

  MemoryEvents memory;
  OomProgress oom;
  GroupState state;
  std::uint64_t mark = 0;  // threshold in bytes; stalled time so far
  PressureTrigger::Share share = PressureTrigger::Share::some;
  PressureLevel level = PressureLevel::low;

  // v1 occupancy.
  const Hierarchies* hierarchies = nullptr;
  std::vector<ino_t> inodes;  // by hierarchy, so that another group of the same name is not taken for this one
  sys::Fd member;             // pidfd of a living process

  Source(const Cgroup& g, Read r, std::initializer_list<EventKind> kinds)
      : read(r), group(g.name()), hierarchies(&g.hierarchies()) {
    for (const EventKind k : kinds) tells.set(bit(k));
  }
};

namespace watch {

// ENODEV and ENOENT of a file that is open, or of its directory: the group is gone.
inline bool gone(const Error& e) { return e.code == ENODEV || e.code == ENOENT; }
// What this host or group lacks.
[[nodiscard]] std::unexpected<Error> lacks(const Cgroup& group,
                                           std::string_view file,
                                           std::string what,
                                           std::string hint = {});
// The hierarchy of the memory controller, with the group in it; ENOTSUP otherwise.
[[nodiscard]] Result<const Hierarchy*> memory_of(const Cgroup& group, std::string_view file);
// A file of the group, for a source; ENOTSUP where the group has no such file.
[[nodiscard]] Result<sys::Fd> open_file(const Cgroup& group, const Hierarchy& h, std::string_view file, int flags);
// Time and group into what changes() made.
void stamp(std::span<Event> events, const std::string& group);
// watch_memory() of v2.
[[nodiscard]] Result<Watch> memory_v2(const Cgroup& group, const Hierarchy& h, Since since);
// The text of `file`, or nullopt with `ended` set where the group is gone.
[[nodiscard]] Result<std::optional<std::string_view>> reread(Watch::Source& source, int file, std::span<char> buffer);

}  // namespace watch
}  // namespace cgx
