// SPDX-License-Identifier: Apache-2.0
// cgx move.
//
// --json: {"group": "web", "moved": [17, 18]}
#include <cerrno>
#include <optional>

#include <sched.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/place.h"
#include "cgx/cgroupfs/spared.h"
#include "cgx/change/explain.h"
#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

#include "groups.h"
#include "processes.h"

namespace cgx::tool {
namespace {

bool real_time(pid_t pid) {
  const int policy = sched_getscheduler(pid);
  return policy >= 0 && ((policy & ~SCHED_RESET_ON_FORK) == SCHED_FIFO || (policy & ~SCHED_RESET_ON_FORK) == SCHED_RR);
}

// What the kernel's errno means for this process and this group.
Error told(const Cgroup& group, pid_t pid, Tasks which, Error error) {
  error = explain_attach(group, std::move(error), pid);
  error.value = std::to_string(pid);
  if (error.knob == "cgroup.procs" || error.knob == "tasks" || error.knob == "cgroup.threads") error.knob.clear();
  if (error.code == ESRCH)
    error.what = which == Tasks::threads ? "there is no such thread" : "there is no such process";
  if (error.code == EINVAL && kernel_thread(pid)) {
    error.what = fmt::format("is a kernel thread ({}), which stays where it is", command_of(pid));
  } else if (error.code == EINVAL && real_time(pid)) {
    error.what =
        fmt::format("{} has a real-time policy, and the group has no real-time bandwidth (cpu.rt_runtime_us is 0)",
                    command_of(pid));
    error.hint = fmt::format("cgx set {} --cpu-rt 10ms/1s", shown(group.name()));
  }
  return error;
}

}  // namespace

Result<int> run_move(const Call& call) {
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  const Cgroup group(hierarchies, CGX_TRY(existing_name(hierarchies, call.words[0])));
  std::vector<pid_t> ids;
  for (std::size_t i = 1; i < call.words.size(); ++i) ids.push_back(CGX_TRY(parse_pid(call.words[i])));
  const Tasks which = call.on("threads") ? Tasks::threads : Tasks::processes;
  CGX_CHECK(group.require());
  CGX_CHECK(leave_to_systemd(group, ""));
  for (const pid_t pid : ids)
    if (const auto places = places_of(hierarchies, pid); !places)
      return std::unexpected(told(group, pid, which, places.error()));
  if (!call.on("force")) CGX_CHECK(check_spared(group, ids));
  if (call.dry_run) {
    std::string out;
    for (const pid_t pid : ids)
      for (const Hierarchy* h : group.present())
        out += fmt::format("{} <- {}\n", h->path(group.name(), tasks_file(*h, which)), pid);
    print_steps(call, out);
    return 0;
  }
  if (auto moved = attach_all(group, ids, which); !moved) {
    const pid_t pid = parse_pid(moved.error().value).value_or(ids.front());
    return std::unexpected(told(group, pid, which, std::move(moved).error()));
  }
  if (call.json) {
    sys::JsonWriter json;
    json.open_object().key("group").string(shown(group.name())).key("moved").open_array();
    for (const pid_t pid : ids) json.integer(pid);
    json.close_array().close_object();
    print(json.take() + "\n");
  }
  return 0;
}

}  // namespace cgx::tool
