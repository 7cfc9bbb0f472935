// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/spawn.h"

#include <array>
#include <cerrno>
#include <optional>

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/sys/process.h"

namespace cgx {
namespace {

// What parent and child share while the child lives in the parent's memory, or in a shared page.
struct Shared {
  SpawnStage stage;
  int code;
  bool began;  // the child has run at all
};

struct ChildPlan {
  const int* v1_tasks;  // open for writing
  std::size_t v1_count;
  int v2_procs;  // -1: clone3 has placed it
  char* const* argv;
  const sigset_t* mask;
  pid_t parent;
  Shared* shared;
};

// Runs in the child, on the parent's memory: only system calls, and nothing that the parent's frames hold is changed.
[[noreturn, gnu::noinline]] void child_main(const ChildPlan& plan) {
  plan.shared->began = true;
  // The end of the parent is the child's, as where exec_in() lets the parent become the command. One that ended before
  // this call sends no signal any more.
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != plan.parent) _exit(127);
  plan.shared->stage = SpawnStage::place;
  // cgroup2 first, as remove_group() wants it.
  bool placed = plan.v2_procs < 0 || write(plan.v2_procs, "0", 1) == 1;
  for (std::size_t i = 0; placed && i < plan.v1_count; ++i) placed = write(plan.v1_tasks[i], "0", 1) == 1;
  if (placed) {
    plan.shared->stage = SpawnStage::execute;
    sys::restore_child_signal();
    (void)sigprocmask(SIG_SETMASK, plan.mask, nullptr);
    execvp(plan.argv[0], plan.argv);
  }
  plan.shared->code = errno;
  _exit(127);
}

struct Started {
  pid_t pid;
  int pidfd;
};

// clone3 as vfork does it: the parent sleeps until the child has called execve, and no page is copied. The child runs
// on the parent's stack below this frame and never returns, which is why the call is made without a wrapper function.
[[gnu::noinline]] Started start(const ChildPlan& plan, int v2_dir) {
  int pidfd = -1;
  clone_args args{};
  args.flags = CLONE_PIDFD | (v2_dir >= 0 ? CLONE_INTO_CGROUP : 0);
  args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  args.cgroup = v2_dir >= 0 ? static_cast<std::uint64_t>(v2_dir) : 0;
#if defined(__x86_64__)
  args.flags |= CLONE_VM | CLONE_VFORK;
  long rc = SYS_clone3;
  asm volatile("syscall" : "+a"(rc) : "D"(&args), "S"(sizeof args) : "rcx", "r11", "memory");
  if (rc == 0) child_main(plan);
  if (rc < 0) {
    errno = static_cast<int>(-rc);
    rc = -1;
  }
#else
  const long rc = syscall(SYS_clone3, &args, sizeof args);
  if (rc == 0) child_main(plan);
#endif
  return {static_cast<pid_t>(rc), pidfd};
}

// For kernels and filters without clone3: the child joins cgroup2 by cgroup.procs, after a grace period.
Started start_by_fork(const ChildPlan& plan) {
  const pid_t pid = fork();
  if (pid == 0) child_main(plan);
  const int pidfd = pid > 0 ? static_cast<int>(syscall(SYS_pidfd_open, pid, 0)) : -1;
  return {pid, pidfd};
}

void reap(pid_t pid) {
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED) != 0 && errno == EINTR) continue;
}

SpawnError failed(SpawnStage stage, int code, std::string what) {
  return {stage, Error{.code = code, .what = std::move(what)}};
}

// One page that both see, so that the child can tell its errno also where it is a copy (fork).
class SharedPage {
 public:
  SharedPage() : page_(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {}
  SharedPage(const SharedPage&) = delete;
  SharedPage& operator=(const SharedPage&) = delete;
  ~SharedPage() {
    if (page_ != MAP_FAILED) (void)munmap(page_, sizeof(Shared));
  }
  [[nodiscard]] Shared* get() const { return page_ == MAP_FAILED ? nullptr : static_cast<Shared*>(page_); }

 private:
  void* page_;
};

std::vector<char*> pointers(const std::vector<std::string>& argv) {
  std::vector<char*> list;
  list.reserve(argv.size() + 1);
  for (const std::string& word : argv) list.push_back(const_cast<char*>(word.c_str()));  // execvp's old prototype
  list.push_back(nullptr);
  return list;
}

const Hierarchy* v2_of(const Cgroup& group) {
  const Hierarchy* h = group.hierarchies().unified();
  return h != nullptr && group.dir(*h) ? h : nullptr;
}

}  // namespace

std::expected<Child, SpawnError> spawn_in(const Cgroup& group,
                                          const std::vector<std::string>& argv,
                                          const sigset_t& mask) {
  auto tasks = open_v1_tasks(group);
  if (!tasks) return std::unexpected(SpawnError{SpawnStage::place, tasks.error()});
  const Hierarchy* v2 = v2_of(group);
  std::vector<int> fds;
  for (const sys::Fd& fd : *tasks) fds.push_back(fd.get());
  Shared shared{};  // in the child's sight while it lives in our memory
  std::optional<SharedPage> page;
  const std::vector<char*> words = pointers(argv);
  ChildPlan plan{fds.data(), fds.size(), -1, words.data(), &mask, getpid(), &shared};

  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  (void)sigprocmask(SIG_SETMASK, &all, &before);
  std::array<sys::Fd, 2> ends;
  const auto share_with_copy = [&] {
    std::array<int, 2> fds2{};
    plan.shared = page.emplace().get();
    if (plan.shared == nullptr || pipe2(fds2.data(), O_CLOEXEC) != 0) return false;
    ends[0].reset(fds2[0]);
    ends[1].reset(fds2[1]);
    return true;
  };
  // Starts the child and waits until it has called execve, or ended.
  const auto attempt = [&](bool clone, int v2_dir) -> Started {
#if defined(__x86_64__)
    const bool copy = !clone;
#else
    const bool copy = true;
#endif
    if (copy && !share_with_copy()) return {-1, -1};
    plan.shared->began = false;
    const Started child = clone ? start(plan, v2_dir) : start_by_fork(plan);
    const int code = errno;
    if (copy) {
      // The child has copies of both ends and closes them at execve, or when it ends.
      ends[1].reset(-1);
      char byte = 0;
      while (child.pid > 0 && read(ends[0].get(), &byte, 1) < 0 && errno == EINTR) continue;
    }
    errno = code;
    return child;
  };
  sys::Fd procs;
  const auto join_by_itself = [&] {
    if (v2 == nullptr) return true;
    auto file = sys::open_beneath(*group.dir(*v2), "cgroup.procs", O_WRONLY);
    const int opened = file ? 0 : file.error().code;
    if (file) procs = *std::move(file);
    errno = opened;
    plan.v2_procs = procs.get();
    return procs.valid();
  };
  Started started = attempt(true, v2 != nullptr ? *group.dir(*v2) : -1);
  int code = errno;
  // Since 6.14 the kernel compares how often the groups of parent and child were killed by cgroup.kill, and where that
  // differs it takes the child for one that has escaped a kill: it ends before its first instruction. A child that
  // joins by itself is not compared.
  if (started.pid > 0 && v2 != nullptr && !plan.shared->began) {
    reap(started.pid);
    const sys::Fd pidfd(started.pidfd);
    started = join_by_itself() ? attempt(true, -1) : Started{-1, -1};
    code = errno;
  }
  if (started.pid < 0 && (code == ENOSYS || code == EINVAL || code == E2BIG)) {
    if (join_by_itself()) started = attempt(false, -1);
    code = errno;
  }
  (void)sigprocmask(SIG_SETMASK, &before, nullptr);
  if (started.pid < 0) return std::unexpected(failed(SpawnStage::place, code, errno_text(code)));

  Child child{started.pid, sys::Fd(started.pidfd)};
  sys::close_all(*tasks);
  const Shared told = plan.shared != nullptr ? *plan.shared : Shared{};
  if (told.code == 0) return child;
  reap(child.pid);
  return std::unexpected(failed(told.stage, told.code, errno_text(told.code)));
}

SpawnError exec_in(const Cgroup& group, const std::vector<std::string>& argv) {
  if (v2_of(group) != nullptr) return failed(SpawnStage::place, ENOTSUP, "is in cgroup2 too");
  const auto tasks = open_v1_tasks(group);
  if (!tasks) return {SpawnStage::place, tasks.error()};
  if (const int code = join(*tasks); code != 0) return failed(SpawnStage::place, code, errno_text(code));
  const std::vector<char*> words = pointers(argv);
  sys::restore_child_signal();
  execvp(words[0], words.data());
  const int code = errno;
  sys::wait_for_children();
  return failed(SpawnStage::execute, code, errno_text(code));
}

}  // namespace cgx
