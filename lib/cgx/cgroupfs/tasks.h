// SPDX-License-Identifier: Apache-2.0
// The processes of a group: listing, moving in, freezing, thawing, killing. Differences between v1 and v2 end here.
#pragma once

#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "cgx/cgroupfs/cgroup.h"

namespace cgx {

struct Listed;  // walk.h

enum class Tasks : std::uint8_t { processes, threads };

// Ids in the group itself (not below it), from every hierarchy it is in, sorted and unique. A group of threads
// (cgroup.type threaded) has no list of processes: its threads are listed then.
[[nodiscard]] Result<std::vector<pid_t>> tasks_of(const Cgroup& group, Tasks which = Tasks::processes);
// The same in the hierarchies that walk() found the group in: it may be hidden, by a mount, in others.
[[nodiscard]] Result<std::vector<pid_t>> tasks_of(const Hierarchies& hierarchies,
                                                  const Listed& group,
                                                  Tasks which = Tasks::processes);
// The same with the groups below.
[[nodiscard]] Result<std::vector<pid_t>> tasks_below(const Cgroup& group, Tasks which = Tasks::processes);

// Names of groups right below, sorted; the union over the hierarchies.
[[nodiscard]] Result<std::vector<std::string>> children_of(const Cgroup& group);
// All groups below, parents before children, as names from the root. Without the group itself.
[[nodiscard]] Result<std::vector<std::string>> groups_below(const Cgroup& group);

// Moves a process (or one thread) into the group in every hierarchy where the group is. If one refuses, those
// already done are undone. Errors: ESRCH gone, EINVAL kernel thread, EBUSY no internal processes (v2), ENOSPC
// cpuset without CPUs or nodes, EACCES rights; the value of the error is the pid. Blocks up to some 20 ms (a global
// lock of the kernel).
[[nodiscard]] Result<> attach(const Cgroup& group, pid_t pid, Tasks which = Tasks::processes);
// The same for several: all of them or, where one is refused, none. Those moved already go back to where they were; of
// a process whose threads were in different groups (v1) all go to the group of its first one.
[[nodiscard]] Result<> attach_all(const Cgroup& group, std::span<const pid_t> ids, Tasks which = Tasks::processes);
// The file that ids are written to: cgroup.procs, cgroup.threads or tasks.
[[nodiscard]] std::string_view tasks_file(const Hierarchy& h, Tasks which);
// Makes the calling single-threaded process a member in the v1 hierarchies, through `tasks`, which takes no global
// lock. `directories`: from open_v1_tasks(); async-signal-safe, answers 0 or an errno.
[[nodiscard]] Result<std::vector<sys::Fd>> open_v1_tasks(const Cgroup& group);
[[nodiscard]] int join(const std::vector<sys::Fd>& tasks_files) noexcept;

using Deadline = std::chrono::steady_clock::time_point;

// Where freezing `group` is done: the v1 freezer if the group is in it, else cgroup2 if it is there; nullptr: nowhere.
[[nodiscard]] const Hierarchy* freezer_of(const Cgroup& group);

// Return when it is true of the whole subtree; ETIMEDOUT of freeze() lets it run on (unless it was frozen, or being
// frozen, before). Errors: ENOTSUP where the group has no freezer, EINVAL for the root and where the caller would stop
// itself, EBUSY of thaw() where a group above is frozen. Wait by poll(2) where the kernel tells of it (v1 does not).
[[nodiscard]] Result<> freeze(const Cgroup& group, Deadline deadline);
[[nodiscard]] Result<> thaw(const Cgroup& group, Deadline deadline);
[[nodiscard]] Result<bool> frozen(const Cgroup& group);
// Whether the group itself was told to freeze; false where only a group above was, or it is gone.
[[nodiscard]] Result<bool> told_to_freeze(const Cgroup& group, const Hierarchy& h);
// The nearest group above that was told to freeze; empty: none.
[[nodiscard]] Result<std::string> frozen_ancestor(const Cgroup& group, const Hierarchy& h);

// Sends `signal` to every process of the subtree, in any hierarchy, and answers how many there were. SIGKILL returns
// when the subtree is empty (ETIMEDOUT: names who is left) and is complete even against a fork bomb: by cgroup.kill,
// else by stopping all, killing all, and again. Frozen groups are thawed for it on v1, where frozen processes do not
// die. Other signals are sent once. A process has to be in the subtree at the moment of its signal: numbers that are
// given anew meanwhile are safe. Of threaded groups whole processes are meant. EINVAL where the caller itself is in the
// subtree.
[[nodiscard]] Result<std::size_t> kill_all(const Cgroup& group, int signal, Deadline deadline);

// Whether any process is in the subtree.
[[nodiscard]] Result<bool> populated(const Cgroup& group);

// rmdir in every hierarchy, children first where `recursive`. EBUSY (dying processes) is retried with growing pauses
// for up to a second. Errors name what is in the way: the processes, or the groups below. Gone already: no error.
// Takes the TreeLock for itself at each try: nobody with this library sees a group that is half removed.
// `still` is asked under that lock, before each try at `group` itself: its error is the answer, and nothing is removed.
enum class Below : std::uint8_t { keep, remove };
[[nodiscard]] Result<> remove_group(const Cgroup& group, Below below, const std::function<Result<>()>& still = {});

}  // namespace cgx
