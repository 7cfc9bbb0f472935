// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/child.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <span>

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/credentials.h"
#include "cgx/container/limits.h"
#include "cgx/container/proc_fd.h"
#include "cgx/container/root_dir.h"
#include "cgx/container/start_fifo.h"
#include "cgx/container/terminal.h"

namespace cgx::container {
namespace {

constexpr mode_t usual_umask = 0022;

Result<> system_call(int rc, std::string_view what) {
  if (rc == 0) return {};
  return fail_errno(errno, what);
}

class ContainerProcess {
 public:
  explicit ContainerProcess(ChildPlan& plan) : plan_(plan), process_(*plan.process) {}

  using Run = Result<> (ContainerProcess::*)();
  struct Step {
    Stage stage;
    Run run;
  };
  [[noreturn]] void run(std::span<const Step> steps) {
    for (const Step& step : steps) {
      plan_.progress->stage = step.stage;
      if (plan_.trace && !filtered_) (void)plan_.channel->send(Notice::trace, step.stage);
      if (auto done = (this->*step.run)(); !done) refuse(step.stage, done.error());
    }
    _exit(255);
  }

  Result<> join();
  Result<> join_target();
  Result<> identity();
  Result<> cgroup_namespace();
  Result<> network();
  Result<> mounts();
  Result<> hooks();
  Result<> pivot_root();
  Result<> console();
  Result<> terminal();
  Result<> sysctl();
  Result<> hostname();
  Result<> protect();
  Result<> limits();
  Result<> label();
  Result<> no_new_privs();
  Result<> early_cwd();
  Result<> user();
  Result<> cwd();
  Result<> program();
  Result<> ready();
  Result<> start();
  Result<> exec();

 private:
  [[noreturn]] void refuse(Stage stage, const Error& error);
  // Waits for the parent, and ends where there is none any more.
  Result<> ask(Notice word, int value = 0, std::string_view text = {}) {
    CGX_CHECK(plan_.channel->send(word, plan_.progress->stage, value, text));
    const auto answer = CGX_TRY(plan_.channel->receive());
    if (!answer) _exit(1);
    return {};
  }
  Result<> warn(const std::string& text) {
    if (text.empty()) return {};
    return plan_.channel->send(Notice::warning, plan_.progress->stage, 0, text);
  }
  Result<> bind_to_parent() { return system_call(prctl(PR_SET_PDEATHSIG, SIGKILL), "PR_SET_PDEATHSIG"); }
  [[nodiscard]] HookInput hook_input(std::string directory) const {
    return {.state = plan_.state_json("created", getpid()),
            .directory = std::move(directory),
            .out = plan_.hook_out,
            .err = plan_.hook_err,
            .confine = [this] { return set_rlimits(0, plan_.limits_before); }};
  }
  Result<> open_terminal_here(bool as_console);
  Result<> let_go();
  Result<> load_filter();
  Result<> settle();
  Result<> limits_as_before();

  ChildPlan& plan_;
  const Process& process_;
  Terminal terminal_;
  sys::Fd fifo_;
  sys::Fd own_proc_;  // to open the fifo by, in place of the caller's
  bool in_cwd_ = false;
  bool filtered_ = false;  // the program's filter is loaded: it may refuse each system call
  std::vector<std::string> env_;
  std::string path_;
};

void ContainerProcess::refuse(Stage stage, const Error& error) {
  const std::string text = error.text();
  plan_.progress->fail(error.code, text);
  if (filtered_ && !fifo_.valid()) _exit(255);
  if (!filtered_ && plan_.channel->send(Notice::failed, stage, error.code, text)) _exit(255);
  // The launcher is gone. Who starts a created container reads the fifo.
  if (fifo_.valid()) {
    const std::string line = text + "\n";
    (void)!write(fifo_.get(), text.data(), text.size());
    (void)!write(STDERR_FILENO, line.data(), line.size());
  }
  _exit(255);
}

Result<> ContainerProcess::join() {
  reset_signals();
  CGX_CHECK(close_at_exec(plan_.passed.first_closed));
  if (setsid() < 0) return fail_errno(errno, "setsid");
  if (plan_.join_here) return join_namespaces(*plan_.namespaces, CLONE_NEWPID);
  return {};
}

Result<> ContainerProcess::join_target() {
  reset_signals();
  CGX_CHECK(close_at_exec(plan_.passed.first_closed));
  if (setsid() < 0) return fail_errno(errno, "setsid");
  if (plan_.target_flags != 0) CGX_CHECK(system_call(setns(plan_.target, plan_.target_flags), "setns"));
  if (plan_.target_root < 0) return {};
  CGX_CHECK(system_call(fchdir(plan_.target_root), "fchdir"));
  return system_call(chroot("."), "chroot");
}

Result<> ContainerProcess::identity() {
  if (plan_.wait_for_maps) {
    // Up to now the parent, who may be no more than the same user, has to be able to write to /proc/PID.
    const auto answer = CGX_TRY(plan_.channel->receive());
    if (!answer) _exit(1);
  }
  // As long as the files of this process in /proc are its own, which a change of ids ends.
  if (plan_.time_here) {
    CGX_CHECK(system_call(unshare(CLONE_NEWTIME), "unshare of the time namespace"));
    CGX_CHECK(write_time_offsets(plan_.proc, CGX_TRY(pid_in(plan_.proc)), plan_.spec->linux_));
    // unshare(2) is for the children, and before Linux 6.2 a program that is executed does not get there either.
    const sys::Fd own(openat(plan_.proc, "self/ns/time_for_children", O_RDONLY | O_CLOEXEC));
    if (!own.valid()) return fail_errno(errno, "time_for_children");
    CGX_CHECK(system_call(setns(own.get(), CLONE_NEWTIME), "setns of the time namespace"));
  }
  if (plan_.become_root) {
    // EINVAL: it has no root. The process has all capabilities in it anyway.
    if (setresgid(0, 0, 0) != 0 && errno != EINVAL) return fail_errno(errno, "setresgid");
    if (setresuid(0, 0, 0) != 0 && errno != EINVAL) return fail_errno(errno, "setresuid");
    CGX_CHECK(bind_to_parent());  // a change of ids clears it
  }
  // Nobody in the container, and no other process of its user, gets at what this one has open.
  CGX_CHECK(system_call(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "PR_SET_DUMPABLE"));
  return {};
}

// Made when the process is in its groups in all hierarchies: they are the roots that the namespace shows.
Result<> ContainerProcess::cgroup_namespace() {
  if (!plan_.namespaces->makes(CLONE_NEWCGROUP)) return {};
  return system_call(unshare(CLONE_NEWCGROUP), "unshare");
}

Result<> ContainerProcess::network() {
  if (plan_.namespaces->makes(CLONE_NEWNET)) CGX_CHECK(loopback_up());
  return plan_.spec->linux_.net_devices.empty() ? Result<>() : ask(Notice::devices);
}

Result<> ContainerProcess::mounts() {
  if (plan_.rootfs->callers_mounts.valid())
    plan_.rootfs->own_mounts.reset(openat(plan_.proc, "self/ns/mnt", O_RDONLY | O_CLOEXEC));
  if (plan_.rootfs->prepared_in_child) CGX_CHECK(prepare_rootfs(*plan_.rootfs));
  return build_rootfs(*plan_.rootfs);
}

Result<> ContainerProcess::hooks() {
  const Hooks& hooks = plan_.spec->hooks;
  if (!hooks.prestart.empty() || !hooks.create_runtime.empty()) CGX_CHECK(ask(Notice::hooks));
  if (hooks.create_container.empty()) return {};
  return run_hooks(hooks.create_container, "createContainer", hook_input(plan_.bundle));
}

Result<> ContainerProcess::pivot_root() {
  CGX_CHECK(enter_rootfs(*plan_.rootfs));
  // The working directory is made while the root can be written to, in the root, through no magic link. What is wrong
  // with it the stage that enters it says.
  if (process_.cwd == "/") return {};
  (void)umask(usual_umask);
  (void)make_in_root(plan_.rootfs->root.get(), process_.cwd, NewKind::directory);
  return {};
}

Result<> ContainerProcess::open_terminal_here(bool as_console) {
  terminal_ = CGX_TRY(open_terminal(process_));
  if (as_console) CGX_CHECK(bind_console(*plan_.rootfs, terminal_.slave.get()));
  if (plan_.console_socket >= 0)
    CGX_CHECK(send_descriptor(plan_.console_socket, terminal_.name, terminal_.master.get()));
  else
    CGX_CHECK(plan_.channel->send(Notice::terminal, plan_.progress->stage, 0, terminal_.name, terminal_.master.get()));
  CGX_CHECK(take_terminal(terminal_));
  terminal_ = {};
  return {};
}

Result<> ContainerProcess::console() { return process_.terminal ? open_terminal_here(true) : Result<>(); }

Result<> ContainerProcess::terminal() { return process_.terminal ? open_terminal_here(false) : Result<>(); }

Result<> ContainerProcess::sysctl() { return write_sysctls(plan_.proc, plan_.spec->linux_.sysctl, *plan_.namespaces); }

Result<> ContainerProcess::hostname() {
  const Spec& spec = *plan_.spec;
  if (!spec.hostname.empty())
    CGX_CHECK(system_call(sethostname(spec.hostname.data(), spec.hostname.size()), "sethostname"));
  if (!spec.domainname.empty())
    CGX_CHECK(system_call(setdomainname(spec.domainname.data(), spec.domainname.size()), "setdomainname"));
  return {};
}

Result<> ContainerProcess::protect() {
  // Where it cannot be made (in a user namespace, whose processes can do nothing with the caller's) the caller's
  // serves.
  if (plan_.start_fifo >= 0)
    if (auto own = open_proc(ProcView::processes)) own_proc_ = *std::move(own);
  CGX_CHECK(protect_rootfs(*plan_.rootfs));
  return leave_mounts(*plan_.rootfs);
}

Result<> ContainerProcess::limits() {
  if (!plan_.keyring.empty()) CGX_CHECK(warn(CGX_TRY(join_keyring(plan_.keyring, plan_.user_namespace))));
  if (process_.io_priority) CGX_CHECK(set_io_priority(*process_.io_priority));
  if (process_.scheduler) CGX_CHECK(set_scheduler(*process_.scheduler));
  if (plan_.target >= 0 && process_.exec_cpu_affinity && !process_.exec_cpu_affinity->final.empty())
    CGX_CHECK(set_affinity(process_.exec_cpu_affinity->final));
  if (plan_.spec->linux_.memory_policy) CGX_CHECK(set_memory_policy(*plan_.spec->linux_.memory_policy));
  if (plan_.spec->linux_.personality) CGX_CHECK(set_personality(*plan_.spec->linux_.personality));
  if (process_.rlimits.empty()) return {};
  return plan_.limits_by_parent ? ask(Notice::limits) : set_rlimits(0, process_.rlimits);
}

Result<> ContainerProcess::label() { return plan_.proc < 0 ? Result<>() : set_labels(plan_.proc, process_); }

// Those that this program has raised for itself, but not over what the container is to have.
Result<> ContainerProcess::limits_as_before() {
  for (const Rlimit& before : plan_.limits_before)
    if (std::ranges::find(process_.rlimits, before.resource, &Rlimit::resource) == process_.rlimits.end())
      CGX_CHECK(set_rlimits(0, {before}));
  return {};
}

// Nothing survives execve(2) but what the program is given; signals are as it expects them. The limit of descriptors is
// the last: with a low one nothing more could be opened.
Result<> ContainerProcess::settle() {
  CGX_CHECK(close_at_exec(plan_.passed.first_closed));
  CGX_CHECK(limits_as_before());
  sigset_t none;
  sigemptyset(&none);
  (void)signal(SIGPIPE, SIG_DFL);
  (void)sigprocmask(SIG_SETMASK, &none, nullptr);
  return {};
}

Result<> ContainerProcess::load_filter() {
  plan_.progress->stage = Stage::seccomp;
  const sys::Fd listener = CGX_TRY(load_seccomp(*plan_.seccomp));
  filtered_ = true;
  // By its number and with plain calls: the filter may already stop at sendmsg(2), and wait for who gets the listener.
  if (listener.valid()) return plan_.channel->ask_plainly(Notice::listener, plan_.progress->stage, listener.get());
  return {};
}

Result<> ContainerProcess::no_new_privs() {
  if (!process_.no_new_privileges) return {};
  return system_call(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
}

Result<> ContainerProcess::user() {
  own_standard_streams(process_.user, process_.terminal);
  (void)umask(process_.user.umask.value_or(usual_umask) & 0777U);
  const std::string warning = CGX_TRY(become(process_,
                                             {.filter = plan_.seccomp != nullptr && !process_.no_new_privileges,
                                              .groups = plan_.spec->switched_on("run.oci.keep_original_groups")}));
  CGX_CHECK(bind_to_parent());  // cleared by a change of ids or of capabilities
  // And that a change of ids sets to /proc/sys/fs/suid_dumpable.
  CGX_CHECK(system_call(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "PR_SET_DUMPABLE"));
  return warn(warning);
}

// By root of the container, which may search where its user may not. What it may not, as on a file system of a network,
// the user may.
Result<> ContainerProcess::early_cwd() {
  auto entered = enter_directory(process_.cwd);
  in_cwd_ = entered.has_value();
  if (in_cwd_ || entered.error().code == EACCES || entered.error().code == EPERM) return {};
  return entered;
}

Result<> ContainerProcess::cwd() { return in_cwd_ ? Result<>() : enter_directory(process_.cwd); }

Result<> ContainerProcess::program() {
  env_ = environment_of(process_, plan_.passed.listening);
  path_ = CGX_TRY(find_program(process_.args.front(), env_));
  return {};
}

// Whoever is told of the container may bring other processes into it, and they see what this one has open: nothing of
// the host is among it from here on.
Result<> ContainerProcess::let_go() {
  std::vector<int> kept{plan_.channel->descriptor(), plan_.start_fifo};
  if (plan_.start_fifo >= 0) kept.push_back(own_proc_.valid() ? own_proc_.get() : plan_.proc);
  if (plan_.target < 0 && !plan_.spec->hooks.start_container.empty())
    kept.insert(kept.end(), {plan_.hook_out, plan_.hook_err});
  return close_but(plan_.passed, std::move(kept));
}

Result<> ContainerProcess::ready() {
  CGX_CHECK(let_go());
  if (plan_.confirm || plan_.start_fifo >= 0) CGX_CHECK(ask(Notice::ready));
  // Asked once more, since the parent may have ended before the signal was bound to its end again.
  if (plan_.channel->ended()) _exit(1);
  // Who has recorded it finds it again, and it is on its own. Any other is its launcher's alone, and ends with that.
  if (plan_.confirm || plan_.start_fifo >= 0) CGX_CHECK(system_call(prctl(PR_SET_PDEATHSIG, 0), "PR_SET_PDEATHSIG"));
  if (plan_.seccomp == nullptr || !plan_.seccomp->notifies) return {};
  // The launcher hands its listener over, and is gone when the program is executed: this filter is loaded now.
  CGX_CHECK(settle());
  return load_filter();
}

Result<> ContainerProcess::start() {
  if (plan_.start_fifo >= 0) {
    end_by_signals();
    // The end of the socket is how the launcher learns that the container waits, on its own.
    CGX_CHECK(plan_.channel->tell_plainly(Notice::go, Stage::start, 0));
    fifo_ = CGX_TRY(wait_for_start(own_proc_.valid() ? own_proc_.get() : plan_.proc, plan_.start_fifo));
  }
  const auto& hooks = plan_.spec->hooks.start_container;
  if (plan_.target >= 0 || hooks.empty()) return {};
  // Programs of the container: they see nothing of the host's environment, are in the container's directory and under
  // its filter.
  HookInput input = hook_input(".");
  input.env = &env_;
  input.confine = [this]() -> Result<> {
    if (filtered_) return {};  // settle() has given the limits back
    CGX_CHECK(limits_as_before());
    if (plan_.seccomp != nullptr) (void)CGX_TRY(load_seccomp(*plan_.seccomp));
    return {};
  };
  return run_hooks(hooks, "startContainer", input);
}

Result<> ContainerProcess::exec() {
  const std::vector<char*> argv = pointers_to(process_.args);
  const std::vector<char*> env = pointers_to(env_);
  if (!filtered_) {
    // Once more: what was opened since, by the libraries too.
    CGX_CHECK(settle());
    // The last, whether by no_new_privs or by a capability that was kept for it: from here on the filter is asked for
    // execve(2) alone.
    if (plan_.seccomp != nullptr) CGX_CHECK(load_filter());
    plan_.progress->stage = Stage::exec;
  }
  (void)execve(path_.c_str(), argv.data(), env.data());
  std::string reason = errno_text(errno);
  if (!reason.empty() && reason[0] >= 'A' && reason[0] <= 'Z') reason[0] = static_cast<char>(reason[0] - 'A' + 'a');
  return fail(errno, fmt::format("exec {}: {}", path_, reason));
}

using P = ContainerProcess;

constexpr std::array first_process{
    P::Step{Stage::namespaces, &P::join},
    P::Step{Stage::identity, &P::identity},
    P::Step{Stage::cgroup_namespace, &P::cgroup_namespace},
    P::Step{Stage::network, &P::network},
    P::Step{Stage::mounts, &P::mounts},
    P::Step{Stage::hooks, &P::hooks},
    P::Step{Stage::pivot_root, &P::pivot_root},
    P::Step{Stage::terminal, &P::console},
    P::Step{Stage::sysctl, &P::sysctl},
    P::Step{Stage::hostname, &P::hostname},
    P::Step{Stage::protect, &P::protect},
    P::Step{Stage::limits, &P::limits},
    P::Step{Stage::label, &P::label},
    P::Step{Stage::user, &P::no_new_privs},
    P::Step{Stage::cwd, &P::early_cwd},
    P::Step{Stage::user, &P::user},
    P::Step{Stage::cwd, &P::cwd},
    P::Step{Stage::program, &P::program},
    P::Step{Stage::ready, &P::ready},
    P::Step{Stage::start, &P::start},
    P::Step{Stage::exec, &P::exec},
};

constexpr std::array further_process{
    P::Step{Stage::namespaces, &P::join_target},
    P::Step{Stage::identity, &P::identity},
    P::Step{Stage::terminal, &P::terminal},
    P::Step{Stage::limits, &P::limits},
    P::Step{Stage::label, &P::label},
    P::Step{Stage::user, &P::no_new_privs},
    P::Step{Stage::cwd, &P::early_cwd},
    P::Step{Stage::user, &P::user},
    P::Step{Stage::cwd, &P::cwd},
    P::Step{Stage::program, &P::program},
    P::Step{Stage::ready, &P::ready},
    P::Step{Stage::exec, &P::exec},
};

}  // namespace

void run_first_process(ChildPlan& plan) { ContainerProcess(plan).run(first_process); }

void run_further_process(ChildPlan& plan) { ContainerProcess(plan).run(further_process); }

}  // namespace cgx::container
