// SPDX-License-Identifier: Apache-2.0
// A further process in a running container.
#include <cerrno>
#include <optional>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/birth.h"
#include "cgx/container/child.h"
#include "cgx/container/launch.h"
#include "cgx/container/limits.h"
#include "cgx/container/state.h"
#include "cgx/container/supervise.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

Result<bool> same_user_namespace(int proc, pid_t pid) {
  struct stat there{};
  struct stat here{};
  if (fstatat(proc, fmt::format("{}/ns/user", pid).c_str(), &there, 0) != 0 ||
      fstatat(proc, "self/ns/user", &here, 0) != 0)
    return fail_errno(errno, "user namespace");
  return there.st_ino == here.st_ino && there.st_dev == here.st_dev;
}

// The CPUs of the calling process, and back to what they were at the end.
class Affinity {
 public:
  Affinity() = default;
  Affinity(const Affinity&) = delete;
  Affinity& operator=(const Affinity&) = delete;
  ~Affinity() {
    if (changed_) (void)sched_setaffinity(0, sizeof before_, &before_);
  }
  Result<> set(const std::string& cpus) {
    if (sched_getaffinity(0, sizeof before_, &before_) != 0) return fail_errno(errno, "CPU affinity");
    changed_ = true;
    return set_affinity(cpus);
  }

 private:
  cpu_set_t before_{};
  bool changed_ = false;
};

class Enter {
 public:
  explicit Enter(EnterRequest& request) : request_(request), process_(request.process) {}

  Result<Launched> run() {
    if (process_.args.empty()) return fail(EINVAL, "process.args: is empty");
    CGX_CHECK(check_labels(process_));
    passed_ = CGX_TRY(passed_descriptors(request_.preserve_fds));
    proc_ = CGX_TRY(host_proc());
    auto target = open_process(request_.init, request_.init_start);
    if (!target) return fail(target.error().code, fmt::format("the container's {}", target.error().what));
    target_ = std::move(*target);
    CGX_CHECK(find_root());
    console_ = CGX_TRY(console_for(process_, request_.console_socket, request_.foreground_terminal));
    if (!request_.pidfd_socket.empty()) pidfd_socket_ = CGX_TRY(connect_unix(request_.pidfd_socket));
    CGX_CHECK(fill_birth());
    fill_child();
    Supervision supervision;
    supervision.proc = proc_.get();
    supervision.process = &process_;
    supervision.seccomp = request_.seccomp ? &*request_.seccomp : nullptr;
    supervision.spec = request_.spec;
    supervision.state_json = request_.state_json;
    supervision.record = request_.record;
    supervision.group = request_.group;
    supervision.trace = request_.trace;
    supervision.pidfd_socket = pidfd_socket_.get();
    supervision.pidfd_word = "setns";
    Birth birth(plan_);
    child_.channel = &birth.childs();
    plan_.main = [&] {
      child_.progress = birth.progress();
      run_further_process(child_);
    };
    Affinity affinity;
    if (process_.exec_cpu_affinity && !process_.exec_cpu_affinity->initial.empty())
      CGX_CHECK(affinity.set(process_.exec_cpu_affinity->initial));
    return supervise(birth, supervision);
  }

 private:
  // A container that shares the mount namespace of the host has a root of its own all the same.
  Result<> find_root() {
    if (request_.spec->find(NamespaceType::mount) != nullptr) return {};
    root_.reset(openat(proc_.get(), fmt::format("{}/root", request_.init).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root_.valid()) return fail_errno(errno, "the container's root");
    // The number was that of the container's process, as long as that has not ended.
    pollfd end{.fd = target_.get(), .events = POLLIN, .revents = 0};
    if (poll(&end, 1, 0) != 0) return fail_errno(ESRCH, fmt::format("the container's process {}", request_.init));
    return {};
  }

  Result<> fill_birth() {
    for (const Namespace& ns : request_.spec->linux_.namespaces) flags_ |= namespace_flag(ns.type);
    if ((flags_ & CLONE_NEWUSER) != 0 && CGX_TRY(same_user_namespace(proc_.get(), request_.init)))
      flags_ &= ~CLONE_NEWUSER;
    plan_.groups = CGX_TRY(membership_of(request_.group, request_.top_group, request_.apart));
    // A container that has made groups of its own with controllers takes no process at its top: its first process is
    // where there is room.
    if (plan_.groups.v2_dir.valid()) plan_.fallback = [this] { return group_of_init(); };
    // A process of the container's pid namespace can be looked into by the others of it, where they have CAP_SYS_PTRACE
    // or rights in its user namespace: its root, its directory and what it has open. So it is made by a process in
    // between, which they do not see, and which has left the host behind by then.
    plan_.intermediate = (flags_ & (CLONE_NEWUSER | CLONE_NEWPID)) != 0;
    if (process_.oom_score_adj)
      plan_.placed = [this]() -> Result<> {
        return set_oom_score_adj(proc_.get(), CGX_TRY(pid_in(proc_.get())), *process_.oom_score_adj);
      };
    if (plan_.intermediate) {
      plan_.enter = [this] { return leave_host(); };
      return {};
    }
    plan_.before = [this] { return for_children_.close_to_others(); };
    plan_.after = [this] { return for_children_.restore(); };
    return {};
  }

  // In the process in between, whose labels for the next execve, root, directory and descriptors the next one inherits.
  Result<> leave_host() {
    CGX_CHECK(set_labels(proc_.get(), process_));
    // The next one is closed to who has no such right, from its first instruction on.
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail_errno(errno, "PR_SET_DUMPABLE");
    // With all namespaces in one call the rights of the caller count for each of them, and not those in the user
    // namespace that it gets into.
    if (setns(target_.get(), flags_) != 0) return fail_errno(errno, "setns");
    if (root_.valid() && (fchdir(root_.get()) != 0 || chroot(".") != 0)) return fail_errno(errno, "chroot");
    return close_but(passed_, {child_.channel->descriptor(), console_.get()});
  }

  [[nodiscard]] sys::Fd group_of_init() const {
    const Hierarchy* v2 = request_.group->hierarchies().unified();
    const auto root = v2->root();
    const auto text = sys::read_file(proc_.get(), fmt::format("{}/cgroup", request_.init));
    if (!root || !text) return {};
    for (const std::string_view line : sys::lines(*text))
      if (line.starts_with("0::/"))
        if (auto dir = sys::open_beneath(*root, line.substr(4), O_RDONLY | O_DIRECTORY)) return *std::move(dir);
    return {};
  }

  void fill_child() {
    child_.process = &process_;
    child_.seccomp = request_.seccomp ? &*request_.seccomp : nullptr;
    const bool user = (flags_ & CLONE_NEWUSER) != 0;
    child_.proc = plan_.intermediate ? -1 : proc_.get();
    child_.passed = passed_;
    child_.user_namespace = user;
    child_.become_root = user;
    child_.limits_by_parent = user && geteuid() == 0;
    child_.console_socket = console_.get();
    if (!request_.no_new_keyring) child_.keyring = "_ses." + request_.id;
    child_.limits_before = request_.limits_before;
    child_.confirm = request_.record || pidfd_socket_.valid();
    child_.state_json = request_.state_json;
    child_.trace = request_.trace != nullptr;
    child_.spec = request_.spec;
    child_.target = target_.get();
    child_.target_root = plan_.intermediate ? -1 : root_.get();
    child_.target_flags = plan_.intermediate ? 0 : flags_;
  }

  EnterRequest& request_;
  const Process& process_;
  Passed passed_;
  sys::Fd proc_, target_, root_, console_, pidfd_socket_;
  int flags_ = 0;
  ForChildren for_children_;
  BirthPlan plan_;
  ChildPlan child_;
};

}  // namespace

Result<Launched> enter(EnterRequest& request) { return Enter(request).run(); }

}  // namespace cgx::container
