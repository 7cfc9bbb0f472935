// SPDX-License-Identifier: Apache-2.0
// Sources of events of one group, each one a descriptor for the caller's own loop. The kernel says only that something
// happened: read() reads the files again and tells what changed since the last time. Nothing here waits, and reading
// allocates nothing but the vector that it answers. Removal and new groups below are told by tree_watch.h.
//
// Each source is registered with the kernel first and reads its state then, so nothing lies between the two. Sources
// keep their files open, so that a group which is removed and made again under the same name is not mistaken.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "cgx/cgroupfs/cgroup.h"
#include "cgx/cgroupfs/event.h"
#include "cgx/sys/fd.h"

namespace cgx {

// What counts as having happened before the watching: all that was until now, or (for groups made since) nothing.
enum class Since : std::uint8_t { now, birth };

class Watch {
 public:
  using Clock = std::chrono::steady_clock;

  Watch(Watch&&) noexcept;
  Watch& operator=(Watch&&) noexcept;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch();

  // For poll(2) or epoll, level triggered; owned by the Watch, the same during its life. -1: there is none, read() is
  // called at due() and when the tree watch says that a file was written.
  [[nodiscard]] int fd() const;
  [[nodiscard]] short poll_events() const;  // POLLIN or POLLPRI; POLLERR comes with both
  // To be called when poll reported any of its events (`ready`), and when due() has come or a write was told (`late`).
  enum class Wake : std::uint8_t { ready, late };
  // Does not block. Errors are those of the file's own text; a group that is gone is no error but ended().
  [[nodiscard]] Result<std::vector<Event>> read(Wake wake);
  // When to call read() although the descriptor says nothing: for what the kernel changes without a wake soon after
  // one (the kill after v1's OOM, FREEZING that becomes FROZEN). nullopt: wait for the descriptor.
  [[nodiscard]] std::optional<Clock::time_point> due() const;
  // The group is gone. The descriptor may stay readable: take it out of the loop.
  [[nodiscard]] bool ended() const;
  [[nodiscard]] const std::string& group() const;
  [[nodiscard]] EventSet tells() const;  // which events can come

  struct Source;
  explicit Watch(std::unique_ptr<Source> source);

 private:
  std::unique_ptr<Source> source_;
};

// All of them: ENOTSUP says what this host or group lacks; EMFILE, ENFILE, EACCES, ENOMEM as the system says them.
// `group.hierarchies()` must outlive the Watch; the Cgroup need not.

// oom, oom_kill and, on v1, under_oom; on v2 low, high and max. v1 memory.oom_control by eventfd (two descriptors, 8
// us; cgroup-v1/memory.rst 10): if the group is paused already, under_oom comes at once. v2 memory.events by POLLPRI
// (one descriptor); its counts include the groups below.
[[nodiscard]] Result<Watch> watch_memory(const Cgroup& group, Since since = Since::now);
// threshold, when v1's memory.usage_in_bytes passes `bytes`, up or down (cgroup-v1/memory.rst 9), some 100 KiB late.
// Blocks for about 8 ms: the kernel waits for an RCU grace period. Two descriptors. v2 has nothing of the kind.
[[nodiscard]] Result<Watch> watch_threshold(const Cgroup& group, std::uint64_t bytes);
// pressure, by v1's memory.pressure_level (cgroup-v1/memory.rst 11). Two descriptors.
[[nodiscard]] Result<Watch> watch_level(const Cgroup& group, PressureLevel level);
// pressure, by a PSI trigger (accounting/psi.rst) in the v2 tree, on a hybrid host too. At most one event a window.
// EINVAL: without CAP_SYS_RESOURCE the kernel takes only windows that are multiples of 2 s. One descriptor.
[[nodiscard]] Result<Watch> watch_pressure(const Cgroup& group, const PressureTrigger& trigger);
// populated, empty, frozen and thawed, by POLLPRI on v2's cgroup.events, on a hybrid host too. The whole subtree
// counts. When the group is found gone, `empty` is told if it had not been. One descriptor. The kernel wakes at most
// every 10 ms.
[[nodiscard]] Result<Watch> watch_state(const Cgroup& group, Since since = Since::now);

// The same for v1, which has no such event. A process comes in by a write to cgroup.procs or tasks, and the freezer
// changes by a write to freezer.state, of the group or one above: a TreeWatch tells of those, and read(Wake::late) is
// then to be called. The last process leaves by ending: one living member is watched by pidfd, and when it ends the
// group is searched for another. A process that is moved
// out is noticed when it is moved to a group above or below that the TreeWatch knows, and else when it ends. Two or
// three descriptors.
//
// `occupancy` is for groups that are not in a v2 tree: there watch_state() is exact. Asked for what it does not have
// (no freezer mounted, and occupancy not wanted), it is ENOTSUP.
enum class Occupancy : std::uint8_t { ignore, watch };
[[nodiscard]] Result<Watch> watch_v1_state(const Cgroup& group, Occupancy occupancy, Since since = Since::now);

}  // namespace cgx
