// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/birth.h"

#include <algorithm>
#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/place.h"
#include "cgx/cgroupfs/tasks.h"
#include "cgx/change/explain.h"
#include "cgx/sys/process.h"

namespace cgx::container {
namespace {

// A copy of this process, as fork(2) makes it. The flags are those of clone3.
pid_t clone_process(std::uint64_t flags, int v2_dir, int signal, int* pidfd) {
  clone_args args{};
  args.flags = flags | (pidfd != nullptr ? CLONE_PIDFD : 0) | (v2_dir >= 0 ? CLONE_INTO_CGROUP : 0);
  args.pidfd = reinterpret_cast<std::uint64_t>(pidfd);
  args.exit_signal = static_cast<std::uint64_t>(signal);
  args.cgroup = v2_dir >= 0 ? static_cast<std::uint64_t>(v2_dir) : 0;
  return static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
}

// For filters without clone3 (they answer ENOSYS): pidfds came to clone(2) with Linux 5.2.
pid_t clone_old(std::uint64_t flags, int signal, int* pidfd) {
  const unsigned long all = flags | static_cast<unsigned>(signal) | (pidfd != nullptr ? CLONE_PIDFD : 0);
  return static_cast<pid_t>(syscall(SYS_clone, all, nullptr, pidfd, nullptr, nullptr));
}

// The group's directory, or that of the nearest group above it that is there, up to `top`. None: not even that one is.
Result<sys::Fd> nearest_dir(const Hierarchy& h, const Cgroup& group, std::string_view top) {
  const auto copy = [](int fd) -> Result<sys::Fd> {
    sys::Fd own(fcntl(fd, F_DUPFD_CLOEXEC, 3));
    if (!own.valid()) return fail_errno(errno, "fcntl");
    return own;
  };
  auto dir = group.dir(h);
  if (dir) return copy(*dir);
  for (std::string_view name = group.name(); dir.error().code == ENOENT && lies_in(parent_of(name), top);) {
    name = parent_of(name);
    const Cgroup above(group.hierarchies(), std::string(name));
    dir = above.dir(h);
    if (dir) return copy(*dir);
  }
  if (dir.error().code == ENOENT) return sys::Fd();
  return std::unexpected(std::move(dir.error()));
}

Result<sys::Fd> sub_group_dir(const Hierarchy& h, const Hierarchies& hierarchies, const std::string& name) {
  const Cgroup group(hierarchies, name);
  sys::Fd dir = CGX_TRY(nearest_dir(h, group, name));
  if (dir.valid()) return dir;
  const std::string file = h.path(name, "cgroup.procs");
  return fail(
      ENOENT,
      fmt::format("there is no such group in {}: adding pid to {}: no such file or directory", h.label(), file));
}

Error not_born(int code, const Cgroup* group) {
  Error error{.code = code, .what = errno_text(code), .group = {}, .knob = {}, .value = {}, .hint = {}};
  // The others (EPERM, ENOSPC) may speak of the namespaces.
  const bool of_group = code == EACCES || code == EBUSY || code == ENOENT || code == EOPNOTSUPP;
  if (group != nullptr && of_group) error = explain_attach(*group, std::move(error));
  error.what.insert(0, "stage clone: ");
  return error;
}

void reap(const Born& born) {
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(born.pid), &info, WEXITED) != 0 && errno == EINTR) continue;
}

}  // namespace

Result<Membership> membership_of(const Cgroup* group, std::string_view top, const std::vector<SubGroup>& apart) {
  Membership groups;
  if (group == nullptr) return groups;
  CGX_CHECK(group->require());
  groups.group = group;
  const Hierarchies& hierarchies = group->hierarchies();
  for (const auto& list : {hierarchies.all(), hierarchies.named()})
    for (const Hierarchy& h : list) {
      const auto other = std::ranges::find(apart, &h, &SubGroup::hierarchy);
      sys::Fd dir = other != apart.end() ? CGX_TRY(sub_group_dir(h, hierarchies, other->group))
                                         : CGX_TRY(nearest_dir(h, *group, top.empty() ? group->name() : top));
      if (!dir.valid()) continue;
      if (h.version() == Version::v2)
        groups.v2_dir = std::move(dir);
      else
        groups.v1_tasks.push_back(
            CGX_TRY(located(sys::open_beneath(dir.get(), "tasks", O_WRONLY), shown(group->name()), "tasks")));
    }
  return groups;
}

Birth::Birth(BirthPlan& plan) : plan_(plan) {}

Birth::~Birth() = default;

Result<> Birth::begin() {
  if (progress_.get() == nullptr) return fail_errno(ENOMEM, "mmap");
  progress_.get()->stage = Stage::unborn;
  progress_.get()->pid = 0;
  progress_.get()->failed = false;
  auto ends = CGX_TRY(Channel::make());
  parent_ = std::move(ends.first);
  child_ = std::move(ends.second);
  return {};
}

// Ends with the launcher from its first instruction on: by the signal, and where that came too late, by the socket.
void Birth::first_process() {
  progress_.get()->stage = Stage::cgroup;
  parent_.close();
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (child_.ended()) _exit(1);
  const auto refuse = [&](int code, std::string_view what) {
    (void)child_.send(Notice::failed, progress_.get()->stage, code, what);
    _exit(1);
  };
  // cgroup2 first, as remove_group() wants it.
  if (by_itself_ && write(plan_.groups.v2_procs.get(), "0", 1) != 1) refuse(errno, errno_text(errno));
  if (const int code = join(plan_.groups.v1_tasks); code != 0) refuse(code, errno_text(code));
  if (plan_.placed)
    if (auto placed = plan_.placed(); !placed) refuse(placed.error().code, placed.error().what);
  if (plan_.intermediate) intermediate();
  plan_.main();
  _exit(1);
}

// The container's process is made as a sister of this one, so that it is the launcher's child.
void Birth::intermediate() {
  progress_.get()->stage = Stage::namespaces;
  auto entered = plan_.enter();
  if (!entered) {
    (void)child_.send(Notice::failed, Stage::namespaces, entered.error().code, entered.error().what);
    _exit(1);
  }
  const std::uint64_t flags = plan_.flags | CLONE_PARENT;
  pid_t pid = clone_process(flags, -1, 0, nullptr);
  if (pid < 0 && errno == ENOSYS) pid = clone_old(flags, 0, nullptr);
  if (pid == 0) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (child_.ended()) _exit(1);
    plan_.main();
    _exit(1);
  }
  if (pid < 0) {
    const int code = errno;
    (void)child_.send(Notice::failed, Stage::namespaces, code, "clone: " + errno_text(code));
    _exit(1);
  }
  progress_.get()->pid = pid;
  _exit(0);
}

Result<Born> Birth::clone_first() {
  const std::uint64_t flags = plan_.intermediate ? 0 : plan_.flags;
  const int dir = by_itself_ ? -1 : plan_.groups.v2_dir.get();
  int pidfd = -1;
  pid_t pid = clone_process(flags, dir, SIGCHLD, &pidfd);
  if (pid < 0 && errno == EBUSY && dir >= 0 && plan_.fallback)
    if (const sys::Fd other = plan_.fallback(); other.valid()) pid = clone_process(flags, other.get(), SIGCHLD, &pidfd);
  if (pid < 0 && (errno == ENOSYS || errno == E2BIG) && (dir < 0 || may_try_again()))
    pid = clone_old(flags, SIGCHLD, &pidfd);
  if (pid == 0) first_process();
  if (pid < 0) return std::unexpected(not_born(errno, dir >= 0 ? plan_.groups.group : nullptr));
  return Born{pid, sys::Fd(pidfd)};
}

Result<Born> Birth::make() {
  CGX_CHECK(begin());
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  (void)sigprocmask(SIG_SETMASK, &all, &before);
  Result<Born> born = fail(0, "");
  if (auto entered = plan_.before ? plan_.before() : Result<>(); entered)
    born = clone_first();
  else
    born = std::unexpected(std::move(entered).error());
  (void)sigprocmask(SIG_SETMASK, &before, nullptr);
  auto restored = plan_.after ? plan_.after() : Result<>();
  child_.close();
  if (!born) return born;
  if (!restored) {
    end_process(*born);
    return std::unexpected(std::move(restored).error());
  }
  if (!plan_.intermediate) return born;
  reap(*born);
  const pid_t pid = progress_.get()->pid;
  if (pid <= 0) return Born{};  // the channel says why
  Born real{pid, sys::Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)))};
  if (!real.pidfd.valid()) {
    const int code = errno;
    end_process(real);
    return fail_errno(code, "pidfd_open");
  }
  return real;
}

// Since 6.14 the kernel compares how often the groups of parent and child were killed by cgroup.kill, and where that
// differs it takes the child for one that has escaped a kill: it ends before its first instruction. A child that joins
// by itself is not compared.
bool Birth::may_try_again() {
  if (by_itself_ || !plan_.groups.v2_dir.valid() || progress_.get()->stage != Stage::unborn) return false;
  auto procs = sys::open_beneath(plan_.groups.v2_dir.get(), "cgroup.procs", O_WRONLY);
  if (!procs) return false;
  plan_.groups.v2_procs = *std::move(procs);
  by_itself_ = true;
  return true;
}

void end_process(const Born& born) {
  if (born.pid <= 0) return;
  if (born.pidfd.valid())
    (void)sys::signal_process(born.pidfd.get(), SIGKILL);
  else
    (void)kill(born.pid, SIGKILL);  // a child that nobody has waited for: the number is still its own
  reap(born);
}

}  // namespace cgx::container
