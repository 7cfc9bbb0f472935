// SPDX-License-Identifier: Apache-2.0
// Why a group could not be made, joined or removed.
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/presence.h"
#include "cgx/change/explain.h"
#include "cgx/change/explain_parts.h"
#include "cgx/change/thread_root.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

// The group of a process (0: this one) in the v2 tree.
std::string v2_group_of(pid_t pid) {
  const auto text = sys::read_path(pid == 0 ? "/proc/self/cgroup" : fmt::format("/proc/{}/cgroup", pid));
  if (text)
    for (const std::string_view line : sys::lines(*text))
      if (line.starts_with("0::/")) return std::string(sys::trim(line.substr(4)));
  return {};
}

// The group above both.
std::string common_group(std::string_view a, std::string_view b) {
  std::string common;
  const auto parts_a = sys::split(a, '/');
  const auto parts_b = sys::split(b, '/');
  for (std::size_t i = 0; i < parts_a.size() && i < parts_b.size() && parts_a[i] == parts_b[i]; ++i)
    common += (common.empty() ? "" : "/") + std::string(parts_a[i]);
  return common;
}

// Which file keeps this user from moving a process into `group`. The group's own come first; on v2 also the one of the
// group above both the old place and the new has to be writable.
void why_not_attach(const Cgroup& group, pid_t pid, Error& error) {
  error.what = "this user may not move processes there";
  for (const Hierarchy* h : group.present()) {
    const std::string_view file = h->version() == Version::v2 ? "cgroup.procs" : "tasks";
    if (faccessat(AT_FDCWD, h->path(group.name(), file).c_str(), W_OK, AT_EACCESS) == 0) continue;
    error.what += ": " + rights(*h, group.name(), file);
    error.hint = hint_at_owner();
    return;
  }
  const Hierarchy* v2 = group.hierarchies().unified();
  if (v2 == nullptr) return;
  const std::string above = common_group(v2_group_of(pid), group.name());
  error.what = fmt::format("this user may not move a process from {} there: {}",
                           shown(v2_group_of(pid)),
                           rights(*v2, above, "cgroup.procs"));
  // The group itself may have been made for this alone, and be gone when the hint is read. What was handed over is the
  // topmost group of this user.
  std::string_view handed = group.name();
  for (std::string_view up = parent_of(handed); !up.empty(); up = parent_of(up)) {
    if (faccessat(AT_FDCWD, v2->path(up, "cgroup.procs").c_str(), W_OK, AT_EACCESS) != 0) break;
    handed = up;
  }
  if (!is_root_of_host())
    error.hint = fmt::format("root can bring a shell in once: cgx move {} PID; from there it goes on", handed);
}

}  // namespace

Error explain_create(const Hierarchies& hierarchies, std::string_view group, const Hierarchy& h, Error error) {
  error.group = group;
  switch (error.code) {
    case EEXIST:
      error.what = fmt::format("is already there ({})", h.path(group));
      error.hint = "cgx set changes its limits; --exist-ok takes it as it is";
      break;
    case EACCES:
    case EPERM:
      error.what = fmt::format("may not be made: {}", rights(h, parent_of(group), ""));
      error.hint = hint_at_owner();
      break;
    case EROFS:
      error.what = fmt::format("may not be made: {} is mounted read only", h.dir());
      error.hint = "so it is in containers; cgx-container(1) says how one can have groups";
      break;
    case EAGAIN: {
      for (std::string_view name = parent_of(group);; name = parent_of(name)) {
        const Cgroup up(hierarchies, std::string(name));
        for (const std::string_view file : {"cgroup.max.depth", "cgroup.max.descendants"})
          if (const std::string limit = text_of(up, h, file); !limit.empty() && limit != "max") {
            error.knob = file;
            error.what = fmt::format("{} of {} is {}", file, shown(name), limit);
            return error;
          }
        if (name.empty()) break;
      }
      error.what = "the limit of a group above on levels or number of groups is reached";
      break;
    }
    case EXDEV:
      error = hidden_by_mount(h, group);
      break;
    case ENOSPC:
    case ENOMEM:
      error.what = fmt::format("mkdir in {}: no more groups (removed memory groups linger until their pages are gone)",
                               h.label());
      break;
    default:
      error.what = fmt::format("mkdir in {}: {}", h.label(), error.what);
  }
  return error;
}

namespace {

Error why_no_attach(const Cgroup& group, Error error, pid_t pid) {
  error.group = shown(group.name());
  const Hierarchy* cpuset = group.hierarchies().of(Controller::cpuset);
  const Hierarchy* v2 = group.hierarchies().unified();
  switch (error.code) {
    case ENOSPC:
      if (cpuset != nullptr && cpuset->version() == Version::v1) {
        for (const std::string_view file : {"cpuset.cpus", "cpuset.mems"}) {
          const auto list = group.read(*cpuset, file);
          if (!list || !sys::trim(*list).empty()) continue;
          error.knob = file;
          error.what = "is empty, so that no process can join";
          error.hint = fmt::format("cgx set {} --{} LIST", group.name(), file.substr(file.find('.') + 1));
          break;
        }
      }
      break;
    case EBUSY:
      if (v2 != nullptr) {
        error.knob = "cgroup.subtree_control";
        error.what = fmt::format(
            "gives {} to groups below, so that no process can be in it (v2's rule of no internal processes)",
            text_of(group, *v2, "cgroup.subtree_control"));
        error.hint = fmt::format("use a group below it: cgx create {}/leaf", group.name());
      }
      break;
    case EACCES:
    case EPERM:
      why_not_attach(group, pid, error);
      break;
    case EINVAL:
      error.what =
          "the kernel refuses to move it (a kernel thread, or a real-time process into a group without cpu.rt time)";
      break;
    case EOPNOTSUPP:
      error.what = why_invalid_domain(group, error.hint);
      if (error.what.empty())
        error.what =
            "it is a threaded group or in an invalid domain (cgroup.type): only threads of its own domain can move "
            "there";
      break;
    case ESRCH:
      error.what = "there is no such process";
      break;
    case ENOENT:
      // Where cgroup2 is mounted with nsdelegate, both have to be in the caller's namespace. A group that was removed
      // has no files any more.
      if (const auto dir = v2 != nullptr ? group.dir(*v2) : Result<int>(-1); dir && sys::exists(*dir, "cgroup.procs")) {
        error.what = "it, or the process that is to join it, is outside of the caller's cgroup namespace";
        error.hint = "a container that has the groups of the host needs --cgroupns host";
      }
      break;
    default:
      break;
  }
  return error;
}

}  // namespace

Error explain_attach(const Cgroup& group, Error error, pid_t pid) {
  const std::string noted = std::exchange(error.hint, {});  // as where processes stay that could not go back
  error = why_no_attach(group, std::move(error), pid);
  if (!noted.empty()) error.hint += (error.hint.empty() ? "" : "; ") + noted;
  return error;
}

Error explain_remove(const Cgroup& group, Error error) {
  if (error.code != EACCES && error.code != EPERM) return error;
  for (const Hierarchy* h : group.present()) {
    const std::string above(parent_of(group.name()));
    if (faccessat(AT_FDCWD, h->path(above).c_str(), W_OK, AT_EACCESS) == 0) continue;
    error.what = "may not be removed: " + rights(*h, above, "");
    return error;
  }
  return error;
}

Error explain_exec(const Cgroup& group, Error error) {
  if (error.code != ENOMEM) return error;
  constexpr std::uint64_t least = 1U << 20U;  // what is less than this is no room for a program
  for (std::string_view name = group.name(); !name.empty(); name = parent_of(name)) {
    const Cgroup here(group.hierarchies(), std::string(name));
    const Knob* knob = find_knob("memory.max");
    const auto home = home_of(group.hierarchies(), *knob);
    if (!home) break;
    const auto value = read_knob(here, *knob);
    const auto* limit = value && *value ? std::get_if<std::uint64_t>(&**value) : nullptr;
    const bool v1 = home->hierarchy->version() == Version::v1;
    const auto used = sys::parse_u64(text_of(here, *home->hierarchy, v1 ? "memory.usage_in_bytes" : "memory.current"));
    if (limit == nullptr || *limit == sys::unlimited || (*limit >= least && used.value_or(0) < *limit - least))
      continue;
    error.what += fmt::format(": {} of {} is {}", home->backing->files[0], name, sys::format_size(*limit));
    error.hint = fmt::format("a program needs more: a higher --mem for {}", name);
    break;
  }
  return error;
}

}  // namespace cgx
