// SPDX-License-Identifier: Apache-2.0
// Killing whole subtrees: complete, and nobody else.
#include <algorithm>
#include <cerrno>
#include <thread>

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/control.h"
#include "cgx/cgroupfs/place.h"
#include "cgx/cgroupfs/presence.h"
#include "cgx/cgroupfs/tasks.h"
#include "cgx/cgroupfs/walk.h"
#include "cgx/sys/count.h"
#include "cgx/sys/process.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// A directory that could not be opened (EMFILE) does not tell who is in it.
Result<bool> is_member(const std::vector<Place>& places, const Cgroup& group) {
  Result<bool> found = false;
  for (const Place& p : places) {
    if (!lies_in(p.group, group.name())) continue;
    const auto dir = group.dir(*p.hierarchy);
    if (dir) return true;
    // EXDEV: something else is mounted over it.
    const bool none = says_absent(dir.error()) || dir.error().code == ENOTDIR || dir.error().code == EXDEV;
    if (!none) found = std::unexpected(dir.error());
  }
  return found;
}

// The process that a thread belongs to.
Result<pid_t> process_of(pid_t id) {
  const std::string status = CGX_TRY(sys::read_path(fmt::format("/proc/{}/status", id)));
  for (const std::string_view line : sys::lines(status))
    if (line.starts_with("Tgid:"))
      return static_cast<pid_t>(CGX_TRY(sys::parse_u64(sys::trim(line.substr(5)), 1, 0x7fffffff)));
  return fail(EPROTO, "/proc/PID/status has no Tgid");
}

sys::Fd open_process(pid_t id) { return sys::Fd(static_cast<int>(syscall(SYS_pidfd_open, id, 0))); }

struct Sent {
  std::size_t count = 0;
  std::vector<sys::Fd> some;  // of the processes signalled, to wait for
};

// The groups of a process deeper than PATH_MAX are not to be read from /proc (ENAMETOOLONG), nor to be named in a
// cgroup namespace with the host's mounts; then the subtree is asked for its members instead. The descriptor was taken
// before: while it can be signalled, the number was its own.
Result<bool> is_inside(const Cgroup& group, pid_t id) {
  const auto places = places_of(group.hierarchies(), id);
  if (places && CGX_TRY(is_member(*places, group))) return true;
  if (!places && places.error().code == ESRCH) return false;
  if (!places && places.error().code != ENAMETOOLONG) return std::unexpected(places.error());
  if (places && CGX_TRY(unnamed_of(group.hierarchies(), id)).empty()) return false;
  return std::ranges::binary_search(CGX_TRY(tasks_below(group)), id);
}

// Signals one process if it is in the subtree. The descriptor is taken before the look at its groups, so that the
// number cannot mean somebody else by the time of the signal. Answers an errno; ESRCH: gone, or not in the subtree.
int signal_member(const Cgroup& group, pid_t id, int signal, Sent& sent) {
  sys::Fd process = open_process(id);
  // EINVAL, ENOENT: a thread of a threaded group, not the first of its process.
  if (!process.valid() && (errno == EINVAL || errno == ENOENT)) {
    const auto first = process_of(id);
    if (!first) return first.error().code == ENOENT ? ESRCH : first.error().code;
    process = open_process(*first);
  }
  const bool by_number = !process.valid() && errno == ENOSYS;  // before 5.3, or filtered out by seccomp
  if (!process.valid() && !by_number) return errno;
  const auto start = by_number ? sys::started(id) : Result<std::uint64_t>(0);
  if (!start) return start.error().code;
  const auto inside = is_inside(group, id);
  if (!inside) return inside.error().code;
  if (!*inside) return ESRCH;
  if (by_number) {
    // Nothing holds the number: it has to be the same process before and after the look at its groups.
    const auto now = sys::started(id);
    if (!now || *now != *start) return ESRCH;
    if (kill(id, signal) != 0) return errno;
  } else if (const int code = sys::signal_process(process.get(), signal); code != 0) {
    return code;
  }
  ++sent.count;
  if (!by_number && sent.some.size() < 64) sent.some.push_back(std::move(process));
  return 0;
}

// One pass over the subtree. All are tried; the error is the first one.
Result<Sent> signal_once(const Cgroup& group, int signal) {
  std::vector<pid_t> ids = CGX_TRY(tasks_below(group));
  Sent sent;
  Error first;
  for (const pid_t id : ids) {
    const int code = signal_member(group, id, signal, sent);
    if (code != 0 && code != ESRCH && first.code == 0)
      first = Error{.code = code, .what = fmt::format("process {} cannot be signalled: {}", id, errno_text(code))};
  }
  if (first.code != 0) return with_group(std::move(first), group);
  return sent;
}

// Stops everything in the subtree for a kill that leaves no gap, as far as this host can, and lets it go on.
class Stopper {
 public:
  explicit Stopper(const Cgroup& group) : group_(group), freezer_(freezer_of(group)) {}

  Result<> stop(Deadline deadline) {
    // By somebody else: it is so again at the end.
    if (freezer_ != nullptr && !used_) before_ = CGX_TRY(told_to_freeze(group_, *freezer_));
    const auto soon = std::min(deadline, Clock::now() + milliseconds(200));
    used_ = true;
    if (freezer_ != nullptr) {
      // A process in an uninterruptible wait never freezes: the others have stopped by then, and it cannot fork.
      if (freezer_->version() == Version::v2) {
        if (group_.write(*freezer_, "cgroup.freeze", "1")) (void)wait_for_event(group_, *freezer_, "frozen", 1, soon);
      } else {
        while (group_.write(*freezer_, "freezer.state", "FROZEN") &&
               group_.read(*freezer_, "freezer.state").value_or("FROZEN\n") != "FROZEN\n" && Clock::now() < soon)
          std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
    }
    // Those that are not under this freezer (in other hierarchies only) are stopped one by one, until none is new.
    if (everyone_freezes()) return {};
    stopped_ = true;
    std::size_t last = 0;
    for (int pass = 0; pass < 20; ++pass) {
      const Sent sent = CGX_TRY(signal_once(group_, SIGSTOP));
      if (sent.count == last) break;
      last = sent.count;
    }
    return {};
  }

  // v2 lets frozen processes die; on v1 SIGKILL waits for the thaw, of each group that was told to freeze.
  Result<> let_die() {
    if (freezer_ == nullptr || freezer_->version() == Version::v2) return {};
    (void)group_.write(*freezer_, "freezer.state", "THAWED");
    for (const Listed& l : CGX_TRY(walk(group_, Depth::all))) {
      const Cgroup child(group_.hierarchies(), l.name);
      if (l.in(*freezer_) && CGX_TRY(told_to_freeze(child, *freezer_))) {
        (void)child.write(*freezer_, "freezer.state", "THAWED");
        if (std::ranges::find(thawed_, l.name) == thawed_.end()) thawed_.push_back(l.name);
      }
    }
    return {};
  }

  // All as it was before. Errors are dropped: the group may be gone.
  void restore() {
    if (stopped_) (void)signal_once(group_, SIGCONT);  // who could not be killed
    if (freezer_ == nullptr || !used_) return;
    const bool v1 = freezer_->version() == Version::v1;
    if (v1) {
      (void)group_.write(*freezer_, "freezer.state", before_ ? "FROZEN" : "THAWED");
      for (const std::string& name : thawed_)
        (void)Cgroup(group_.hierarchies(), name).write(*freezer_, "freezer.state", "FROZEN");
    } else if (!before_) {
      (void)group_.write(*freezer_, "cgroup.freeze", "0");
    }
  }

  [[nodiscard]] std::string frozen_above() const {
    return freezer_ == nullptr || freezer_->version() == Version::v2 ? std::string()
                                                                     : frozen_ancestor(group_, *freezer_).value_or("");
  }

 private:
  bool everyone_freezes() {
    if (freezer_ == nullptr) return false;
    const auto ids = tasks_below(group_);
    if (!ids) return false;
    return std::ranges::all_of(*ids, [&](pid_t id) {
      const auto places = places_of(group_.hierarchies(), id);
      if (!places) return places.error().code == ESRCH;  // it has ended
      return std::ranges::any_of(
          *places, [&](const Place& p) { return p.hierarchy == freezer_ && lies_in(p.group, group_.name()); });
    });
  }

  const Cgroup& group_;
  const Hierarchy* freezer_;
  bool before_ = false;  // it was told to freeze by somebody else
  bool used_ = false;
  bool stopped_ = false;  // by SIGSTOP
  std::vector<std::string> thawed_;
};

// Waits until the processes have ended, 50 ms at most altogether.
void wait_for_ends(const std::vector<sys::Fd>& processes, Deadline deadline) {
  const auto soon = std::min(deadline, Clock::now() + milliseconds(50));
  for (const sys::Fd& fd : processes) {
    pollfd p{.fd = fd.get(), .events = POLLIN, .revents = 0};
    (void)poll(&p, 1, milliseconds_to(soon));
  }
}

std::unexpected<Error> still_there(const Cgroup& group, const Stopper& stopper) {
  Error e{.code = ETIMEDOUT, .what = "could not be emptied in time"};
  const auto left = tasks_below(group);
  if (left && !left->empty()) {
    e.what = sys::counted(left->size(), "process is", "processes are") + " still there after SIGKILL:";
    for (std::size_t i = 0; i < left->size() && i < 5; ++i) {
      const auto comm = sys::read_path(fmt::format("/proc/{}/comm", (*left)[i])).value_or("?");
      e.what += fmt::format("{} {} ({})", i == 0 ? "" : ",", (*left)[i], sys::trim(comm));
    }
  }
  if (const std::string up = stopper.frozen_above(); !up.empty()) {
    e.what += fmt::format("; {} above is frozen, and frozen processes die only when they are thawed", up);
    e.hint = fmt::format("cgx thaw {}", up);
  }
  return with_group(std::move(e), group);
}

Result<> end_all(const Cgroup& group, Stopper& stopper, Deadline deadline, std::size_t& most) {
  const Hierarchy* v2 = group.hierarchies().unified();
  if (v2 != nullptr && !group.dir(*v2)) v2 = nullptr;
  const bool only_v2 = v2 != nullptr && group.present().size() == 1;
  for (bool again = false; CGX_TRY(populated(group)); again = true) {
    if (again && Clock::now() >= deadline) return still_there(group, stopper);
    // Absent before 5.14, EOPNOTSUPP in threaded groups.
    const bool by_kernel = v2 != nullptr && group.write(*v2, "cgroup.kill", "1").has_value();
    if (by_kernel) {
      (void)wait_for_event(group, *v2, "populated", 0, std::min(deadline, Clock::now() + milliseconds(50)));
      if (only_v2 || !CGX_TRY(populated(group))) continue;  // else some are in v1 hierarchies only, or frozen there
    }
    CGX_CHECK(stopper.stop(deadline));
    const auto sent = signal_once(group, SIGKILL);
    const auto thawed = stopper.let_die();
    if (!sent) return std::unexpected(sent.error());
    CGX_CHECK(thawed);
    most = std::max(most, sent->count);
    wait_for_ends(sent->some, deadline);
  }
  return {};
}

}  // namespace

Result<bool> populated(const Cgroup& group) {
  CGX_CHECK(group.require());
  std::uint32_t v1 = 0;
  for (const Hierarchy* h : group.present()) {
    if (h->version() == Version::v1) {
      v1 |= 1U << h->index();
      continue;
    }
    if (group.name().empty()) return true;  // the root has no cgroup.events
    const auto events = group.read(*h, "cgroup.events");
    if (!events && !says_absent(events.error())) return std::unexpected(events.error());
    if (events && sys::keyed_u64(*events, "populated") == 1) return true;
  }
  if (v1 == 0) return false;
  std::vector<Listed> groups = CGX_TRY(walk(group, Depth::all));
  groups.insert(groups.begin(), {group.name(), v1});
  for (const Hierarchy& h : group.hierarchies().all()) {
    if (h.version() != Version::v1) continue;
    for (const Listed& l : groups) {
      if (!l.in(h)) continue;
      const auto text = sys::read_file(CGX_TRY(h.root()), l.name.empty() ? "tasks" : l.name + "/tasks");
      if (!text && !says_absent(text.error()))
        return located(Result<bool>(std::unexpected(text.error())), l.name, "tasks");
      if (text && !text->empty()) return true;
    }
  }
  return false;
}

Result<std::size_t> kill_all(const Cgroup& group, int signal, Deadline deadline) {
  CGX_CHECK(group.require());
  if (group.name().empty())
    return with_group({.code = EINVAL, .what = "every process of the host is in the root"}, group);
  if (CGX_TRY(is_inside(group, getpid())))
    return with_group(
        {.code = EINVAL, .what = "this very process is in it", .hint = "move the shell out first: cgx move / $$"},
        group);
  if (signal != SIGKILL) return CGX_TRY(signal_once(group, signal)).count;
  std::size_t most = CGX_TRY(tasks_below(group)).size();
  Stopper stopper(group);
  const auto done = end_all(group, stopper, deadline, most);
  stopper.restore();
  if (!done) return std::unexpected(done.error());
  return most;
}

}  // namespace cgx
