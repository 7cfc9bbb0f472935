// SPDX-License-Identifier: Apache-2.0
// The default profile. What is neither allowed nor refused here is answered by ENOSYS, as by an older kernel, so that
// programs fall back. EPERM is for what is there and not for a container.
#include <algorithm>
#include <array>
#include <cerrno>
#include <set>

#include <linux/capability.h>

#include "cgx/container/seccomp.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

// What touches only the process, its files and its own namespaces. Names that an architecture does not have cost
// nothing.
constexpr std::string_view allowed =
    // files
    "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 "
    "fadvise64 "
    "fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync "
    "fgetxattr "
    "file_getattr file_setattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync "
    "ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat lchown lchown32 lgetxattr link "
    "linkat "
    "listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat "
    "name_to_handle_at newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read "
    "readahead readdir readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir sendfile "
    "sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range "
    "sync_file_range2 syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes "
    "vmsplice "
    "write writev arm_fadvise64_64 arm_sync_file_range listmount statmount "
    // waiting
    "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd "
    "eventfd2 "
    "fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch _newselect pause poll ppoll "
    "ppoll_time64 "
    "pselect6 pselect6_time64 select io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup "
    "io_submit signalfd signalfd4 "
    // memory
    "brk cacheflush madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap "
    "mmap2 "
    "mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease "
    "remap_file_pages "
    // processes and threads
    "arch_prctl breakpoint capget capset execve execveat exit exit_group fork futex futex_requeue futex_time64 "
    "futex_wait "
    "futex_waitv futex_wake getcpu getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid "
    "getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32 getrlimit get_robust_list "
    "getrusage "
    "getsid get_thread_area gettid getuid getuid32 ioprio_get ioprio_set kill modify_ldt pidfd_open pidfd_send_signal "
    "prctl prlimit64 process_vm_readv process_vm_writev ptrace restart_syscall riscv_flush_icache riscv_hwprobe rseq "
    "rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait "
    "rt_sigtimedwait_time64 rt_tgsigqueueinfo s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr "
    "sched_getaffinity "
    "sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler "
    "sched_rr_get_interval "
    "sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield "
    "seccomp "
    "setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority setregid "
    "setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid "
    "set_thread_area set_tid_address set_tls setuid setuid32 sigaction sigaltstack signal sigpending sigprocmask "
    "sigreturn "
    "sigsuspend tgkill tkill ugetrlimit uretprobe vfork wait4 waitid waitpid "
    "landlock_add_rule landlock_create_ruleset landlock_restrict_self "
    // between processes; socket has rules of its own, but those behind socketcall cannot be seen by a program
    "accept accept4 bind connect getpeername getsockname getsockopt ipc listen mq_getsetattr mq_notify mq_open "
    "mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd "
    "recv "
    "recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop semtimedop_time64 send sendmmsg sendmsg "
    "sendto setsockopt shmat shmctl shmdt shmget shutdown socketcall socketpair "
    // time, and what tells of the system; without CAP_SYS_TIME adjtimex only reads
    "adjtimex alarm cachestat clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime "
    "clock_gettime64 "
    "clock_nanosleep clock_nanosleep_time64 getitimer getrandom gettimeofday nanosleep setitimer sysinfo time "
    "timer_create "
    "timer_delete timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 timer_getoverrun "
    "timer_gettime timer_gettime64 timer_settime timer_settime64 times uname";

// For nobody in a container: keys are not of a namespace, and the rest is of the whole machine or of no use any more.
constexpr std::string_view refused =
    "add_key bdflush kexec_file_load kexec_load keyctl migrate_pages move_pages nfsservctl nice oldfstat oldlstat "
    "oldolduname oldstat olduname pciconfig_iobase pciconfig_read pciconfig_write request_key sgetmask ssetmask "
    "swapcontext "
    "swapoff swapon sysfs uselib userfaultfd ustat vm86 vm86old";

// What a capability stands for. It is allowed where the container keeps one of those that have it, else refused.
struct Row {
  int capability;
  std::string_view calls;
};
constexpr std::array<Row, 15> by_capability = {
    {{CAP_SYS_ADMIN,
      "bpf fanotify_init fsconfig fsmount fsopen fspick listns lookup_dcookie lsm_get_self_attr lsm_list_modules "
      "lsm_set_self_attr mount mount_setattr move_mount open_tree open_tree_attr perf_event_open pivot_root quotactl "
      "quotactl_fd setdomainname sethostname setns syslog umount umount2"},
     {CAP_DAC_READ_SEARCH, "open_by_handle_at"},
     {CAP_SYS_BOOT, "reboot"},
     {CAP_SYS_CHROOT, "chroot"},
     {CAP_SYS_MODULE, "delete_module finit_module init_module query_module"},
     {CAP_SYS_PACCT, "acct"},
     {CAP_SYS_PTRACE, "kcmp pidfd_getfd process_madvise"},
     {CAP_SYS_RAWIO, "ioperm iopl"},
     {CAP_SYS_TIME, "clock_settime clock_settime64 settimeofday stime"},
     {CAP_SYS_TTY_CONFIG, "vhangup"},
     {CAP_SYS_NICE, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
     {CAP_SYSLOG, "syslog"},
     {CAP_BPF, "bpf"},
     {CAP_PERFMON, "perf_event_open"},
     {CAP_CHECKPOINT_RESTORE, "kcmp"}}};

constexpr std::string_view allow = "SCMP_ACT_ALLOW", refuse = "SCMP_ACT_ERRNO";
constexpr std::uint64_t low_half = 0xffffffff;  // of an argument that the kernel takes as an int

class Profile {
 public:
  void add(std::string_view action,
           std::vector<std::string> names,
           std::optional<std::uint32_t> errno_ret = {},
           std::vector<SeccompArg> args = {}) {
    if (names.empty()) return;
    rules.syscalls.push_back(
        {.names = std::move(names), .action = std::string(action), .errno_ret = errno_ret, .args = std::move(args)});
  }
  // Allowed, or refused, where argument `index` has these bits.
  void bits(std::string_view action,
            const char* name,
            std::uint32_t index,
            std::uint64_t mask,
            std::uint64_t value,
            std::optional<std::uint32_t> errno_ret = {}) {
    add(action, {name}, errno_ret, {{.index = index, .value = mask, .value_two = value, .op = "SCMP_CMP_MASKED_EQ"}});
  }
  void compare(const char* name, std::uint32_t index, const char* op, std::uint64_t value) {
    add(allow, {name}, {}, {{.index = index, .value = value, .value_two = 0, .op = op}});
  }
  Seccomp rules;
};

// AF_ALG reaches the kernel's ciphers, and AF_VSOCK the host, whatever the network namespace is. The kernel takes the
// low half as an int: each rule that allows says what the high half is, so that none of its bits leads around the
// others.
void add_sockets(Profile& profile) {
  constexpr std::uint64_t alg = 38, vsock = 40, end = 46;
  profile.compare("socket", 0, "SCMP_CMP_LT", alg);
  for (std::uint64_t family = alg; family < end; ++family) {
    if (family == alg || family == vsock) {
      profile.bits(refuse, "socket", 0, low_half, family, EAFNOSUPPORT);
    } else {
      profile.compare("socket", 0, "SCMP_CMP_EQ", family);
    }
  }
}

// TIOCSTI and TIOCLINUX type into the terminal that the container shares with its caller. There is no word for "another
// low half than these", so what is allowed is each bit by which a request differs from both, and then what is between
// the two.
void add_ioctl(Profile& profile) {
  constexpr std::uint64_t sti = 0x5412, console = 0x541c, differ = sti ^ console;
  for (unsigned bit = 0; bit < 32; ++bit)
    if (const std::uint64_t mask = std::uint64_t{1} << bit; (differ & mask) == 0)
      profile.bits(allow, "ioctl", 1, mask, ~sti & mask);
  for (std::uint64_t some = 0; some <= differ; some += 2)
    if (some != (sti & differ) && some != (console & differ)) profile.bits(allow, "ioctl", 1, differ, some);
  for (const std::uint64_t request : {sti, console}) profile.bits(refuse, "ioctl", 1, low_half, request, EPERM);
}

// New namespaces are for CAP_SYS_ADMIN. clone3 has its flags in memory, where no program sees them; libc then uses
// clone.
void add_namespaces(Profile& profile, bool admin) {
  if (admin) {
    profile.add(allow, {"clone", "clone3", "unshare"});
    return;
  }
  constexpr std::uint64_t spaces = 0x7e020000, time = 0x80;  // CLONE_NEW*; of clone, 0x80 is in the exit signal
#if defined(__s390__)
  constexpr std::uint32_t flags = 1;
#else
  constexpr std::uint32_t flags = 0;
#endif
  profile.bits(allow, "clone", flags, spaces, 0);
  profile.bits(allow, "unshare", 0, spaces | time, 0);
  for (std::uint64_t bit = time; bit <= 0x40000000; bit <<= 1U) {
    if ((spaces & bit) != 0) profile.bits(refuse, "clone", flags, bit, bit, EPERM);
    if (((spaces | time) & bit) != 0) profile.bits(refuse, "unshare", 0, bit, bit, EPERM);
  }
  profile.add(refuse, {"clone3"}, ENOSYS);
}

std::vector<std::string> architectures() {
#if defined(__x86_64__)
  return {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
#elif defined(__aarch64__)
  return {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"};
#elif defined(__s390x__)
  return {"SCMP_ARCH_S390X", "SCMP_ARCH_S390"};
#else
  return {};  // the native one
#endif
}

}  // namespace

Seccomp default_seccomp(std::uint64_t bounding_capabilities) {
  const auto kept = [&](int capability) {
    return (bounding_capabilities >> static_cast<unsigned>(capability) & 1U) != 0;
  };
  std::set<std::string_view> granted, withheld;
  for (const Row& row : by_capability)
    for (const std::string_view call : sys::words(row.calls)) (kept(row.capability) ? granted : withheld).insert(call);
  for (const std::string_view call : sys::words(refused)) withheld.insert(call);
  for (const std::string_view call : granted) withheld.erase(call);

  Profile profile;
  profile.rules.default_action = refuse;
  profile.rules.default_errno_ret = ENOSYS;
  profile.rules.architectures = architectures();
  const auto plain = sys::words(allowed);
  profile.add(allow, {plain.begin(), plain.end()});
  profile.add(allow, {granted.begin(), granted.end()});
  profile.add(refuse, {withheld.begin(), withheld.end()}, EPERM);
  add_sockets(profile);
  add_ioctl(profile);
  add_namespaces(profile, kept(CAP_SYS_ADMIN));
  // PER_LINUX, PER_LINUX32, UNAME26 with either, and the question which one it is.
  for (const std::uint64_t persona : {0x0ULL, 0x8ULL, 0x20000ULL, 0x20008ULL, 0xffffffffULL})
    profile.compare("personality", 0, "SCMP_CMP_EQ", persona);
  return std::move(profile.rules);
}

}  // namespace cgx::container
