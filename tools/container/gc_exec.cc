// SPDX-License-Identifier: Apache-2.0
#include "gc_exec.h"

#include <cerrno>
#include <functional>
#include <ranges>
#include <string_view>

#include <sys/stat.h>
#include <unistd.h>

#include "cgx/cgroupfs/lock.h"
#include "cgx/cgroupfs/maker_note.h"
#include "cgx/cgroupfs/tasks.h"
#include "cgx/cgroupfs/walk.h"
#include "cgx/sys/process.h"
#include "cgx/sys/text.h"

#include "tools/exec_note.h"

namespace cgx::launcher {
namespace {

// ENOENT: it has gone meanwhile.
Result<bool> is_empty(const Cgroup& group) {
  return CGX_TRY(tasks_below(group)).empty() && CGX_TRY(children_of(group)).empty();
}

// Whether the process that the name is of is there: `cgx-exec-PID`, or `cgx-exec-PID-ROUND`. Other names: yes.
bool named_one_lives(std::string_view group) {
  std::string_view name = group.substr(group.rfind('/') + 1);
  name.remove_prefix(fresh_prefix.size());
  const std::size_t hyphen = name.find('-');
  const auto pid = sys::parse_u64(name.substr(0, hyphen), 1, 0x7fffffff);
  if (!pid || (hyphen != std::string_view::npos && !sys::parse_u64(name.substr(hyphen + 1)))) return true;
  const auto start = sys::started(static_cast<pid_t>(*pid));
  return start || start.error().code != ESRCH;
}

Result<bool> is_own(const Cgroup& group) {
  for (const Hierarchy* h : group.present()) {
    struct stat st{};
    if (fstat(CGX_TRY(group.dir(*h)), &st) != 0) return fail_errno(errno, h->path(group.name()));
    if (st.st_uid != geteuid()) return false;
  }
  return true;
}

// Whether the group is still what a `cgx exec` has left, which is asked under the TreeLock: a command that takes the
// group for its own removes the note under it. Without a note, `cgx exec` was killed between the making of the group
// and the note, since a maker holds the lock until the note is there. The rest follows from its name, which is reserved
// for `cgx exec`, from the process in the name, which has ended, and from its owner, whom `cgx exec` never changes.
Result<bool> is_left(const Cgroup& group) {
  switch (tool::maker_of(group)) {
    case tool::Maker::gone:
      return is_empty(group);
    case tool::Maker::none:
      return !named_one_lives(group.name()) && CGX_TRY(is_empty(group)) && CGX_TRY(is_own(group));
    case tool::Maker::kept:
    case tool::Maker::lives:
    case tool::Maker::unknown:
      return false;
  }
  return false;
}

Result<> locked(const Hierarchies& hierarchies, const std::function<Result<>()>& look) {
  TreeLock lock;
  CGX_CHECK(lock.take(hierarchies, TreeLock::How::shared));
  return look();
}

}  // namespace

Result<LeftByExec> left_by_exec(bool dry_run) {
  LeftByExec left;
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  const std::string above = tool::above_fresh(hierarchies);
  // The deepest first: one may be in another.
  const std::vector<std::string> names = CGX_TRY(walk_below(hierarchies, above));
  for (const std::string& name : names | std::views::reverse) {
    const Cgroup group(hierarchies, name);
    const tool::Maker maker = tool::maker_of(group);
    const bool fresh = name.starts_with(child_of(above, fresh_prefix)) && parent_of(name) == above;
    if (maker != tool::Maker::gone && (maker != tool::Maker::none || !fresh)) continue;
    const auto failed = [&](const Error& error) {
      if (error.code == ENOENT || error.code == ENODEV) return;
      left.failures.push_back(error);
      if (left.failures.back().group.empty()) left.failures.back().group = name;
    };
    const auto empty = is_empty(group);
    if (!empty) failed(empty.error());
    if (!empty || !*empty) continue;
    bool stays = false;
    const auto still = [&]() -> Result<> {
      stays = !CGX_TRY(is_left(Cgroup(hierarchies, name)));
      return stays ? fail(ECANCELED, "is somebody's") : Result<>();
    };
    const auto gone = dry_run ? locked(hierarchies, still) : remove_group(group, Below::keep, still);
    if (gone)
      left.removed.push_back(name);
    else if (stays)
      left.kept.push_back(name);
    else
      failed(gone.error());
  }
  return left;
}

}  // namespace cgx::launcher
