// SPDX-License-Identifier: Apache-2.0
#include "exec_signals.h"

#include <array>
#include <cerrno>

#include <sys/wait.h>
#include <unistd.h>

#include "cgx/sys/process.h"

namespace cgx::tool {
namespace {

constexpr std::array passed_on{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGALRM, SIGPIPE};

}  // namespace

Signals::Signals() {
  sigemptyset(&set_);
  sigaddset(&set_, SIGCHLD);
  for (const int s : passed_on) sigaddset(&set_, s);
  (void)sigprocmask(SIG_BLOCK, &set_, &before_);
}

int Signals::ending() const {
  sigset_t pending;
  sigemptyset(&pending);
  (void)sigpending(&pending);
  for (const int s : {SIGHUP, SIGINT, SIGQUIT, SIGTERM})
    if (sigismember(&pending, s) == 1 && sigismember(&before_, s) == 0) return s;
  return 0;
}

Result<int> wait_and_pass_on(const Child& child, const sigset_t& set) {
  while (true) {
    siginfo_t got{};
    const int signal = sigwaitinfo(&set, &got);
    if (signal > 0 && signal != SIGCHLD) {
      // Of a hang-up the terminal tells the leader of the session alone.
      const bool sent_to_all = got.si_code == SI_KERNEL && !(signal == SIGHUP && getsid(0) == getpid());
      // By its number before Linux 5.3, which has no pidfds: it is its own until it is waited for.
      if (!sent_to_all && sys::signal_process(child.pidfd.get(), signal) == EBADF) (void)kill(child.pid, signal);
      continue;
    }
    int status = 0;
    const pid_t ended = waitpid(child.pid, &status, WNOHANG);
    if (ended < 0 && errno != EINTR) return fail_errno(errno, "waiting for the command");
    if (ended != child.pid) continue;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
}

}  // namespace cgx::tool
