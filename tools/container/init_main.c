// SPDX-License-Identifier: Apache-2.0
// cgx-init -- CMD [ARG...]: the first process of a container with --init. The kernel drops signals that the first
// process of a pid namespace has no handler for, and leaves orphans to it: this one starts CMD, hands on signals,
// reaps, and ends with CMD's status.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "--") == 0) {
    ++argv;
    --argc;
  }
  if (argc < 2) return 125;
  sigset_t all, before;
  sigfillset(&all);
  // Faults of its own, and what the terminal stops background processes with.
  const int own[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS, SIGTTIN, SIGTTOU};
  for (unsigned i = 0; i < sizeof own / sizeof own[0]; ++i) sigdelset(&all, own[i]);
  sigprocmask(SIG_SETMASK, &all, &before);
  const pid_t child = fork();
  if (child < 0) return 125;
  if (child == 0) {
    // A group of its own, in the foreground of the terminal: what is typed is for it.
    if (isatty(0)) {
      setpgid(0, 0);
      signal(SIGTTOU, SIG_IGN);
      tcsetpgrp(0, getpid());
      signal(SIGTTOU, SIG_DFL);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    execvp(argv[1], argv + 1);
    const int code = errno;
    fprintf(stderr, "cgx-init: %s: %s\n", argv[1], strerror(code));
    _exit(code == ENOENT ? 127 : 126);
  }
  for (;;) {
    siginfo_t info;
    const int signal_number = sigwaitinfo(&all, &info);
    if (signal_number < 0) continue;
    if (signal_number != SIGCHLD) {
      kill(child, signal_number);
      continue;
    }
    int status = 0;
    pid_t ended = 0;
    while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
      if (ended == child) return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
}
