// SPDX-License-Identifier: Apache-2.0
#include "gc_exec.h"

#include <cerrno>
#include <string_view>

#include <signal.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/sys/text.h"

namespace cgx::launcher {
namespace {

// cgx-exec-PID or cgx-exec-PID-N, as `cgx exec` names them; 0: another name.
pid_t maker_of(std::string_view name) {
  constexpr std::string_view prefix = "cgx-exec-";
  if (!name.starts_with(prefix)) return 0;
  name.remove_prefix(prefix.size());
  const std::size_t dash = name.find('-');
  if (dash != std::string_view::npos && !sys::parse_u64(name.substr(dash + 1))) return 0;
  const auto pid = sys::parse_u64(name.substr(0, dash), 1, 0x7fffffff);
  return pid ? static_cast<pid_t>(*pid) : 0;
}

}  // namespace

// The maker may live in another pid namespace, where its number means nothing here: an empty group that is taken from
// it before its command has joined is made again by it.
std::vector<std::string> left_by_exec(bool dry_run) {
  std::vector<std::string> gone;
  const auto hierarchies = Hierarchies::discover();
  if (!hierarchies) return gone;
  const auto names = children_of(Cgroup(*hierarchies, ""));
  if (!names) return gone;
  for (const std::string& name : *names) {
    const pid_t maker = maker_of(name);
    if (maker == 0 || ::kill(maker, 0) == 0 || errno != ESRCH) continue;
    const Cgroup group(*hierarchies, name);
    const auto ids = tasks_below(group);
    const auto below = children_of(group);
    if (!ids || !ids->empty() || !below || !below->empty()) continue;
    if (dry_run || remove_group(group, Below::keep)) gone.push_back(name);
  }
  return gone;
}

}  // namespace cgx::launcher
