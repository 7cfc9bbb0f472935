// SPDX-License-Identifier: Apache-2.0
// cgx doctor: what this process may do, where it runs, and who else manages groups.
#include <array>
#include <cerrno>

#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/place.h"
#include "cgx/cgroupfs/walk.h"
#include "cgx/change/slice.h"
#include "cgx/sys/text.h"

#include "doctor.h"

namespace cgx::tool {
namespace {

struct Capability {
  unsigned bit;
  std::string_view name;
  std::string_view without;
};

// clang-format off
constexpr std::array capabilities{
    Capability{0, "CAP_CHOWN", "--owner cannot give groups to others"},
    Capability{1, "CAP_DAC_OVERRIDE", "files of groups that belong to others cannot be written"},
    Capability{5, "CAP_KILL", "processes of others cannot be killed where the kernel has no cgroup.kill"},
    Capability{12, "CAP_NET_ADMIN", "--net-rate, and device programs on v2, do not work"},
    Capability{21, "CAP_SYS_ADMIN", "mount does not work"},
    Capability{24, "CAP_SYS_RESOURCE", "pressure triggers need a window that is a multiple of 2s"},
    Capability{38, "CAP_PERFMON", "stat --perf may not work"},
    Capability{39, "CAP_BPF", "device programs on v2 do not work"},
};
// clang-format on

Result<std::uint64_t> effective() {
  const std::string status = CGX_TRY(sys::read_path("/proc/self/status"));
  for (const std::string_view line : sys::lines(status))
    if (line.starts_with("CapEff:"))
      return sys::parse_any_base("0x" + std::string(sys::trim(line.substr(7))), ~0ULL).value_or(0);
  return 0;
}

void check_rights(Checks& checks, const Hierarchies* hierarchies) {
  const auto looked = effective();
  if (!looked) return could_not_look(checks, "rights", looked.error());
  const std::uint64_t have = *looked;
  if (geteuid() != 0 && have == 0) {
    std::string where;
    if (hierarchies != nullptr)
      if (const auto places = places_of(*hierarchies, 0))
        for (const Place& p : *places)
          if (!p.group.starts_with("..") && access(p.hierarchy->path(p.group, "cgroup.procs").c_str(), W_OK) == 0)
            where += fmt::format("{}{}", where.empty() ? "" : ", ", p.hierarchy->path(p.group));
    checks.push_back({Level::warn,
                      "rights",
                      fmt::format("not root (uid {}): groups can be made in a delegated subtree alone{}",
                                  geteuid(),
                                  where.empty() ? "" : "; this process's own: " + where),
                      "root runs cgx create NAME --owner USER, or systemd-run --user --scope -p Delegate=yes"});
    return;
  }
  // One without CAP_SYS_ADMIN has no need of the two that it stands for.
  const bool admin = (have >> 21U & 1U) != 0;
  std::string list;
  for (const Capability& c : capabilities) {
    if ((have >> c.bit & 1U) != 0) continue;
    if (admin && (c.bit == 38 || c.bit == 39)) continue;
    checks.push_back({Level::warn,
                      std::string(c.name),
                      fmt::format("missing: {}", c.without),
                      "run cgx with it, or outside the container"});
    list += list.empty() ? "" : ", ";
    list += c.name;
  }
  if (list.empty()) checks.push_back({Level::ok, "rights", "all capabilities that cgx can use", ""});
}

// Inode numbers of the first namespaces (include/linux/proc_ns.h).
struct Namespace {
  std::string_view name;
  ino_t first;
  std::string_view meaning;
};

// clang-format off
constexpr std::array namespaces{
    Namespace{"cgroup", 0xEFFFFFFBU, "the root that is seen here is a group of the host: limits above it are hidden"},
    Namespace{"user", 0xEFFFFFFDU, "rights hold only for what belongs to this namespace"},
    Namespace{"pid", 0xEFFFFFFCU, "processes of other namespaces cannot be named or signalled"},
};
// clang-format on

void check_namespaces(Checks& checks) {
  bool first = true;
  for (const Namespace& n : namespaces) {
    struct stat st{};
    const bool seen = stat(fmt::format("/proc/self/ns/{}", n.name).c_str(), &st) == 0;
    const int code = errno;
    if (seen ? st.st_ino == n.first : code == ENOENT) continue;  // ENOENT: the kernel has no such namespaces
    first = false;
    if (!seen) {
      could_not_look(checks, fmt::format("{} namespace", n.name), fail_errno(code, "/proc/self/ns").error());
      continue;
    }
    checks.push_back({Level::warn,
                      fmt::format("{} namespace", n.name),
                      fmt::format("not the host's: {}", n.meaning),
                      "run cgx on the host for the whole picture"});
  }
  if (first) checks.push_back({Level::ok, "namespaces", "cgroup, user and pid namespaces are the host's", ""});
}

constexpr const char* settings_file = "/etc/cgx/cgxd.yaml";

// What cgxd.yaml says about the manager; only that one plain line, since this program has no YAML in it.
Result<std::string> manager_setting() {
  const auto text = sys::read_path(settings_file);
  if (!text && text.error().code != ENOENT) return fail_errno(text.error().code, settings_file);
  const std::string settings = text ? *text : std::string();
  for (const std::string_view line : sys::lines(settings))
    if (line.starts_with("manager:")) {
      const auto words = sys::words(line.substr(8));
      if (!words.empty()) return std::string(words[0]);
    }
  return "auto";
}

void check_manager(Checks& checks) {
  const auto looked = manager_setting();
  if (!looked) return could_not_look(checks, "manager", looked.error());
  const std::string& setting = *looked;
  const bool booted = systemd_is_manager();
  const std::string why = setting == "systemd" || setting == "cgroupfs"
                              ? "as /etc/cgx/cgxd.yaml says"
                              : (booted ? "since systemd is PID 1" : "since systemd is not PID 1");
  if (setting == "systemd" && !booted) {
    checks.push_back({Level::fail,
                      "manager",
                      "/etc/cgx/cgxd.yaml wants systemd to make the groups, and it is not PID 1",
                      "manager: auto"});
    return;
  }
  const bool systemd = setting == "systemd" || (setting != "cgroupfs" && booted);
  checks.push_back({Level::ok,
                    "manager",
                    systemd ? fmt::format("groups of policies are slices of systemd, {}", why)
                            : fmt::format("groups of policies are made in the cgroup file systems, {}", why),
                    "cgxd --manager, or manager: in /etc/cgx/cgxd.yaml, overrides"});
}

void check_systemd(Checks& checks, const Hierarchies* hierarchies) {
  const bool running = systemd_is_manager();
  if (!running) {
    checks.push_back({Level::ok, "systemd", "is not the manager here: all groups are free to change", ""});
    return;
  }
  std::string own;
  std::size_t count = 0;
  if (hierarchies != nullptr) {
    const auto listed = walk(Cgroup(*hierarchies, ""), Depth::children);
    if (!listed) return could_not_look(checks, "systemd", listed.error());
    for (const Listed& l : *listed) {
      if (!l.name.ends_with(".slice") && !l.name.ends_with(".scope") && !l.name.ends_with(".service")) continue;
      ++count;
      if (count <= 6) own += fmt::format("{}{}", own.empty() ? "" : ", ", l.name);
    }
  }
  if (count > 6) own += fmt::format(" and {} more", count - 6);
  checks.push_back({Level::ok,
                    "systemd",
                    fmt::format("is PID 1 and owns {}", own.empty() ? "no group yet" : own),
                    "change those by systemctl set-property; cgx changes all others, and what has Delegate=yes"});
}

}  // namespace

void check_process(Checks& checks, const Hierarchies* hierarchies) {
  check_rights(checks, hierarchies);
  check_namespaces(checks);
  check_systemd(checks, hierarchies);
  check_manager(checks);
}

}  // namespace cgx::tool
