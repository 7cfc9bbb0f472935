// SPDX-License-Identifier: Apache-2.0
#include "gc_exec.h"

#include <cerrno>
#include <ranges>
#include <string_view>

#include <sys/stat.h>
#include <unistd.h>

#include "cgx/cgroupfs/lock.h"
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

constexpr std::string_view prefix = "cgx-exec-";

// Whether the process that the name is of is there: `cgx-exec-PID`, or `cgx-exec-PID-ROUND`. Other names: yes.
bool named_one_lives(std::string_view group) {
  std::string_view name = group.substr(group.rfind('/') + 1);
  name.remove_prefix(prefix.size());
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

// Whether a `cgx exec` was killed between the making of this group, which is empty, and the note on it. A maker holds
// the TreeLock from the first directory until the note is there: a group without one that is seen under the lock has
// no maker at work. The rest follows from its name, which is reserved for `cgx exec`, from the process in the name,
// which has ended, and from its owner, whom `cgx exec` never changes.
Result<bool> cut_off(const Hierarchies& hierarchies, const Cgroup& group) {
  if (named_one_lives(group.name())) return false;
  TreeLock lock;
  CGX_CHECK(lock.take(hierarchies, TreeLock::How::shared));
  const Cgroup now(hierarchies, group.name());
  return tool::maker_of(now) == tool::Maker::none && CGX_TRY(is_empty(now)) && CGX_TRY(is_own(now));
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
    const bool fresh = name.starts_with(child_of(above, prefix)) && parent_of(name) == above;
    if (maker != tool::Maker::gone && (maker != tool::Maker::none || !fresh)) continue;
    const auto failed = [&](const Error& error) {
      if (error.code == ENOENT || error.code == ENODEV) return;
      left.failures.push_back(error);
      if (left.failures.back().group.empty()) left.failures.back().group = name;
    };
    const auto empty = is_empty(group);
    const auto rubbish =
        empty && *empty && maker == tool::Maker::none ? cut_off(hierarchies, group) : Result<bool>(empty);
    if (!rubbish) {
      failed(rubbish.error());
    } else if (*rubbish) {
      const auto gone = dry_run ? Result<>() : remove_group(group, Below::keep);
      gone ? left.removed.push_back(name) : failed(gone.error());
    } else if (*empty) {
      left.kept.push_back(name);
    }
  }
  return left;
}

}  // namespace cgx::launcher
