// SPDX-License-Identifier: Apache-2.0
#include "gc_exec.h"

#include <cerrno>
#include <string_view>

#include "cgx/cgroupfs/tasks.h"

#include "tools/exec_note.h"

namespace cgx::launcher {
namespace {

// ENOENT: it has gone meanwhile.
Result<bool> is_empty(const Cgroup& group) {
  return CGX_TRY(tasks_below(group)).empty() && CGX_TRY(children_of(group)).empty();
}

}  // namespace

Result<LeftByExec> left_by_exec(bool dry_run) {
  LeftByExec left;
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  const std::string above = tool::above_fresh(hierarchies);
  for (const std::string& child : CGX_TRY(children_of(Cgroup(hierarchies, above)))) {
    if (!child.starts_with("cgx-exec-")) continue;
    const std::string name = child_of(above, child);
    const Cgroup group(hierarchies, name);
    const tool::Maker maker = tool::maker_of(group);
    if (maker != tool::Maker::gone && maker != tool::Maker::none) continue;
    const auto failed = [&](const Error& error) {
      if (error.code == ENOENT || error.code == ENODEV) return;
      left.failures.push_back(error);
      if (left.failures.back().group.empty()) left.failures.back().group = name;
    };
    const auto empty = is_empty(group);
    if (!empty) {
      failed(empty.error());
    } else if (*empty && maker == tool::Maker::none) {
      left.kept.push_back(name);
    } else if (*empty) {
      const auto gone = dry_run ? Result<>() : remove_group(group, Below::keep);
      gone ? left.removed.push_back(name) : failed(gone.error());
    }
  }
  return left;
}

}  // namespace cgx::launcher
