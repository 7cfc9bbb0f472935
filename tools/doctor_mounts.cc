// SPDX-License-Identifier: Apache-2.0
// cgx doctor: mounts and controllers.
#include <algorithm>
#include <array>
#include <cerrno>

#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zlib.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/cgroup.h"
#include "cgx/sys/text.h"

#include "doctor.h"

namespace cgx::tool {
namespace {

struct Needs {
  Controller controller;
  bool common;  // missing is worth a warning: most limits need it
  std::string_view option, v1_option;
};

// clang-format off
constexpr std::array needs{
    Needs{Controller::cpu, true, "CGROUP_SCHED", "CGROUP_SCHED"},
    Needs{Controller::cpuset, true, "CPUSETS", "CPUSETS_V1"},
    Needs{Controller::memory, true, "MEMCG", "MEMCG_V1"},
    Needs{Controller::io, true, "BLK_CGROUP", "BLK_CGROUP"},
    Needs{Controller::pids, true, "CGROUP_PIDS", "CGROUP_PIDS"},
    Needs{Controller::devices, true, "CGROUP_BPF", "CGROUP_DEVICE"},
    Needs{Controller::freezer, true, "CGROUPS", "CGROUP_FREEZER"},
    Needs{Controller::cpuacct, true, "CGROUP_SCHED", "CGROUP_CPUACCT"},
    Needs{Controller::hugetlb, false, "CGROUP_HUGETLB", "CGROUP_HUGETLB"},
    Needs{Controller::net_cls, false, "CGROUP_BPF", "CGROUP_NET_CLASSID"},
    Needs{Controller::net_prio, false, "CGROUP_BPF", "CGROUP_NET_PRIO"},
    Needs{Controller::perf_event, false, "CGROUP_PERF", "CGROUP_PERF"},
    Needs{Controller::rdma, false, "CGROUP_RDMA", "CGROUP_RDMA"},
    Needs{Controller::misc, false, "CGROUP_MISC", "CGROUP_MISC"},
};
// clang-format on

enum class Known : std::uint8_t { absent, disabled, there };

// What /proc/cgroups says of a v1 controller.
Result<Known> kernel_has(std::string_view v1_name) {
  const auto read = sys::read_path("/proc/cgroups");
  if (!read && read.error().code == ENOENT) return Known::absent;  // a kernel without v1
  const std::string text = CGX_TRY(read);
  for (const std::string_view line : sys::lines(text)) {
    const auto fields = sys::words(line);
    if (fields.size() == 4 && fields[0] == v1_name) return fields[3] == "1" ? Known::there : Known::disabled;
  }
  return Known::absent;
}

std::string config_text(const KernelConfig& config, std::string_view option) {
  const auto value = config.value(option);
  if (!value) return fmt::format("it needs CONFIG_{}", option);
  if (*value == 'n') return fmt::format("build the kernel with CONFIG_{}=y", option);
  return fmt::format("the kernel has CONFIG_{}; look for cgroup_disable= in /proc/cmdline", option);
}

void check_hierarchy(Checks& checks, const Hierarchy& h) {
  struct statvfs st{};
  if (statvfs(h.dir().c_str(), &st) != 0)
    could_not_look(checks, "mount " + h.label(), fail_errno(errno, h.dir()).error());
  else if ((st.f_flag & ST_RDONLY) != 0)
    checks.push_back({geteuid() == 0 ? Level::fail : Level::warn,
                      "mount " + h.label(),
                      fmt::format("{} is mounted read only: nothing can be changed", h.dir()),
                      fmt::format("mount -o remount,rw {}", h.dir())});
  // Relative to this cgroup namespace: it begins below the mount's root.
  if (h.mount().root.starts_with("/.."))
    checks.push_back({Level::warn,
                      "mount " + h.label(),
                      fmt::format("{} shows more of its hierarchy than this cgroup namespace has", h.dir()),
                      "the groups of its own processes cannot be named from here: run cgx in the cgroup namespace that "
                      "the mounts are of, or mount cgroups anew in this one"});
  else if (h.mount().root != "/")
    checks.push_back({Level::warn,
                      "mount " + h.label(),
                      fmt::format("{} shows only the subtree {} of its hierarchy", h.dir(), h.mount().root),
                      "limits above it cannot be seen: cgx explain knows only a part"});
}

// One mount of each hierarchy that is mounted, and to be seen at none of its mount points.
Result<std::vector<Mount>> hidden_mounts() {
  std::vector<Mount> hidden;
  std::vector<Mount> seen = parse_mountinfo(CGX_TRY(sys::read_path("/proc/self/mountinfo")));
  const auto covered = std::ranges::stable_partition(seen, [](const Mount& m) { return !is_hidden(m); });
  for (const Mount& m : covered) {
    const auto same = [&](const Mount& other) { return other.device == m.device; };
    if (std::ranges::none_of(seen.begin(), covered.begin(), same) && std::ranges::none_of(hidden, same))
      hidden.push_back(m);
  }
  return hidden;
}

}  // namespace

KernelConfig::KernelConfig() {
  utsname name{};
  (void)uname(&name);  // cannot fail with a good pointer
  // gzopen(3) reads plain files too.
  for (const std::string& path : {std::string("/proc/config.gz"), fmt::format("/boot/config-{}", name.release)}) {
    gzFile file = gzopen(path.c_str(), "re");
    if (file == nullptr) continue;
    std::array<char, 16384> buffer{};
    int n = 0;
    while ((n = gzread(file, buffer.data(), buffer.size())) > 0 && text_.size() < (4U << 20U))
      text_.append(buffer.data(), static_cast<std::size_t>(n));
    (void)gzclose(file);
    if (!text_.empty()) return;
  }
}

std::optional<char> KernelConfig::value(std::string_view option) const {
  if (text_.empty()) return {};
  for (const std::string_view line : sys::lines(text_))
    if (line.starts_with("CONFIG_") && line.substr(7).starts_with(option) && line.size() > 8 + option.size() &&
        line[7 + option.size()] == '=')
      return line[8 + option.size()];
  return 'n';
}

void check_mounts(Checks& checks, const Hierarchies* hierarchies) {
  const auto looked = hidden_mounts();
  // Without /proc there is more to say, below.
  if (!looked && hierarchies != nullptr) could_not_look(checks, "hidden mounts", looked.error());
  const std::vector<Mount> hidden = looked.value_or(std::vector<Mount>{});
  for (const Mount& m : hidden)
    checks.push_back({hierarchies == nullptr ? Level::fail : Level::warn,
                      "mount " + Hierarchy(m, 0).label(),
                      fmt::format("{} is hidden: something else is mounted over it", m.dir),
                      "umount what lies over it; nothing of this hierarchy can be reached"});
  if (hierarchies == nullptr && !hidden.empty()) return;
  if (hierarchies == nullptr) {
    const bool proc = access("/proc/self/mountinfo", R_OK) == 0;
    checks.push_back({Level::fail,
                      "mounts",
                      proc ? "no cgroup file system is mounted" : "/proc cannot be read",
                      proc ? "cgx mount --v2 /sys/fs/cgroup" : "mount -t proc proc /proc"});
    return;
  }
  std::string list;
  for (const Hierarchy& h : hierarchies->all())
    list += fmt::format("{}{} at {}", list.empty() ? "" : ", ", h.label(), h.dir());
  checks.push_back({Level::ok, "layout", fmt::format("{}: {}", hierarchies->layout(), list), ""});
  for (const Hierarchy& h : hierarchies->named())
    checks.push_back({Level::ok, "mount " + h.label(), fmt::format("at {}; no controllers, left alone", h.dir()), ""});
  for (const Hierarchy& h : hierarchies->all()) check_hierarchy(checks, h);
  if (const Hierarchy* u = hierarchies->unified(); u != nullptr && hierarchies->layout() == "v2") {
    const auto given = Cgroup(*hierarchies, "").read(*u, "cgroup.subtree_control");
    if (!given) return could_not_look(checks, "subtree_control", given.error());
    checks.push_back(
        {Level::ok,
         "subtree_control",
         fmt::format("the root gives to its groups: {}", sys::trim(*given).empty() ? "nothing" : sys::trim(*given)),
         "cgx create gives what limits need"});
  }
}

void check_controllers(Checks& checks, const Hierarchies* hierarchies, const KernelConfig& config) {
  for (const Needs& n : needs) {
    const ControllerRow& c = row(n.controller);
    const Hierarchy* h = hierarchies != nullptr ? hierarchies->of(n.controller) : nullptr;
    if (h != nullptr) {
      checks.push_back({Level::ok,
                        std::string(c.name),
                        fmt::format("{} at {}", h->version() == Version::v1 ? "v1" : "v2", h->dir()),
                        ""});
      continue;
    }
    const Level missing = n.common ? Level::warn : Level::ok;
    const auto known = kernel_has(c.v1_name);
    if (!known) {
      could_not_look(checks, c.name, known.error());
      continue;
    }
    switch (*known) {
      case Known::there:
        checks.push_back({missing,
                          std::string(c.name),
                          "is in the kernel, but mounted nowhere",
                          fmt::format("cgx mount --v1 {} DIR", c.v1_name)});
        break;
      case Known::disabled:
        checks.push_back({Level::warn,
                          std::string(c.name),
                          "is switched off",
                          "remove cgroup_disable= from the kernel's parameters"});
        break;
      case Known::absent: {
        const bool v1 = hierarchies != nullptr && hierarchies->unified() == nullptr;
        checks.push_back(
            {missing, std::string(c.name), "is not in this kernel", config_text(config, v1 ? n.v1_option : n.option)});
      }
    }
  }
}

}  // namespace cgx::tool
