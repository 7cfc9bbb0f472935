// SPDX-License-Identifier: Apache-2.0
#include "cgx/change/explain.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

std::string text_of(const Cgroup& group, const Hierarchy& h, std::string_view file) {
  const auto text = group.read(h, file);
  return text ? std::string(sys::trim(*text)) : std::string();
}

// Who may: the owner and mode of the file, for EACCES and EPERM.
std::string rights(const Hierarchy& h, std::string_view group, std::string_view file) {
  const std::string path = h.path(group, file);
  struct stat st{};
  if (lstat(path.c_str(), &st) != 0) return {};
  return fmt::format(
      "{} belongs to uid {} with mode {:04o}; this is uid {}", path, st.st_uid, st.st_mode & 07777U, geteuid());
}

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
    error.hint = "root can hand a subtree over: cgx create NAME --owner USER";
    return;
  }
  const Hierarchy* v2 = group.hierarchies().unified();
  if (v2 == nullptr) return;
  const std::string above = common_group(v2_group_of(pid), group.name());
  error.what = fmt::format("this user may not move a process from {} there: {}",
                           shown(v2_group_of(pid)),
                           rights(*v2, above, "cgroup.procs"));
  error.hint = fmt::format("root can bring a shell in once: cgx move {} PID; from there it goes on", group.name());
}

// cpuset: the list against parent, children and siblings.
std::string why_cpuset(const Cgroup& group, const Step& step, int code) {
  const Hierarchy& h = *step.hierarchy;
  const Cgroup parent(group.hierarchies(), std::string(parent_of(group.name())));
  const auto wanted = sys::IdSet::parse(sys::trim(step.text));
  const std::string outer_text = text_of(parent, h, step.file);
  const auto outer = sys::IdSet::parse(outer_text);
  if (wanted && outer && h.version() == Version::v1 && !wanted->within(*outer))
    return fmt::format(
        "is outside the {} of its parent {}", outer_text.empty() ? "empty set" : outer_text, shown(parent.name()));
  if (code == ENOSPC) return "would leave the processes in the group without CPUs or memory nodes";
  if (code == EBUSY && wanted)
    if (const auto children = children_of(group))
      for (const std::string& child : *children) {
        const Cgroup inner(group.hierarchies(), child_of(group.name(), child));
        const auto used = sys::IdSet::parse(text_of(inner, h, step.file));
        if (used && !used->within(*wanted))
          return fmt::format("is less than the {} that {} below it uses", used->text(), inner.name());
      }
  if (code == EINVAL && h.version() == Version::v1) return "overlaps a sibling group, and one of the two is exclusive";
  return {};
}

double ratio(const Cgroup& group, const Hierarchy& h) {
  const auto quota = sys::parse_u64(text_of(group, h, "cpu.cfs_quota_us"));  // -1 does not parse: no limit
  const auto period = sys::parse_u64(text_of(group, h, "cpu.cfs_period_us"));
  return quota && period && *period != 0 ? static_cast<double>(*quota) / static_cast<double>(*period) : 0;
}

// v1: no child may have more bandwidth than its parent.
std::string why_bandwidth(const Cgroup& group, const Step& step) {
  const Hierarchy& h = *step.hierarchy;
  if (h.version() == Version::v2) return {};
  if (step.file.starts_with("cpu.cfs_")) {
    for (std::string_view name = parent_of(group.name());; name = parent_of(name)) {
      const double most = ratio(Cgroup(group.hierarchies(), std::string(name)), h);
      if (most > 0)
        return fmt::format(
            "must lie between the quotas of the groups below and the {:.4g}% of {} above", most * 100, shown(name));
      if (name.empty()) break;
    }
    if (step.file == "cpu.cfs_burst_us")
      return fmt::format("is over the quota of {} us", text_of(group, h, "cpu.cfs_quota_us"));
    return "is less than the quota of a group below it";
  }
  if (step.file.starts_with("cpu.rt_")) {
    const Cgroup parent(group.hierarchies(), std::string(parent_of(group.name())));
    return fmt::format("is more than is left of the parent's real-time bandwidth ({} has {} of {} us)",
                       shown(parent.name()),
                       text_of(parent, h, "cpu.rt_runtime_us"),
                       text_of(parent, h, "cpu.rt_period_us"));
  }
  return {};
}

std::string processes_in(const Cgroup& group) {
  const auto ids = tasks_of(group);
  if (!ids || ids->empty()) return "processes";
  std::string list;
  for (std::size_t i = 0; i < ids->size() && i < 4; ++i) {
    const auto comm = sys::read_path(fmt::format("/proc/{}/comm", (*ids)[i]));
    list += fmt::format("{}{} ({})", i == 0 ? "" : ", ", (*ids)[i], comm ? sys::trim(*comm) : "?");
  }
  if (ids->size() > 4) list += fmt::format(" and {} more", ids->size() - 4);
  return list;
}

std::string why_enable(const Cgroup& group, const Step& step, int code, std::string& hint) {
  if (code == EBUSY && step.text.find('+') != std::string::npos) {
    hint = fmt::format("move them to a group below first: cgx create {0}/leaf, then cgx move {0}/leaf PID...",
                       group.name().empty() ? "" : group.name());
    return fmt::format("cannot be enabled while processes are in {}: {}", shown(group.name()), processes_in(group));
  }
  if (code == EBUSY) return "is in use by a group below";
  if (code == ENOENT)
    return fmt::format("is not among the controllers that {} has ({})",
                       shown(group.name()),
                       text_of(group, *step.hierarchy, "cgroup.controllers"));
  return {};
}

std::string why_memory(const Cgroup& group, const Step& step, int code, std::string& hint) {
  const Hierarchy& h = *step.hierarchy;
  if (code == EBUSY)
    return fmt::format("is below the {} in use, which cannot be reclaimed (peak {})",
                       sys::format_size(sys::parse_u64(text_of(group, h, "memory.usage_in_bytes")).value_or(0)),
                       sys::format_size(sys::parse_u64(text_of(group, h, "memory.max_usage_in_bytes")).value_or(0)));
  if (code == EINVAL && step.file == "memory.limit_in_bytes") {
    hint = "give --memsw too";
    return fmt::format("is over memory.memsw.limit_in_bytes ({})", text_of(group, h, "memory.memsw.limit_in_bytes"));
  }
  if (code == EINVAL && step.file == "memory.memsw.limit_in_bytes") {
    hint = "give --mem too";
    return fmt::format("is below memory.limit_in_bytes ({})", text_of(group, h, "memory.limit_in_bytes"));
  }
  return {};
}

}  // namespace

Error explain_write(const Cgroup& group, const Step& step, Error error) {
  const Hierarchy& h = *step.hierarchy;
  if (!step.given.empty()) error.value = step.given;
  std::string why;
  if (error.code == ENOENT || (error.code == EACCES && group.name().empty())) {
    const auto dir = group.dir(h);
    if (!dir) {
      why = "the group is gone";
    } else if (!sys::exists(*dir, step.file)) {
      why = group.name().empty() ? "the root group has no such file" : "this kernel has no such file";
      if (const Knob* knob = find_knob(step.file); knob != nullptr && step.knob == nullptr && !knob->flag.empty())
        error.hint = fmt::format("--{} sets it on both cgroup versions", knob->flag);
    }
  }
  if (step.verb == Verb::enable || step.file == "cgroup.subtree_control")
    why = why_enable(group, step, error.code, error.hint);
  if (why.empty() && step.file.starts_with("cpuset.")) why = why_cpuset(group, step, error.code);
  if (why.empty() && error.code == EINVAL && step.file.starts_with("cpu.")) why = why_bandwidth(group, step);
  if (why.empty() && step.file.starts_with("memory.")) why = why_memory(group, step, error.code, error.hint);
  if (why.empty() && (error.code == ENODEV || (error.code == EINVAL && step.file == "io.max")) &&
      step.file.find('.') != std::string::npos && step.file != "rdma.max")
    why = step.file.starts_with("net_prio")
              ? "names an interface that is not there"
              : "names no whole disk that this kernel limits (partitions have no limits of their own)";
  if (why.empty() && step.file.starts_with("devices.")) {
    if (error.code == EPERM) why = fmt::format("is more than the parent {} allows", shown(parent_of(group.name())));
    if (error.code == EINVAL) why = "cannot be set while groups below exist (only single rules can)";
  }
  if (why.empty() && step.file == "cpu.shares" && error.code == EINVAL) {
    why = group.name().empty() ? "the root has no shares" : "cannot be set while cpu.idle is 1";
    if (!group.name().empty()) error.hint = "--cpu-idle=0 ends that";
  }
  const std::string disk = step.text.substr(0, step.text.find(' '));
  if (why.empty() && error.code == EOPNOTSUPP && step.file == "io.weight") {
    why = fmt::format("needs io.cost on disk {}", disk);
    error.hint = fmt::format("echo '{} enable=1' >{}", disk, h.path("", "io.cost.qos"));
  }
  if (why.empty() && error.code == EOPNOTSUPP && step.file.find("bfq.weight") != std::string::npos) {
    why = fmt::format("needs the IO scheduler bfq on disk {}", disk);
    error.hint = fmt::format("echo bfq >/sys/dev/block/{}/queue/scheduler", disk);
  }
  if (why.empty() && (error.code == EACCES || error.code == EPERM || error.code == EROFS))
    why = rights(h, group.name(), step.file);
  if (step.verb == Verb::enable && (error.code == EACCES || error.code == EPERM) && step.text.starts_with('+'))
    error.hint = fmt::format("root can give it to the groups in {}: cgx create NAME --exist-ok --controllers {}",
                             shown(group.name()),
                             step.text.substr(1, step.text.find(' ') - 1));
  if (why.empty() && step.file == "misc.max")
    why = "names no resource that this machine counts (misc.capacity of the root lists them)";
  if (why.empty() && step.file == "rdma.max") why = "names no RDMA device that is there, or no resource of one";
  if (why.empty() && error.code == ERANGE) why = "is out of the range that the kernel takes";
  if (why.empty() && error.code == EINVAL) why = "is refused by the kernel as invalid";
  if (!why.empty()) error.what = std::move(why);
  return error;
}

Error explain_rights(const Cgroup& group, Error error) {
  const auto controller = controller_of_file(error.knob);
  if ((error.code != EACCES && error.code != EPERM && error.code != EROFS) || !controller) return error;
  const Hierarchy* h = group.home(*controller, error.knob);
  const std::string why = h != nullptr ? rights(*h, group.name(), error.knob) : std::string();
  if (!why.empty()) error.what = why;
  return error;
}

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
      error.hint = "root can hand a subtree over: cgx create NAME --owner USER";
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

Error explain_attach(const Cgroup& group, Error error, pid_t pid) {
  error.group = shown(group.name());
  const Hierarchy* cpuset = group.hierarchies().of(Controller::cpuset);
  const Hierarchy* v2 = group.hierarchies().unified();
  switch (error.code) {
    case ENOSPC:
      if (cpuset != nullptr && cpuset->version() == Version::v1) {
        error.knob = text_of(group, *cpuset, "cpuset.cpus").empty() ? "cpuset.cpus" : "cpuset.mems";
        error.what = "is empty, so that no process can join";
        error.hint = fmt::format("cgx set {} --cpus LIST", group.name());
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
      error.what =
          "it is a threaded group or in an invalid domain (cgroup.type): only threads of its own domain can move there";
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

std::optional<Error> foresee(const Limit& limit, const Home& home) {
  const auto bad = [&](std::string what) {
    return Error{.code = EINVAL,
                 .what = std::move(what),
                 .knob = std::string(home.backing->files[0]),
                 .value = limit.given,
                 .fault = Fault::usage};
  };
  if (limit.knob->format == Format::list) {
    const auto wanted = sys::IdSet::parse(std::get<std::string>(limit.value));
    const bool cpus = limit.knob->name.find("cpus") != std::string_view::npos;
    const auto online = sys::read_path(cpus ? "/sys/devices/system/cpu/online" : "/sys/devices/system/node/online");
    const auto there = sys::IdSet::parse(sys::trim(online ? *online : (cpus ? "" : "0")));
    if (wanted && there && !there->empty() && !wanted->within(*there))
      return bad(fmt::format("is outside the online {} {}", cpus ? "CPUs" : "memory nodes", there->text()));
  }
  if (limit.knob->format == Format::size && limit.knob->kind == Kind::limit) {
    const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    const std::uint64_t n = std::get<std::uint64_t>(limit.value);
    if (n > 0 && n < page) return bad(fmt::format("is under a page ({} bytes), and the kernel would make it 0", page));
  }
  return {};
}

}  // namespace cgx
