// SPDX-License-Identifier: Apache-2.0
// Inside container/: the namespaces of a container, new ones and such that are there already, and the order in which a
// process gets into them.
#pragma once

#include <string>
#include <vector>

#include <sched.h>

#include "cgx/container/spec.h"
#include "cgx/sys/fd.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080  // since 5.6; the headers of some systems are older
#endif

namespace cgx::container {

struct JoinedNamespace {
  int flag = 0;  // CLONE_NEW*
  std::string path;
  sys::Fd fd;
};

struct NamespacePlan {
  unsigned create = 0;  // CLONE_NEW* of the new ones
  std::vector<JoinedNamespace> joined;

  [[nodiscard]] bool makes(int flag) const { return (create & static_cast<unsigned>(flag)) != 0; }
  [[nodiscard]] bool joins(int flag) const;
  [[nodiscard]] bool has(int flag) const { return makes(flag) || joins(flag); }
  // Joined ones are entered by a process in between, which makes the container's: rights over them are those of the
  // user namespace that is left, or of the one that is joined, and the caller cannot come back from either.
  [[nodiscard]] bool needs_intermediate() const;
};

// Opens what is joined, and sees that each is of its kind. A user namespace that is the caller's own is left out.
[[nodiscard]] Result<NamespacePlan> plan_namespaces(const Linux& config);

// Joins them for the calling process (pid: for its children). What the rights of the caller do not suffice for is tried
// again after its user namespace was joined. `except`: flags that are left out.
[[nodiscard]] Result<> join_namespaces(const NamespacePlan& plan, int except = 0);

// For the time of a clone: children are made in the pid namespace that is joined, or with a time namespace of their
// own; the caller itself is where it was again afterwards.
class ForChildren {
 public:
  ForChildren() = default;
  ForChildren(const ForChildren&) = delete;
  ForChildren& operator=(const ForChildren&) = delete;
  ~ForChildren() { (void)restore(); }
  // Not dumpable: no process that is not the caller's better can look into the child.
  [[nodiscard]] Result<> close_to_others();
  [[nodiscard]] Result<> join_pid(int proc, int fd);
  [[nodiscard]] Result<> make_time(int proc, const Linux& config);
  [[nodiscard]] Result<> restore();

 private:
  sys::Fd pid_, time_;
  bool was_open_ = false;
};

// Lines of /proc/PID/timens_offsets. Written before the first process enters.
[[nodiscard]] Result<> write_time_offsets(int proc, pid_t pid, const Linux& config);
// A new network namespace has a loopback interface that is down.
[[nodiscard]] Result<> loopback_up();
// Writes linux.sysctl through `proc`, a descriptor of the caller's /proc; only those that belong to namespaces of the
// container. Names with dots or slashes.
[[nodiscard]] Result<> write_sysctls(int proc, const Pairs& sysctl, const NamespacePlan& plan);

}  // namespace cgx::container
