// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/namespaces.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <linux/nsfs.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

// setns(2) refuses the user namespace that one is in.
Result<bool> is_own_user(int fd) {
  struct stat there{};
  struct stat here{};
  if (fstat(fd, &there) != 0 || stat("/proc/self/ns/user", &here) != 0) return fail_errno(errno, "stat");
  return there.st_ino == here.st_ino && there.st_dev == here.st_dev;
}

Result<> set(const JoinedNamespace& ns) {
  if (setns(ns.fd.get(), ns.flag) != 0) return fail_errno(errno, "setns " + ns.path);
  return {};
}

// `net/../kernel/core_pattern` begins as one of the network's: nothing but plain names between the slashes.
bool is_plain(std::string_view path) {
  return std::ranges::none_of(sys::split(path, '/'), [](std::string_view part) {
    return part.empty() || part == "." || part == ".." || part.find('\0') != std::string_view::npos;
  });
}

// Which namespace a setting is of; 0: of none, the host's.
int namespace_of_sysctl(std::string_view name) {
  constexpr std::array ipc{"kernel/auto_msgmni",
                           "kernel/msg_next_id",
                           "kernel/msgmax",
                           "kernel/msgmnb",
                           "kernel/msgmni",
                           "kernel/sem",
                           "kernel/sem_next_id",
                           "kernel/shm_next_id",
                           "kernel/shm_rmid_forced",
                           "kernel/shmall",
                           "kernel/shmmax",
                           "kernel/shmmni"};
  if (std::ranges::find(ipc, name) != ipc.end() || name.starts_with("fs/mqueue/")) return CLONE_NEWIPC;
  if (name.starts_with("net/")) return CLONE_NEWNET;
  if (name == "kernel/domainname" || name == "kernel/hostname") return CLONE_NEWUTS;
  return 0;
}

// Dots part names, and slashes do where a name has dots in it: sysctl(8) takes the first of both for the separator.
std::string path_of_sysctl(std::string_view key) {
  std::string path(key);
  const std::size_t first = path.find_first_of("./");
  if (first == std::string::npos || path[first] == '/') return path;
  for (char& c : path) c = c == '.' ? '/' : c == '/' ? '.' : c;
  return path;
}

}  // namespace

bool NamespacePlan::joins(int flag) const {
  return std::ranges::any_of(joined, [&](const JoinedNamespace& ns) { return ns.flag == flag; });
}

bool NamespacePlan::needs_intermediate() const {
  return joins(CLONE_NEWUSER) || (makes(CLONE_NEWUSER) && !joined.empty());
}

Result<NamespacePlan> plan_namespaces(const Linux& config) {
  NamespacePlan plan;
  for (const Namespace& ns : config.namespaces) {
    const int flag = namespace_flag(ns.type);
    if (plan.has(flag)) return fail(EINVAL, fmt::format("the {} namespace is named twice", namespace_file(ns.type)));
    if (ns.path.empty()) {
      plan.create |= static_cast<unsigned>(flag);
      continue;
    }
    // Not a fifo's other end to wait for, and nothing that a device does when it is opened.
    JoinedNamespace joined{flag, ns.path, CGX_TRY(sys::open_path(ns.path, O_RDONLY | O_NONBLOCK | O_NOCTTY))};
    if (const int type = ioctl(joined.fd.get(), NS_GET_NSTYPE); type != flag)
      return fail(EINVAL, fmt::format("{} is no {} namespace", ns.path, namespace_file(ns.type)));
    if (flag == CLONE_NEWUSER && CGX_TRY(is_own_user(joined.fd.get()))) continue;
    plan.joined.push_back(std::move(joined));
  }
  return plan;
}

Result<> join_namespaces(const NamespacePlan& plan, int except) {
  std::vector<const JoinedNamespace*> later;
  const JoinedNamespace* user = nullptr;
  for (const JoinedNamespace& ns : plan.joined) {
    if ((ns.flag & except) != 0) continue;
    if (ns.flag == CLONE_NEWUSER) {
      user = &ns;
      continue;
    }
    if (setns(ns.fd.get(), ns.flag) == 0) continue;
    if (errno != EPERM) return fail_errno(errno, "setns " + ns.path);
    later.push_back(&ns);
  }
  if (user != nullptr) CGX_CHECK(set(*user));
  for (const JoinedNamespace* ns : later) CGX_CHECK(set(*ns));
  return {};
}

Result<> ForChildren::close_to_others() {
  was_open_ = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 1;
  if (was_open_ && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno(errno, "PR_SET_DUMPABLE");
  return {};
}

Result<> ForChildren::join_pid(int proc, int fd) {
  pid_.reset(openat(proc, "self/ns/pid", O_RDONLY | O_CLOEXEC));
  if (!pid_.valid()) return fail_errno(errno, "/proc/self/ns/pid");
  if (setns(fd, CLONE_NEWPID) != 0) return fail_errno(errno, "setns of the pid namespace");
  return {};
}

Result<> ForChildren::make_time(int proc, const Linux& config) {
  time_.reset(openat(proc, "self/ns/time", O_RDONLY | O_CLOEXEC));
  if (!time_.valid()) return fail(ENOTSUP, "this kernel has no time namespaces (CONFIG_TIME_NS)");
  if (unshare(CLONE_NEWTIME) != 0) return fail_errno(errno, "unshare of the time namespace");
  return write_time_offsets(proc, getpid(), config);
}

Result<> ForChildren::restore() {
  if (std::exchange(was_open_, false)) (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  // EPERM: the caller is root of a user namespace, and came from one that is not of that. Its further children would be
  // the container's; it has none.
  if (pid_.valid() && setns(pid_.get(), CLONE_NEWPID) != 0 && errno != EPERM) return fail_errno(errno, "setns back");
  if (time_.valid() && setns(time_.get(), CLONE_NEWTIME) != 0 && errno != EPERM) return fail_errno(errno, "setns back");
  pid_.reset(-1);
  time_.reset(-1);
  return {};
}

Result<> write_time_offsets(int proc, pid_t pid, const Linux& config) {
  if (config.time_offsets.empty()) return {};
  std::string text;
  for (const auto& [clock, offset] : config.time_offsets)
    text += fmt::format("{} {} {}\n", clock, offset.first, offset.second);
  if (auto written = sys::write_file(proc, fmt::format("{}/timens_offsets", pid), text); !written)
    return fail_errno(written.error().code, "timens_offsets");
  return {};
}

Result<> loopback_up() {
  const sys::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno(errno, "socket");
  ifreq request{};
  std::memcpy(&request.ifr_name[0], "lo", 3);
  request.ifr_flags = IFF_UP;
  if (ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return fail_errno(errno, "lo up");
  return {};
}

Result<> write_sysctls(int proc, const Pairs& sysctl, const NamespacePlan& plan) {
  for (const auto& [key, value] : sysctl) {
    const std::string name = path_of_sysctl(key);
    if (!is_plain(name)) return fail(EINVAL, fmt::format("sysctl \"{}\" is no name of one", key));
    const int flag = namespace_of_sysctl(name);
    if (flag == 0) return fail(EINVAL, fmt::format("sysctl \"{}\" is not in a separate kernel namespace", key));
    if (!plan.has(flag)) return fail(EINVAL, fmt::format("sysctl \"{}\" is not allowed in the hosts namespace", key));
    // Beneath: `..`, links and what is mounted over a part of /proc are refused.
    if (auto written = sys::write_file(proc, "sys/" + name, value); !written)
      return fail_errno(written.error().code, fmt::format("sysctl \"{}\" = \"{}\"", key, value));
  }
  return {};
}

}  // namespace cgx::container
