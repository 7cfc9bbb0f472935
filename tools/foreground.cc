// SPDX-License-Identifier: Apache-2.0
// The end of a process in the foreground: its status, the signals on the way to it, its terminal.
#include "foreground.h"

#include <array>
#include <cerrno>
#include <optional>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/process.h"

#include "detach_keys.h"

namespace cgx::tool {
namespace {

// The caller's terminal lets every byte through while this lives: the container's own terminal interprets them.
class RawTerminal {
 public:
  RawTerminal() {
    if (tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios raw = before_;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST;
    is_raw_ = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal() {
    if (is_raw_) (void)tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }

 private:
  termios before_{};
  bool is_raw_ = false;
};

void copy_size(int master) {
  winsize size{};
  if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0) (void)ioctl(master, TIOCSWINSZ, &size);
}

class Waiter {
 public:
  Waiter(const container::Launched& launched, std::string_view keys)
      : process_(launched), master_(launched.terminal.get()), keys_(keys) {
    sigfillset(&signals_);
    // What this process gets for its own mistakes, and for the terminal, is its own.
    for (const int s : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP, SIGTTIN, SIGTTOU})
      sigdelset(&signals_, s);
    (void)sigprocmask(SIG_BLOCK, &signals_, &before_);
    queue_ = sys::Fd(signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;
  ~Waiter() { (void)sigprocmask(SIG_SETMASK, &before_, nullptr); }

  Result<int> run() {
    if (!queue_.valid()) return fail_errno(errno, "signalfd");
    std::optional<RawTerminal> raw;
    if (master_ >= 0) {
      raw.emplace();
      copy_size(master_);
    }
    while (!ended_ && !left_) CGX_CHECK(step());
    if (left_) return hold_terminal();
    if (master_ >= 0) drain();
    return status_;
  }

 private:
  Result<> step() {
    std::array<pollfd, 4> fds{pollfd{.fd = process_.pidfd.get(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = queue_.get(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = reads_ && master_ >= 0 ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0},
                              pollfd{.fd = master_, .events = POLLIN, .revents = 0}};
    if (poll(fds.data(), fds.size(), -1) < 0) {
      if (errno == EINTR) return {};
      return fail_errno(errno, "poll");
    }
    if (fds[1].revents != 0) pass_signals();
    if (fds[2].revents != 0) reads_ = type();
    if (fds[3].revents != 0 && !copy(master_, STDOUT_FILENO) && fds[0].revents == 0) {
      // The last one of the other side has closed it; the end of the process follows.
      master_gone_ = true;
      pollfd one{.fd = process_.pidfd.get(), .events = POLLIN, .revents = 0};
      (void)poll(&one, 1, 100);
    }
    return reap();
  }

  Result<> reap() {
    siginfo_t info{};
    if (waitid(P_PIDFD, static_cast<id_t>(process_.pidfd.get()), &info, WEXITED | WNOHANG) != 0) {
      if (errno == EINTR) return {};
      return fail_errno(errno, "waiting for the process");
    }
    if (info.si_pid == 0) return {};
    ended_ = true;
    status_ = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    return {};
  }

  void pass_signals() {
    signalfd_siginfo got{};
    while (read(queue_.get(), &got, sizeof got) == static_cast<ssize_t>(sizeof got)) {
      const int signal = static_cast<int>(got.ssi_signo);
      if (signal == SIGCHLD || signal == SIGPIPE || signal == SIGURG) continue;
      if (signal == SIGWINCH && master_ >= 0)
        copy_size(master_);
      else
        (void)sys::signal_process(process_.pidfd.get(), signal);  // ESRCH: it has just ended
    }
  }

  static bool write_all(int to, std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = write(to, text.data(), text.size());
      if (n < 0 && errno != EINTR && errno != EAGAIN) return false;
      if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  // false: there is nothing more to come, or nobody who takes it.
  static bool copy(int from, int to) {
    std::array<char, 16384> buffer{};
    const ssize_t n = read(from, buffer.data(), buffer.size());
    if (n < 0) return errno == EINTR || errno == EAGAIN;
    return n > 0 && write_all(to, std::string_view(buffer.data(), static_cast<std::size_t>(n)));
  }

  // What was typed, to the process; false as of copy().
  bool type() {
    std::array<char, 16384> buffer{};
    const ssize_t n = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (n < 0) return errno == EINTR || errno == EAGAIN;
    if (n == 0) return false;
    std::string text(buffer.data(), static_cast<std::size_t>(n));
    left_ = keys_.typed(text);
    return left_ || write_all(master_, text);
  }

  // A terminal whose master is closed hangs up: the process would die. A copy of this one keeps it open as long as
  // somebody has the other side, and reads, so that nobody waits for room in it.
  Result<int> hold_terminal() const {
    const pid_t child = fork();
    if (child < 0) return fail_errno(errno, "fork");
    if (child > 0) return -1;
    (void)setsid();
    (void)signal(SIGHUP, SIG_IGN);  // of the caller's terminal, which may have come before that
    (void)sigprocmask(SIG_SETMASK, &before_, nullptr);
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; ++fd) (void)dup2(null, fd);
    sys::close_all_but({STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, master_});
    while (copy(master_, STDOUT_FILENO)) continue;
    _exit(0);
  }

  // What the process wrote before it ended is still in the terminal.
  void drain() const {
    if (master_gone_) return;
    (void)fcntl(master_, F_SETFL, fcntl(master_, F_GETFL) | O_NONBLOCK);
    for (;;) {
      pollfd one{.fd = master_, .events = POLLIN, .revents = 0};
      if (poll(&one, 1, 0) <= 0 || (one.revents & POLLIN) == 0 || !copy(master_, STDOUT_FILENO)) return;
    }
  }

  const container::Launched& process_;
  int master_;
  sigset_t signals_{}, before_{};
  sys::Fd queue_;
  DetachKeys keys_;
  bool reads_ = true;
  bool left_ = false;
  bool ended_ = false;
  bool master_gone_ = false;
  int status_ = 0;
};

}  // namespace

Result<int> wait_in_foreground(const container::Launched& launched, std::string_view keys) {
  return Waiter(launched, keys).run();
}

}  // namespace cgx::tool
