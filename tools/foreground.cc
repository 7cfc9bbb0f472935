// SPDX-License-Identifier: Apache-2.0
// The end of a process in the foreground: its status, the signals on the way to it, its terminal.
#include "foreground.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/process.h"
#include "cgx/sys/text.h"

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

// A write of so much to a pipe that poll(2) calls writable does not block: there is a free page.
constexpr std::size_t most_write = 4096;
constexpr std::size_t most_typed = 65536;  // what the process has not read yet
// More than a terminal holds. What others go on writing to it when the process has ended is not waited for.
constexpr std::size_t most_left = 65536;

// A terminal may block a write in the middle also where poll(2) calls it writable. Others have its description too, so
// the flag is set on one of this process alone. Invalid where it cannot be opened: standard output itself then.
sys::Fd open_output() {
  if (isatty(STDOUT_FILENO) != 1) return {};
  return sys::Fd(open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

// A hang-up takes the terminal from all of its session.
bool has_terminal() { return sys::Fd(open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)).valid(); }

// Whether the process neither handles nor ignores SIGHUP. False where it cannot be seen.
bool dies_of_hang_up(pid_t pid) {
  const auto text = sys::read_path(fmt::format("/proc/{}/status", pid));
  if (!text) return false;
  for (const std::string_view line : sys::lines(*text)) {
    if (!line.starts_with("SigIgn:") && !line.starts_with("SigCgt:")) continue;
    const auto set = sys::parse_any_base(fmt::format("0x{}", sys::trim(line.substr(7))), UINT64_MAX);
    if (!set || (*set & (std::uint64_t{1} << (SIGHUP - 1U))) != 0) return false;
  }
  return true;
}

// Nothing here waits but the poll, so that signals and keys always get through: not a reader of the output that stands
// still, nor a process that reads no input.
class Waiter {
 public:
  Waiter(container::Launched& launched, std::string_view keys, HangUp hang_up)
      : process_(launched.pidfd.get()),
        pid_(launched.pid),
        master_(launched.terminal),
        ends_with_terminal_(hang_up == HangUp::ends && has_terminal()),
        keys_(keys) {
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
    if (master_.valid()) {
      raw.emplace();
      copy_size(master_.get());
      (void)fcntl(master_.get(), F_SETFL, fcntl(master_.get(), F_GETFL) | O_NONBLOCK);
      output_ = open_output();
    }
    while (!done_ && !left_) CGX_CHECK(step());
    if (left_) {
      print_what_is_taken();
      return hold_terminal();
    }
    if (failed_ != 0) return fail_errno(failed_, "standard output");
    return status_;
  }

 private:
  Result<> step() {
    const bool rests = std::exchange(rests_, false), full = std::exchange(full_, false);
    const bool prints = !text_.empty(), types = !typed_.empty();
    const bool reads = reads_ && !ended_ && master_.valid() && typed_.size() < most_typed;
    const bool takes = !prints && taken_at_end_ <= most_left;
    const auto of_master = static_cast<short>((takes ? POLLIN : 0) | (types ? POLLOUT : 0));
    std::array<pollfd, 5> fds{
        pollfd{.fd = ended_ ? -1 : process_, .events = POLLIN, .revents = 0},
        pollfd{.fd = queue_.get(), .events = POLLIN, .revents = 0},
        pollfd{.fd = reads ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0},
        pollfd{.fd = rests || of_master == 0 ? -1 : master_.get(), .events = of_master, .revents = 0},
        pollfd{.fd = prints && !full ? output() : -1, .events = POLLOUT, .revents = 0}};
    const int ready = poll(fds.data(), fds.size(), timeout(rests || full));
    if (ready < 0) {
      if (errno == EINTR) return {};
      return fail_errno(errno, "poll");
    }
    if (fds[1].revents != 0) pass_signals();
    if (fds[2].revents != 0) take_input();
    if (fds[4].revents != 0) print();
    if (fds[3].revents != 0 && master_.valid()) {
      const bool sent = types && send_input();
      const bool got = takes && take_output();
      // Nobody has the other side open: the end of the process follows, or somebody opens it again.
      rests_ = !sent && !got && (fds[3].revents & (POLLHUP | POLLERR)) != 0;
    }
    // What the process wrote before it ended is still in the terminal.
    const bool nothing_left = !prints && text_.empty() && (fds[3].revents == 0 || rests_);
    if (ended_ && (nothing_left || (ready == 0 && told_))) done_ = true;
    return ended_ ? Result<>() : reap();
  }

  // Of the poll. Who was told to end does not wait long for a reader that stands still.
  [[nodiscard]] int timeout(bool looks_again) const {
    if (ended_ && text_.empty()) return 0;
    if (ended_ && told_) return 1000;
    return looks_again ? 100 : -1;
  }

  Result<> reap() {
    siginfo_t info{};
    if (waitid(P_PIDFD, static_cast<id_t>(process_), &info, WEXITED | WNOHANG) != 0) {
      if (errno == EINTR) return {};
      return fail_errno(errno, "waiting for the process");
    }
    if (info.si_pid == 0) return {};
    ended_ = true;
    rests_ = false;
    typed_.clear();
    status_ = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    done_ = !master_.valid();
    return {};
  }

  void pass_signals() {
    signalfd_siginfo got{};
    while (read(queue_.get(), &got, sizeof got) == static_cast<ssize_t>(sizeof got)) {
      const int signal = static_cast<int>(got.ssi_signo);
      if (signal == SIGCHLD || signal == SIGPIPE || signal == SIGURG) continue;
      if (signal == SIGWINCH && master_.valid()) {
        copy_size(master_.get());
        continue;
      }
      const bool ends = signal == SIGTERM || signal == SIGINT || signal == SIGHUP || signal == SIGQUIT;
      told_ = told_ || ends;
      // Asked before the signal, which may make the process another one.
      const bool kills = signal == SIGHUP && !ended_ && ends_with_terminal_ && !has_terminal() && dies_of_hang_up(pid_);
      if (!ended_)
        (void)sys::signal_process(process_, kills ? SIGKILL : signal);  // ESRCH: it has just ended
      else
        done_ = done_ || ends;
    }
  }

  [[nodiscard]] int output() const { return output_.valid() ? output_.get() : STDOUT_FILENO; }

  void print() {
    const ssize_t n = write(output(), text_.data(), std::min(text_.size(), most_write));
    if (n > 0) text_.erase(0, static_cast<std::size_t>(n));
    full_ = n < 0 && errno == EAGAIN;  // a terminal with room for less than a character
    if (n >= 0 || errno == EINTR || full_) return;
    const int code = errno;
    text_.clear();
    if (code == EBADF) return;  // the caller has closed it: nobody wants this
    // A program without a terminal of its own would get the end of the reader itself. This one is hung up on.
    if (code == EPIPE)
      pass_signals();  // takes the SIGPIPE of this write, which would end this process once it is not blocked
    else
      failed_ = code;
    master_.reset(-1);
    typed_.clear();
    done_ = ended_;
  }

  void print_what_is_taken() {
    pollfd one{.fd = output(), .events = POLLOUT, .revents = 0};
    while (!text_.empty() && !full_ && poll(&one, 1, 0) == 1) print();
  }

  // The two of the terminal; false: nothing was moved.
  bool take_output() {
    std::array<char, 16384> buffer{};
    const ssize_t n = read(master_.get(), buffer.data(), buffer.size());
    if (n <= 0) return n < 0 && errno == EINTR;
    text_.assign(buffer.data(), static_cast<std::size_t>(n));
    if (ended_) taken_at_end_ += text_.size();
    return true;
  }
  bool send_input() {
    const ssize_t n = write(master_.get(), typed_.data(), typed_.size());
    if (n < 0 && errno != EINTR && errno != EAGAIN) typed_.clear();  // what has ended takes nothing
    if (n > 0) typed_.erase(0, static_cast<std::size_t>(n));
    return n > 0;
  }

  void take_input() {
    std::array<char, 16384> buffer{};
    const ssize_t n = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n <= 0) {
      reads_ = false;
      return;
    }
    std::string text(buffer.data(), static_cast<std::size_t>(n));
    left_ = keys_.typed(text);
    if (!left_) typed_ += text;
  }

  // A terminal whose master is closed hangs up: the process would die. A copy of this one keeps it open as long as
  // somebody has the other side, and reads, so that nobody waits for room in it.
  Result<int> hold_terminal() {
    if (!master_.valid()) return -1;  // nobody took what it printed: it has been hung up on
    const pid_t child = fork();
    if (child < 0) return fail_errno(errno, "fork");
    if (child > 0) return -1;
    (void)setsid();
    (void)signal(SIGHUP, SIG_IGN);  // of the caller's terminal, which may have come before that
    (void)sigprocmask(SIG_SETMASK, &before_, nullptr);
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; ++fd) (void)dup2(null, fd);
    sys::close_all_but({STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, master_.get()});
    for (;;) {
      const bool types = !typed_.empty();
      pollfd one{.fd = master_.get(), .events = static_cast<short>(POLLIN | (types ? POLLOUT : 0)), .revents = 0};
      if (poll(&one, 1, -1) < 0) continue;  // EINTR
      const bool sent = types && send_input();
      if (!take_output() && !sent && (one.revents & (POLLHUP | POLLERR)) != 0) _exit(0);
    }
  }

  int process_;  // a pidfd
  pid_t pid_;
  sys::Fd& master_;
  bool ends_with_terminal_;
  sys::Fd output_;
  sigset_t signals_{}, before_{};
  sys::Fd queue_;
  DetachKeys keys_;
  std::string text_, typed_;  // on the way to the output, and to the terminal
  std::size_t taken_at_end_ = 0;
  bool reads_ = true;
  bool rests_ = false, full_ = false;  // the terminal, the output: looked at a little later
  bool told_ = false;                  // by a signal to end
  bool left_ = false;
  bool ended_ = false, done_ = false;
  int status_ = 0, failed_ = 0;
};

}  // namespace

Result<int> wait_in_foreground(container::Launched& launched, std::string_view keys, HangUp hang_up) {
  return Waiter(launched, keys, hang_up).run();
}

}  // namespace cgx::tool
