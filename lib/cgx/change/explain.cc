// SPDX-License-Identifier: Apache-2.0
#include "cgx/change/explain.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <net/if.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/change/explain_parts.h"
#include "cgx/change/online.h"
#include "cgx/change/why_cpu.h"
#include "cgx/sys/text.h"

namespace cgx {

std::string text_of(const Cgroup& group, const Hierarchy& h, std::string_view file) {
  const auto text = group.read(h, file);
  return text ? std::string(sys::trim(*text)) : std::string();
}

// Who may: the owner and mode of the file, for EACCES and EPERM. In a user namespace the kernel answers numbers of that
// namespace, and one number for every owner that it does not map: those say nothing to who started from outside.
std::string rights(const Hierarchy& h, std::string_view group, std::string_view file) {
  const std::string path = h.path(group, file);
  struct stat st{};
  if (lstat(path.c_str(), &st) != 0) return {};
  // Neither owner nor mode is the cause then, but a security module or a rule of the kernel.
  if (faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) == 0)
    return fmt::format("the kernel refuses it, although the owner and mode of {} allow it", path);
  const auto map = sys::read_path("/proc/self/uid_map");
  const std::string_view ids = map ? std::string_view(*map) : std::string_view();
  const auto caller = outer_id(ids, geteuid());
  const auto owner = outer_id(ids, st.st_uid);
  return fmt::format("{} {} with mode {:04o}; this is uid {}",
                     path,
                     owner ? fmt::format("belongs to uid {}", *owner) : "belongs to another user",
                     st.st_mode & 07777U,
                     caller.value_or(geteuid()));
}

bool is_root_of_host() {
  const auto map = sys::read_path("/proc/self/uid_map");
  return outer_id(map ? std::string_view(*map) : std::string_view(), geteuid()) == 0;
}

std::string hint_at_owner() {
  return is_root_of_host() ? std::string() : "root can hand a subtree over: cgx create NAME --owner USER";
}

std::optional<std::uint64_t> outer_id(std::string_view map, std::uint64_t id) {
  if (sys::trim(map).empty()) return id;  // no user namespaces, or none to look at
  for (const std::string_view line : sys::lines(map)) {
    const auto fields = sys::words(line);
    if (fields.size() != 3) continue;
    const auto inside = sys::parse_u64(fields[0]);
    const auto outside = sys::parse_u64(fields[1]);
    const auto count = sys::parse_u64(fields[2]);
    if (inside && outside && count && id >= *inside && id - *inside < *count) return *outside + (id - *inside);
  }
  return {};
}

namespace {

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

// The groups directly below; what cannot be listed has none to name.
std::vector<std::string> names_below(const Cgroup& group) {
  std::vector<std::string> names;
  if (const auto children = children_of(group))
    for (const std::string& child : *children) names.push_back(child_of(group.name(), child));
  return names;
}

// cpuset of v1, as validate_change() of kernel/cgroup/cpuset.c: subset of the parent, superset of the children, apart
// from exclusive siblings, not empty under processes. Flags are looked at as well.
std::string why_cpuset(const Cgroup& group, const Step& step, int code) {
  const Hierarchy& h = *step.hierarchy;
  const bool v1 = h.version() == Version::v1;
  const Cgroup parent(group.hierarchies(), std::string(parent_of(group.name())));
  if (v1 && step.file.ends_with("_exclusive")) {
    if (code == EACCES && sys::trim(step.text) == "1" && text_of(parent, h, step.file) == "0")
      return fmt::format("needs the same flag in the parent {}, which has 0", shown(parent.name()));
    if (code == EACCES || code == EBUSY)
      for (const std::string& name : names_below(group))
        if (text_of(Cgroup(group.hierarchies(), name), h, step.file) == "1")
          return fmt::format("is 1 in {} below it", name);
    if (code != EINVAL) return {};
  } else if (step.file != "cpuset.cpus" && step.file != "cpuset.mems") {
    return {};
  }
  const bool list = !step.file.ends_with("_exclusive");
  const bool mems = step.file.starts_with("cpuset.mem");
  const std::string_view list_file = mems ? "cpuset.mems" : "cpuset.cpus";
  const auto wanted = sys::IdSet::parse(list ? std::string(sys::trim(step.text)) : text_of(group, h, list_file));
  if (!wanted) return {};
  const std::string outer_text = text_of(parent, h, list_file);
  const auto outer = sys::IdSet::parse(outer_text);
  if (v1 && list && outer && !wanted->within(*outer))
    return fmt::format(
        "is outside the {} of its parent {}", outer_text.empty() ? "empty set" : outer_text, shown(parent.name()));
  if (code == ENOSPC && wanted->empty())
    if (const auto ids = tasks_of(group); ids && !ids->empty())
      return fmt::format(
          "would leave processes in the group without {}: {}", mems ? "memory nodes" : "CPUs", processes_in(group));
  if (code == EBUSY)
    for (const std::string& name : names_below(group)) {
      const auto used = sys::IdSet::parse(text_of(Cgroup(group.hierarchies(), name), h, list_file));
      if (used && !used->within(*wanted))
        return fmt::format("is less than the {} that {} below it uses", used->text(), name);
    }
  if (code == EINVAL && v1) {
    const std::string_view flag = mems ? "cpuset.mem_exclusive" : "cpuset.cpu_exclusive";
    const bool exclusive = (list ? text_of(group, h, flag) : std::string(sys::trim(step.text))) == "1";
    for (const std::string& name : names_below(parent)) {
      if (name == group.name()) continue;
      const Cgroup sibling(group.hierarchies(), name);
      const bool theirs = text_of(sibling, h, flag) == "1";
      const auto used = sys::IdSet::parse(text_of(sibling, h, list_file));
      if (!used || (!exclusive && !theirs) ||
          std::ranges::none_of(used->ids(), [&](unsigned id) { return wanted->contains(id); }))
        continue;
      return fmt::format(
          "overlaps the {} of {}, and {} is exclusive", used->text(), name, theirs ? name : group.name());
    }
  }
  return {};
}

std::string why_enable(const Cgroup& group, const Step& step, int code, std::string& hint) {
  if (code == EBUSY && step.text.find('+') != std::string::npos) {
    hint = fmt::format("move them to a group below first: cgx create {0}/leaf, then cgx move {0}/leaf PID...",
                       group.name().empty() ? "" : group.name());
    return fmt::format("cannot be enabled while processes are in {}: {}", shown(group.name()), processes_in(group));
  }
  if (code == EBUSY)
    for (const std::string& name : names_below(group)) {
      const std::string theirs = text_of(Cgroup(group.hierarchies(), name), *step.hierarchy, "cgroup.subtree_control");
      for (const std::string_view word : sys::split(sys::trim(step.text), ' '))
        for (const std::string_view used : sys::split(theirs, ' '))
          if (word.starts_with('-') && word.substr(1) == used)
            return fmt::format("is given on by {} below it (its cgroup.subtree_control has {})", name, used);
    }
  if (code == ENOENT)
    return fmt::format("is not among the controllers that {} has ({})",
                       shown(group.name()),
                       text_of(group, *step.hierarchy, "cgroup.controllers"));
  return {};
}

std::string why_memory(const Cgroup& group, const Step& step, int code, std::string& hint) {
  const Hierarchy& h = *step.hierarchy;
  const bool limit = step.file == "memory.limit_in_bytes";
  if (!limit && step.file != "memory.memsw.limit_in_bytes") return {};
  const auto number = [&](std::string_view file) { return sys::parse_u64(text_of(group, h, file)); };
  if (code == EBUSY) {
    const std::string_view stem = limit ? "memory." : "memory.memsw.";
    const auto used = number(fmt::format("{}usage_in_bytes", stem));
    const auto peak = number(fmt::format("{}max_usage_in_bytes", stem));
    if (used && peak) {
      hint = "end processes of the group first, or give a higher value; v1 never takes less than is in use";
      return fmt::format("is below the {} in use, which cannot be reclaimed (peak {})",
                         sys::format_size(*used),
                         sys::format_size(*peak));
    }
  }
  const auto other = number(limit ? "memory.memsw.limit_in_bytes" : "memory.limit_in_bytes");
  const auto wanted = sys::parse_u64(sys::trim(step.text));  // -1, no limit, is more than every number
  if (code != EINVAL || !other) return {};
  if (limit && (!wanted || *wanted > *other)) {
    hint = "give --memsw too";
    return fmt::format("is over memory.memsw.limit_in_bytes ({})", *other);
  }
  if (!limit && wanted && *wanted < *other) {
    hint = "--memsw is memory and swap together: at least as much as --mem (for swap alone: --swap)";
    return fmt::format("is below memory.limit_in_bytes ({})", *other);
  }
  return {};
}

// A line of a file of disks: whether `MAJ:MIN` is a disk at all, and a whole one.
std::string why_disk(std::string_view line, std::string& hint) {
  const std::string disk(line.substr(0, line.find(' ')));
  const std::string sysfs = fmt::format("/sys/dev/block/{}", disk);
  struct stat st{};
  if (stat(sysfs.c_str(), &st) != 0) return fmt::format("names the disk {}, which does not exist", disk);
  if (stat((sysfs + "/partition").c_str(), &st) != 0) return {};
  const auto whole = sys::read_path(sysfs + "/../dev");
  if (whole) hint = fmt::format("use {}, the disk that it is on", sys::trim(*whole));
  return fmt::format("names {}, a partition: the kernel limits whole disks only", disk);
}

std::string why_misc(const Cgroup& group, const Step& step) {
  const auto capacity = Cgroup(group.hierarchies(), "").read(*step.hierarchy, "misc.capacity");
  if (!capacity) return {};
  const std::string_view name = std::string_view(step.text).substr(0, step.text.find(' '));
  std::string names;
  for (const std::string_view line : sys::lines(*capacity)) {
    if (line.substr(0, line.find(' ')) == name) return {};
    names += (names.empty() ? "" : ", ") + std::string(line.substr(0, line.find(' ')));
  }
  return fmt::format("names {}, which this machine does not count (it has {})", name, names.empty() ? "none" : names);
}

std::string why_rdma(const Step& step) {
  const std::string device = step.text.substr(0, step.text.find(' '));
  struct stat st{};
  if (stat(fmt::format("/sys/class/infiniband/{}", device).c_str(), &st) == 0) return {};
  return fmt::format("names the RDMA device {}, which does not exist", device);
}

std::string why_device(const Cgroup& group, const Step& step, int code) {
  if (code == EINVAL && sys::trim(step.text).starts_with('a') && !names_below(group).empty())
    return "cannot be set while groups below exist (only single rules can)";
  // devcgroup_update_access() asks for CAP_SYS_ADMIN first, and then for the parent's list.
  if (code == EPERM && geteuid() == 0 && step.file == "devices.allow")
    return fmt::format("is not allowed: either the parent {} does not allow it, or this process lacks CAP_SYS_ADMIN",
                       shown(parent_of(group.name())));
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
  if (why.empty()) why = why_bandwidth(group, step, error.code, error.hint);
  if (why.empty() && step.file.starts_with("memory.")) why = why_memory(group, step, error.code, error.hint);
  if (why.empty() && (error.code == ENODEV || error.code == EINVAL) &&
      (step.file.starts_with("io.") || step.file.starts_with("blkio.")) && step.text.find(':') != std::string::npos)
    why = why_disk(step.text, error.hint);
  if (const std::string interface = step.text.substr(0, step.text.find(' '));
      why.empty() && step.file == "net_prio.ifpriomap" && if_nametoindex(interface.c_str()) == 0)
    why = fmt::format("names the interface {}, which does not exist", interface);
  if (why.empty() && step.file.starts_with("devices.")) why = why_device(group, step, error.code);
  if (why.empty() && step.file == "cpu.shares" && error.code == EINVAL) {
    if (group.name().empty()) {
      why = "the root has no shares";
    } else if (text_of(group, h, "cpu.idle") == "1") {
      why = "cannot be set while cpu.idle is 1";
      error.hint = "--cpu-idle=0 ends that";
    }
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
  if (why.empty() && step.file == "misc.max") why = why_misc(group, step);
  if (why.empty() && step.file == "rdma.max") why = why_rdma(step);
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
    const HostList list = host_list_of(*limit.knob);
    const Version version = home.hierarchy->version();
    const HostIds host = host_ids(list);
    const sys::IdSet& there = allowed_by(version, host);
    if (wanted && !there.empty() && !wanted->within(there)) {
      const std::string_view which = version == Version::v1 ? "online" : "possible";
      Error e = bad(fmt::format("is outside the {} {} {}", which, words_of(list), there.text()));
      if (list == HostList::cpus && sys::parse_u64(limit.given))
        e.hint =
            fmt::format("a list of CPUs by their numbers; for the time of {0} CPUs: --cpu-quota {0}00%", limit.given);
      return e;
    }
  }
  if (limit.knob->format == Format::size && limit.knob->kind == Kind::limit) {
    const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    const std::uint64_t n = std::get<std::uint64_t>(limit.value);
    if (n > 0 && n < page) return bad(fmt::format("is under a page ({} bytes), and the kernel would make it 0", page));
  }
  // The kernel counts whole huge pages, rounded down.
  if (limit.knob->format == Format::hugetlb && limit.knob->kind == Kind::limit)
    for (const TableRow& row : std::get<Table>(limit.value)) {
      const auto page = sys::parse_size(std::string_view(row.key).substr(0, row.key.find('B')));
      const std::uint64_t n = row.fields.empty() ? 0 : row.fields[0].second;
      if (page && n > 0 && n < *page)
        return bad(fmt::format("is less than one page of {}, and the kernel would make it 0", row.key));
    }
  return {};
}

std::optional<std::string> doubt(const Limit& limit) {
  if (limit.knob == nullptr) return {};
  if (const auto* list = std::get_if<std::string>(&limit.value))
    if (auto offline = all_offline(*limit.knob, *list)) return offline;
  if (limit.knob->format != Format::quota || limit.given.empty()) return {};
  const auto& quota = std::get<sys::Quota>(limit.value);
  const long cpus = sysconf(_SC_NPROCESSORS_CONF);
  // A count of CPUs alone is so easily mistaken: for one of percents, or, as in Docker, of microseconds.
  if (cpus <= 0 || quota.quota == sys::unlimited || quota.period != 0 || limit.given.ends_with('%') ||
      quota.quota / 100'000 < static_cast<std::uint64_t>(cpus) ||
      quota.quota == static_cast<std::uint64_t>(cpus) * 100'000)
    return {};
  const double count = static_cast<double>(quota.quota) / 100'000;
  const bool percent = count < 1000;
  const double meant = count / (percent ? 100 : 100'000);
  return fmt::format("\"{}\" is {} CPUs, more than the {} of this host; {}{} is {} {}",
                     limit.given,
                     count,
                     cpus,
                     count,
                     percent ? "%" : "/100000",
                     meant,
                     meant == 1 ? "CPU" : "CPUs");
}

}  // namespace cgx
