// SPDX-License-Identifier: Apache-2.0
// The foreground of a container: what is between a terminal and the container's monitor.
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"

#include "relay.h"
#include "tools/detach_keys.h"

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

// A write of so much to a pipe that poll(2) calls writable does not block: there is a free page.
constexpr std::size_t most_write = 4096;

class Stay {
 public:
  explicit Stay(const Foreground& f) : f_(f), keys_(f.keys), reads_(f.input) {
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
  // Nothing here waits but the poll, so that a signal always gets through: not a reader of the output that stands
  // still, nor a container that reads no input.
  Result<> step() {
    const bool prints = !text_.empty(), sends = !typed_.empty();
    std::array<pollfd, 4> fds{
        pollfd{.fd = prints && !sends ? -1 : f_.socket, .events = events_of_socket(), .revents = 0},
        pollfd{.fd = queue_.get(), .events = POLLIN, .revents = 0},
        pollfd{.fd = reads_ && !sends ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0},
        pollfd{.fd = prints ? to_ : -1, .events = POLLOUT, .revents = 0}};
    if (poll(fds.data(), fds.size(), -1) < 0) {
      if (errno == EINTR) return {};
      return fail_errno(errno, "poll");
    }
    if (fds[1].revents != 0) take_signals();
    if (fds[3].revents != 0) CGX_CHECK(print());
    if ((fds[0].revents & (POLLOUT | POLLHUP | POLLERR)) != 0) send_input();
    if ((fds[0].revents & ~POLLOUT) != 0 && text_.empty() && !over_) CGX_CHECK(take_packet());
    if (fds[2].revents != 0 && !over_) take_input();
    return {};
  }

  [[nodiscard]] short events_of_socket() const {
    return static_cast<short>((text_.empty() ? POLLIN : 0) | (typed_.empty() ? 0 : POLLOUT));
  }

  Result<> take_packet() {
    auto packet = CGX_TRY(receive_packet(f_.socket));
    if (!packet) return gone();
    switch (packet->word) {
      case Word::out:
      case Word::err:
        if (!(packet->word == Word::out ? f_.out : f_.err)) break;
        to_ = packet->word == Word::out ? STDOUT_FILENO : STDERR_FILENO;
        text_ = std::move(packet->data);
        break;
      case Word::ended:
      case Word::last:
        status_ = data_number(packet->data);
        ended_ = true;
        break;
      case Word::warning:
        to_ = STDERR_FILENO;
        text_ = fmt::format("cgx: warning: {}\n", packet->data);
        break;
      case Word::reason:
        to_ = STDERR_FILENO;
        text_ = fmt::format("cgx: {}: {}\n", f_.shown, packet->data);
        break;
      case Word::failed:
        over_ = true;
        return std::unexpected(data_error(packet->data));
      default:
        break;
    }
    return {};
  }

  Result<> gone() {
    over_ = true;
    if (ended_) return {};
    const bool dropped = monitor().has_value();
    Error e{.code = EPIPE,
            .what = dropped
                        ? "its output was not taken for too long, so that the container goes on without this command"
                        : "the container's monitor was killed; the container may still run"};
    if (dropped) e.hint = "cgx container logs has the output";
    return std::unexpected(std::move(e));
  }

  Result<> print() {
    const ssize_t n = write(to_, text_.data(), std::min(text_.size(), most_write));
    if (n > 0) text_.erase(0, static_cast<std::size_t>(n));
    if (n >= 0 || errno == EINTR || errno == EAGAIN) return {};
    if (errno == EBADF) {  // the caller has closed it: nobody wants this
      text_.clear();
      return {};
    }
    over_ = true;
    Error e = fail_errno(errno, to_ == STDOUT_FILENO ? "standard output" : "standard error").error();
    if (!ends_now())
      e.hint = "the container goes on: cgx container attach shows its output, cgx container stop ends it";
    return std::unexpected(std::move(e));
  }

  // Whether the container has ended with what could not be printed: its end comes a little later.
  [[nodiscard]] bool ends_now() const {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    while (true) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()).count();
      if (left <= 0) return false;
      pollfd one{.fd = f_.socket, .events = POLLIN, .revents = 0};
      const int n = poll(&one, 1, static_cast<int>(left));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      const auto packet = receive_packet(f_.socket);
      if (!packet && packet.error().code == EAGAIN) continue;
      if (!packet || !*packet) return false;
      if ((*packet)->word == Word::last) return true;
      if ((*packet)->word == Word::ended) return false;  // it is started again
    }
  }

  void take_input() {
    std::array<char, 16384> buffer;
    const ssize_t n = read(STDIN_FILENO, buffer.data(), buffer.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n <= 0) {
      reads_ = false;
      typed_ = static_cast<char>(Word::in_end);
      return;
    }
    std::string text(buffer.data(), static_cast<std::size_t>(n));
    if (f_.terminal && keys_.typed(text)) {
      over_ = true;
      status_ = -1;
      return;
    }
    if (!text.empty()) typed_ = static_cast<char>(Word::in) + text;
  }

  void send_input() {
    if (typed_.empty()) return;
    const auto sent =
        send_packet(f_.socket, static_cast<Word>(typed_[0]), std::string_view(typed_).substr(1), MSG_DONTWAIT);
    if (sent || sent.error().code != EAGAIN) typed_.clear();  // what has ended takes nothing
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
      if (f_.signals) {
        pass_on(signal);
      } else {
        over_ = true;
        status_ = 128 + signal;
      }
    }
  }

  // By a connection of its own: this one may be full of input that the container does not read.
  void pass_on(int signal) {
    const auto other = monitor();
    if (other && send_packet(other->get(), Word::signal, number_data(signal))) return;
    // Nobody is there to take it, and this process waits for a reader of what is left.
    over_ = true;
    status_ = 128 + signal;
  }

  [[nodiscard]] Result<sys::Fd> monitor() const {
    const sys::Fd dir(open(f_.directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!dir.valid()) return fail_errno(errno, f_.directory);
    return connect_in(dir.get());
  }

  void send_size() const {
    winsize size{};
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO})
      if (ioctl(fd, TIOCGWINSZ, &size) == 0) {
        (void)send_packet(f_.socket, Word::size, {reinterpret_cast<const char*>(&size), sizeof size}, MSG_DONTWAIT);
        return;
      }
  }

  const Foreground& f_;
  tool::DetachKeys keys_;
  sigset_t set_{}, before_{};
  sys::Fd queue_;
  bool reads_;
  std::string text_;  // what is to be written to `to_`
  int to_ = STDOUT_FILENO;
  std::string typed_;  // a packet of standard input that the monitor has not taken yet, with its word
  bool over_ = false, ended_ = false;
  int status_ = 0;
};

}  // namespace

Result<std::string> parse_detach_keys(std::string_view text) {
  if (text.empty()) return std::string(usual_detach_keys);
  std::string keys;
  for (const std::string_view key : sys::split(text, ',')) {
    constexpr std::string_view ctrl = "ctrl-";
    const bool control = key.size() == ctrl.size() + 1 && key.starts_with(ctrl);
    const char c = key.empty() ? '\0' : key.back();
    if (key.size() == 1)
      keys += c;
    else if (control && c >= 'a' && c <= 'z')
      keys += static_cast<char>(c - 'a' + 1);
    else if (control && c >= '@' && c <= '_' && (c < 'A' || c > 'Z'))
      keys += static_cast<char>(c - '@');
    else
      return bad_value(text, "is not a list of single letters and ctrl-LETTER, as ctrl-p,ctrl-q");
  }
  return keys;
}

Result<> check_input(bool input, bool terminal) {
  if (!input || !terminal || isatty(STDIN_FILENO) == 1) return {};
  Error e{.code = ENOTTY, .what = "needs a terminal as standard input where -i is given", .knob = "--tty"};
  e.hint = "leave out -t: -i alone hands on a file or a pipe up to its end";
  e.fault = Fault::usage;
  return std::unexpected(std::move(e));
}

Result<int> stay(const Foreground& foreground) { return Stay(foreground).run(); }

}  // namespace cgx::launcher
