// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/limits.h"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

// struct sched_attr of linux/sched/types.h, which defines what <sched.h> does too.
struct SchedAttr {
  std::uint32_t size = sizeof(SchedAttr);
  std::uint32_t policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0, deadline = 0, period = 0;
};

bool is_on(const char* file) {
  const auto text = sys::read_path(file);
  return text && text->starts_with('Y');
}

Result<> write_label(int proc, const char* file, const char* older, const std::string& text, std::string_view field) {
  // thread-self is a link, to what the kernel itself says of the thread; `proc` is not the container's.
  sys::Fd attr(openat(proc, file, O_WRONLY | O_CLOEXEC));
  if (!attr.valid() && errno == ENOENT) attr.reset(openat(proc, older, O_WRONLY | O_CLOEXEC));
  if (!attr.valid()) return fail_errno(errno, fmt::format("{}: {}", field, file));
  if (auto written = sys::write_fd(attr.get(), text); !written)
    return fail_errno(written.error().code, fmt::format("{} \"{}\"", field, text));
  return {};
}

}  // namespace

Result<> set_rlimits(pid_t pid, const std::vector<Rlimit>& limits) {
  for (const Rlimit& limit : limits) {
    const rlimit64 wanted{.rlim_cur = limit.soft, .rlim_max = limit.hard};
    if (prlimit64(pid, static_cast<__rlimit_resource>(limit.resource), &wanted, nullptr) == 0) continue;
    const int code = errno;
    return fail_errno(code,
                      fmt::format("error setting rlimit {} to {}:{}{}",
                                  limit.type,
                                  limit.soft,
                                  limit.hard,
                                  code == EPERM ? " (raising a hard limit takes CAP_SYS_RESOURCE)" : ""));
  }
  return {};
}

Result<pid_t> pid_in(int proc) {
  std::array<char, 16> text{};
  const ssize_t n = readlinkat(proc, "self", text.data(), text.size());
  if (n < 0) return fail_errno(errno, "/proc/self");
  return static_cast<pid_t>(CGX_TRY(sys::parse_u64(std::string_view(text.data(), static_cast<std::size_t>(n)))));
}

Result<> set_oom_score_adj(int proc, pid_t pid, int value) {
  if (auto written = sys::write_file(proc, fmt::format("{}/oom_score_adj", pid), std::to_string(value)); !written)
    return fail_errno(written.error().code,
                      fmt::format("oom_score_adj {}{}",
                                  value,
                                  written.error().code == EACCES ? " (lowering it takes CAP_SYS_RESOURCE)" : ""));
  return {};
}

Result<> set_io_priority(const IoPriority& priority) {
  constexpr int who_process = 1;
  constexpr int class_shift = 13;
  if (syscall(SYS_ioprio_set, who_process, 0, priority.klass << class_shift | priority.priority) != 0)
    return fail_errno(errno, fmt::format("ioPriority class {} priority {}", priority.klass, priority.priority));
  return {};
}

Result<> set_scheduler(const Scheduler& scheduler) {
  SchedAttr attr;
  attr.policy = scheduler.policy;
  attr.flags = scheduler.flags;
  attr.nice = scheduler.nice;
  attr.priority = static_cast<std::uint32_t>(scheduler.priority);
  attr.runtime = scheduler.runtime;
  attr.deadline = scheduler.deadline;
  attr.period = scheduler.period;
  if (syscall(SYS_sched_setattr, 0, &attr, 0U) != 0)
    return fail_errno(errno, fmt::format("scheduler policy {} priority {}", scheduler.policy, scheduler.priority));
  return {};
}

Result<> set_affinity(std::string_view cpus) {
  const sys::IdSet ids = CGX_TRY(sys::IdSet::parse(cpus));
  if (ids.empty()) return fail(EINVAL, "CPU affinity: an empty list");
  const unsigned highest = ids.ids().back();
  cpu_set_t* set = CPU_ALLOC(highest + 1);
  if (set == nullptr) return fail_errno(ENOMEM, "CPU affinity");
  const std::size_t size = CPU_ALLOC_SIZE(highest + 1);
  CPU_ZERO_S(size, set);
  for (const unsigned id : ids.ids()) CPU_SET_S(id, size, set);
  const int rc = sched_setaffinity(0, size, set);
  const int code = errno;
  CPU_FREE(set);
  if (rc != 0) return fail_errno(code, fmt::format("CPU affinity \"{}\"", cpus));
  return {};
}

Result<> set_personality(std::string_view name) {
  const unsigned long domain = name == "LINUX32" ? PER_LINUX32 : PER_LINUX;
  if (name != "LINUX" && name != "LINUX32") return fail(EINVAL, fmt::format("personality \"{}\" is not known", name));
  if (personality(domain) < 0) return fail_errno(errno, fmt::format("personality \"{}\"", name));
  return {};
}

Result<> set_memory_policy(const MemoryPolicy& policy) {
  const sys::IdSet nodes = CGX_TRY(sys::IdSet::parse(policy.nodes));
  constexpr unsigned bits = std::numeric_limits<unsigned long>::digits;
  std::vector<unsigned long> mask(nodes.empty() ? 0 : nodes.ids().back() / bits + 1);
  for (const unsigned id : nodes.ids()) mask[id / bits] |= 1UL << id % bits;
  // The kernel looks at one bit less than it is told of.
  if (syscall(SYS_set_mempolicy, policy.value, mask.data(), mask.size() * bits + 1) == 0) return {};
  return fail_errno(errno, fmt::format("linux.memoryPolicy: {} on nodes \"{}\"", policy.mode, policy.nodes));
}

Result<std::string> join_keyring(const std::string& name, bool user_namespace) {
  const long keyring = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.c_str(), 0, 0, 0);
  if (keyring < 0) {
    if (errno == ENOSYS || errno == EPERM) return fmt::format("no session keyring of its own: {}", errno_text(errno));
    return fail_errno(errno, "session keyring " + name);
  }
  // What the kernel says of it is `type;uid;gid;permissions;name`, the permissions in hexadecimal.
  std::array<char, 512> text{};
  const long n = syscall(SYS_keyctl, KEYCTL_DESCRIBE, keyring, text.data(), text.size(), 0);
  if (n < 0) return fail_errno(errno, "session keyring " + name);
  const auto fields =
      sys::split(std::string_view(text.data(), std::min<std::size_t>(static_cast<std::size_t>(n), text.size())), ';');
  if (fields.size() < 4) return fail(EPROTO, "session keyring " + name);
  std::uint64_t permissions = CGX_TRY(sys::parse_any_base("0x" + std::string(fields[3]), 0xffffffffU));
  constexpr std::uint64_t user_search = 0x00080000;
  constexpr std::uint64_t other_search = 0x00000008;
  permissions |= user_namespace ? other_search : user_search;
  if (syscall(SYS_keyctl, KEYCTL_SETPERM, keyring, permissions, 0, 0) != 0)
    return fail_errno(errno, "permissions of session keyring " + name);
  return std::string();
}

Result<> check_labels(const Process& process) {
  if (!process.apparmor_profile.empty() && !is_on("/sys/module/apparmor/parameters/enabled"))
    return fail(ENOTSUP,
                fmt::format("process.apparmorProfile \"{}\": is not supported, this kernel runs without AppArmor",
                            process.apparmor_profile));
  if (!process.selinux_label.empty() && access("/sys/fs/selinux/enforce", F_OK) != 0)
    return fail(ENOTSUP,
                fmt::format("process.selinuxLabel \"{}\": is not supported, this kernel runs without SELinux",
                            process.selinux_label));
  return {};
}

Result<> set_labels(int proc, const Process& process) {
  if (!process.apparmor_profile.empty())
    CGX_CHECK(write_label(proc,
                          "thread-self/attr/apparmor/exec",
                          "thread-self/attr/exec",
                          "exec " + process.apparmor_profile,
                          "process.apparmorProfile"));
  if (!process.selinux_label.empty())
    CGX_CHECK(
        write_label(proc, "thread-self/attr/exec", "self/attr/exec", process.selinux_label, "process.selinuxLabel"));
  return {};
}

}  // namespace cgx::container
