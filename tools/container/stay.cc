// SPDX-License-Identifier: Apache-2.0
// The foreground of a container: what is between a terminal and the container's monitor.
#include <array>
#include <cerrno>
#include <optional>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "relay.h"

namespace cgx::launcher {
namespace {

class RawInput {
 public:
  RawInput() {
    if (tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios raw = before_;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST;
    is_raw_ = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
  }
  RawInput(const RawInput&) = delete;
  RawInput& operator=(const RawInput&) = delete;
  ~RawInput() {
    if (is_raw_) (void)tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }

 private:
  termios before_{};
  bool is_raw_ = false;
};

void write_out(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EAGAIN) {
      pollfd ready{.fd = fd, .events = POLLOUT, .revents = 0};
      (void)poll(&ready, 1, -1);
      continue;
    }
    if (n < 0 && errno != EINTR) return;  // nobody reads it: the container goes on
    if (n > 0) text.remove_prefix(static_cast<std::size_t>(n));
  }
}

class Stay {
 public:
  explicit Stay(const Foreground& f) : f_(f), reads_(f.input) {
    sigfillset(&set_);
    for (const int s : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP, SIGTTIN, SIGTTOU, SIGTSTP, SIGCONT})
      sigdelset(&set_, s);
    (void)sigprocmask(SIG_BLOCK, &set_, &before_);
    queue_ = sys::Fd(signalfd(-1, &set_, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  Stay(const Stay&) = delete;
  Stay& operator=(const Stay&) = delete;
  ~Stay() { (void)sigprocmask(SIG_SETMASK, &before_, nullptr); }

  Result<int> run() {
    std::optional<RawInput> raw;
    if (f_.terminal && f_.input && isatty(STDIN_FILENO) == 1) raw.emplace();
    if (f_.terminal) send_size();
    while (!over_) CGX_CHECK(step());
    return status_;
  }

 private:
  Result<> step() {
    std::array<pollfd, 3> fds{pollfd{.fd = f_.socket, .events = POLLIN, .revents = 0},
                              pollfd{.fd = queue_.get(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = reads_ ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0}};
    if (poll(fds.data(), fds.size(), -1) < 0) {
      if (errno == EINTR) return {};
      return fail_errno(errno, "poll");
    }
    if (fds[1].revents != 0) take_signals();
    if (fds[0].revents != 0) CGX_CHECK(take_packet());
    if (fds[2].revents != 0 && !over_) take_input();
    return {};
  }

  Result<> take_packet() {
    const auto packet = CGX_TRY(receive_packet(f_.socket));
    if (!packet) {
      over_ = true;
      if (!ended_) return fail(EPIPE, "the container's monitor was killed; the container may still run");
      return {};
    }
    switch (packet->word) {
      case Word::out:
        write_out(STDOUT_FILENO, packet->data);
        break;
      case Word::err:
        write_out(STDERR_FILENO, packet->data);
        break;
      case Word::ended:
        status_ = data_number(packet->data);
        ended_ = true;
        break;
      case Word::failed:
        over_ = true;
        return std::unexpected(data_error(packet->data));
      default:
        break;
    }
    return {};
  }

  void take_input() {
    std::array<char, 16384> buffer;
    const ssize_t n = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n <= 0) {
      reads_ = false;
      (void)send_packet(f_.socket, Word::in_end);
      return;
    }
    std::string text(buffer.data(), static_cast<std::size_t>(n));
    if (f_.terminal && leaves(text)) {
      over_ = true;
      status_ = -1;
      return;
    }
    if (!text.empty()) (void)send_packet(f_.socket, Word::in, text);
  }

  // ctrl-p ctrl-q. A ctrl-p waits for what comes next.
  bool leaves(std::string& text) {
    constexpr char first = 0x10, second = 0x11;
    std::string out;
    for (const char c : text) {
      if (held_) {
        held_ = false;
        if (c == second) return true;
        out += first;
      }
      if (c == first)
        held_ = true;
      else
        out += c;
    }
    text = std::move(out);
    return false;
  }

  void take_signals() {
    signalfd_siginfo got{};
    while (read(queue_.get(), &got, sizeof got) == static_cast<ssize_t>(sizeof got)) {
      const int signal = static_cast<int>(got.ssi_signo);
      if (signal == SIGCHLD || signal == SIGPIPE || signal == SIGURG) continue;
      if (signal == SIGWINCH) {
        if (f_.terminal) send_size();
        continue;
      }
      pass_on(signal);
    }
  }

  // By a connection of its own: this one may wait for the container to read its input.
  void pass_on(int signal) const {
    const sys::Fd dir(open(f_.directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!dir.valid()) return;
    if (const auto other = connect_in(dir.get())) (void)send_packet(other->get(), Word::signal, number_data(signal));
  }

  void send_size() const {
    winsize size{};
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO})
      if (ioctl(fd, TIOCGWINSZ, &size) == 0) {
        (void)send_packet(f_.socket, Word::size, {reinterpret_cast<const char*>(&size), sizeof size});
        return;
      }
  }

  const Foreground& f_;
  sigset_t set_{}, before_{};
  sys::Fd queue_;
  bool reads_;
  bool over_ = false, ended_ = false, held_ = false;
  int status_ = 0;
};

}  // namespace

Result<int> stay(const Foreground& foreground) { return Stay(foreground).run(); }

}  // namespace cgx::launcher
