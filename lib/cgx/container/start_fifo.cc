// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/start_fifo.h"

#include <cerrno>
#include <csignal>
#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace cgx::container {
namespace {

extern "C" void end_before_start(int signal) { _exit(128 + signal); }

}  // namespace

void end_by_signals() {
  struct sigaction end{};
  end.sa_handler = end_before_start;
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2}) (void)sigaction(number, &end, nullptr);
  sigset_t none;
  sigemptyset(&none);
  (void)signal(SIGPIPE, SIG_IGN);
  (void)sigprocmask(SIG_SETMASK, &none, nullptr);
}

Result<sys::Fd> wait_for_start(int proc, int fifo) {
  const std::string name = "self/fd/" + std::to_string(fifo);
  sys::Fd opened;
  do {
    opened.reset(openat(proc, name.c_str(), O_WRONLY | O_CLOEXEC));
  } while (!opened.valid() && errno == EINTR);
  if (!opened.valid()) return fail_errno(errno, "start fifo");
  return opened;
}

}  // namespace cgx::container
