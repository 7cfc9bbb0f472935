// SPDX-License-Identifier: Apache-2.0
#include "monitor.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/process.h"

#include "clients.h"
#include "death.h"
#include "log_writer.h"
#include "making.h"
#include "pipes.h"
#include "relay.h"
#include "remove.h"

namespace cgx::launcher {
namespace {

using Clock = std::chrono::steady_clock;

void not_blocking(int fd) { (void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

class Monitor {
 public:
  explicit Monitor(const MonitorPlan& plan) : making_(plan) {
    clients_.add(sys::Fd(plan.client));
    clients_.list()[0].watches = clients_.list()[0].foreground = !plan.options.detach;
  }

  int run() {
    sigset_t all;
    sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, nullptr);
    signals_ = sys::Fd(signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
    if (const auto made = first_start(); !made) {
      const Error& error = made.error();
      making_.give_up(error);
      (void)send_packet(clients_.list()[0].socket.get(), Word::failed, error_data(error));
      return 1;
    }
    (void)setsid();
    (void)!chdir("/");  // no mount is kept busy
    // Nobody of the caller's waits for the end of a pipe that this process holds.
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3; ++fd) (void)dup2(null, fd);
    (void)close(null);
    Client& caller = clients_.list()[0];
    (void)send_packet(caller.socket.get(), Word::started, making_.id());
    not_blocking(caller.socket.get());
    if (!caller.watches) clients_.clear();
    while (!done_) step();
    return 0;
  }

 private:
  Result<> first_start() {
    CGX_CHECK(making_.prepare());
    listening_ = CGX_TRY(listen_in(making_.entry().directory()));
    return launch();
  }

  // The program gets the ends of pipes as its standard streams by this process' own, which a child has.
  Result<> launch() {
    const Record& record = making_.record();
    log_.emplace(record.data + "/log", record.log_size);
    in_.reset(-1);
    out_.reset(-1);
    err_.reset(-1);
    terminal_.reset(-1);
    terminal_kept_.reset(-1);
    input_.clear();
    input_ends_ = false;
    Pipes pipes;
    if (!record.terminal) pipes = CGX_TRY(make_pipes(record.interactive, making_.host_uid(), making_.host_gid()));
    in_ = std::move(pipes.in);
    out_ = std::move(pipes.out);
    err_ = std::move(pipes.err);
    std::array<sys::Fd, 3> before;
    for (int fd = 0; fd < 3; ++fd) before[static_cast<std::size_t>(fd)] = sys::Fd(fcntl(fd, F_DUPFD_CLOEXEC, 3));
    auto launched = making_.launch([&] {
      for (int fd = 0; fd < 3 && !record.terminal; ++fd)
        (void)dup2(pipes.theirs[static_cast<std::size_t>(fd)].get(), fd);
    });
    for (int fd = 0; fd < 3; ++fd) (void)dup2(before[static_cast<std::size_t>(fd)].get(), fd);
    if (!launched) return std::unexpected(launched.error());
    init_ = std::move(*launched);
    terminal_ = std::move(init_->terminal);
    for (const sys::Fd* fd : {&in_, &out_, &err_, &terminal_})
      if (fd->valid()) not_blocking(fd->get());
    // As long as somebody has the other side open, the kernel reports no hangup here, which a poll would return with
    // at once, again and again, while no program of the container has its terminal open.
    if (terminal_.valid()) terminal_kept_.reset(ioctl(terminal_.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (terminal_.valid() && size_) (void)ioctl(terminal_.get(), TIOCSWINSZ, &*size_);
    started_ = Clock::now();
    return {};
  }

  void step() {
    std::vector<pollfd> fds;
    const bool held = clients_.hold_output();
    const auto watch = [&](int fd, short events) {
      fds.push_back({.fd = events != 0 ? fd : -1, .events = events, .revents = 0});
    };
    watch(init_ ? init_->pidfd.get() : -1, POLLIN);
    watch(signals_.get(), POLLIN);
    watch(clients_.list().size() < Clients::most ? listening_.get() : -1, POLLIN);
    watch(held ? -1 : out_.get(), POLLIN);
    watch(held ? -1 : err_.get(), POLLIN);
    const bool types = terminal_.valid() && !input_.empty();
    watch(terminal_.get(), static_cast<short>((held ? 0 : POLLIN) | (types ? POLLOUT : 0)));
    watch(!input_.empty() || input_ends_ ? in_.get() : -1, POLLOUT);
    const std::size_t first = fds.size();
    for (const Client& c : clients_.list())
      watch(c.socket.get(), static_cast<short>((may_read(c) ? POLLIN : 0) | (c.queue.empty() ? 0 : POLLOUT)));
    if (poll(fds.data(), fds.size(), wait_time()) < 0 && errno != EINTR) return;
    for (std::size_t i = first; i < fds.size(); ++i)
      if (fds[i].revents != 0) serve(clients_.list()[i - first]);
    clients_.remove_closed();
    clients_.drop_idle();
    if (fds[2].revents != 0) accept_clients();
    if (fds[1].revents != 0) take_signals();
    if (fds[3].revents != 0) pass_output(out_, LogWriter::Stream::out);
    if (fds[4].revents != 0) pass_output(err_, LogWriter::Stream::err);
    if ((fds[5].revents & ~POLLOUT) != 0) pass_output(terminal_, LogWriter::Stream::out);
    pass_input();
    if (fds[0].revents != 0) ended();
    if (stopping_ && start_at_) return finish();
    const auto now = Clock::now();
    if (kill_at_ && now >= *kill_at_) {
      kill_at_.reset();
      making_.kill_for_end();
    }
    if (start_at_ && now >= *start_at_) start_again();
    if (write_at_ && now >= *write_at_) write_ending();
  }

  // A container that reads no input stops those who send it, and nobody else.
  [[nodiscard]] bool may_read(const Client& client) const { return !client.feeds || input_.size() <= most_input_; }

  [[nodiscard]] int wait_time() const {
    int wait = -1;
    for (const auto& at : {kill_at_, start_at_, write_at_, clients_.deadline()})
      if (at) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(*at - Clock::now()).count();
        const int ms = static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000));
        wait = wait < 0 ? ms : std::min(wait, ms);
      }
    return wait;
  }

  void accept_clients() {
    while (clients_.list().size() < Clients::most) {
      sys::Fd socket(accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!socket.valid()) break;
      clients_.add(std::move(socket));
      if (over_) clients_.tell(clients_.list().back(), Word::last, number_data(ending_.status));
      serve(clients_.list().back());  // what it has to say may be there: `stop` before the end that it brings about
    }
    clients_.remove_closed();
  }

  void serve(Client& client) {
    clients_.send_queued(client);
    while (client.socket.valid() && may_read(client)) {
      const auto packet = receive_packet(client.socket.get());
      if (!packet && packet.error().code == EAGAIN) return;
      if (!packet || !*packet) {
        client.socket.reset(-1);
        return;
      }
      take(client, **packet);
    }
  }

  void take(Client& client, const Packet& packet) {
    switch (packet.word) {
      case Word::watch:
        client.watches = true;
        break;
      case Word::in:
        client.feeds = true;
        if (terminal_.valid() || in_.valid()) input_ += packet.data;
        break;
      case Word::in_end:
        // As docker has it: of a container that was started in the background, one command after the other may feed it.
        if (!making_.detached()) input_ends_ = in_.valid();
        break;
      case Word::size:
        if (packet.data.size() == sizeof(winsize)) {
          size_.emplace();
          std::copy_n(packet.data.data(), sizeof(winsize), reinterpret_cast<char*>(&*size_));
          if (terminal_.valid()) (void)ioctl(terminal_.get(), TIOCSWINSZ, &*size_);
        }
        break;
      case Word::signal:
        signal_init(data_number(packet.data));
        break;
      case Word::stop:
        stopping_ = true;  // and from here on nothing is started any more
        clients_.tell(client, Word::stopping);
        break;
      default:
        client.socket.reset(-1);
    }
  }

  void signal_init(int signal) const {
    if (init_ && signal > 0 && signal < 65) (void)sys::signal_process(init_->pidfd.get(), signal);
  }

  // The host goes down, or somebody ends this process: as `stop` does.
  void take_signals() {
    signalfd_siginfo got{};
    while (read(signals_.get(), &got, sizeof got) == static_cast<ssize_t>(sizeof got)) {
      if (got.ssi_signo != SIGTERM) continue;
      stopping_ = true;
      signal_init(making_.record().stop_signal);
      const std::int64_t seconds = making_.record().stop_timeout;
      if (seconds >= 0) kill_at_ = Clock::now() + std::chrono::seconds(seconds);
    }
  }

  // False: nothing more comes now.
  bool pass_output(sys::Fd& from, LogWriter::Stream stream) {
    std::array<char, most_packet> buffer;
    const ssize_t n = read(from.get(), buffer.data(), buffer.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return errno == EINTR;
    if (n <= 0) {
      from.reset(-1);
      return false;
    }
    const std::string_view text(buffer.data(), static_cast<std::size_t>(n));
    log_->add(stream, text);
    clients_.tell_watchers(stream == LogWriter::Stream::out ? Word::out : Word::err, text);
    return true;
  }

  void pass_input() {
    const int to = terminal_.valid() ? terminal_.get() : in_.get();
    while (to >= 0 && !input_.empty()) {
      const ssize_t n = write(to, input_.data(), input_.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return;
      if (n < 0) {
        input_.clear();
        if (!terminal_.valid()) in_.reset(-1);
        break;
      }
      input_.erase(0, static_cast<std::size_t>(n));
    }
    if (input_ends_ && input_.empty() && !terminal_.valid()) in_.reset(-1);
  }

  // With the first process all others of its pid namespace have ended: what they wrote is in the pipes. No more than
  // these hold is read, since a program elsewhere may have got one of them and go on writing.
  void ended() {
    siginfo_t info{};
    std::string unknown;
    if (waitid(P_PIDFD, static_cast<id_t>(init_->pidfd.get()), &info, WEXITED | WNOHANG) != 0) {
      if (errno == EINTR) return;
      unknown = "its status is unknown: " + errno_text(errno);  // and would be with every further try
      info.si_status = SIGKILL;
    } else if (info.si_pid == 0) {
      return;
    }
    // In a pid namespace that is not its own, others of it go on.
    if (making_.record().pid != "private") making_.kill_all();
    terminal_kept_.reset(-1);
    for (auto [fd, stream] : {std::pair(&out_, LogWriter::Stream::out),
                              std::pair(&err_, LogWriter::Stream::err),
                              std::pair(&terminal_, LogWriter::Stream::out)}) {
      const int size = fd->valid() ? fcntl(fd->get(), F_GETPIPE_SZ) : 0;
      for (int packets = std::max(size, 1 << 20) / 4096; packets > 0 && fd->valid(); --packets)
        if (!pass_output(*fd, stream)) break;
    }
    log_->finish();
    ending_ = {};
    ending_.error = std::move(unknown);
    ending_.signal = info.si_code == CLD_EXITED ? 0 : info.si_status;
    ending_.status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    ending_.ended = time_now();
    making_.explain(ending_);
    write_ending();
    // cgxd may need a moment to say so, on a slow machine two seconds.
    if (ending_.signal == SIGKILL && !stopping_ && making_.ask_policy(ending_)) write_ending();
    init_.reset();
    kill_at_.reset();
    // Who waits in the foreground has no other way to it: with --rm the record goes.
    if (killed_for_memory(ending_)) clients_.tell_watchers(Word::reason, ending_.why);
    conclude();
  }

  // Where there is no room it is tried again for as long as this process lives.
  void write_ending() {
    write_at_.reset();
    const auto written = making_.write_ending(ending_);
    if (!written) {
      write_at_ = Clock::now() + write_pause_;
      if (writes_failed_++ == 0) clients_.tell_watchers(Word::warning, written.error().text());
      // Who stops it waits for the end of this process.
      if (over_ && stopping_ && writes_failed_ > most_failed_) done_ = true;
    } else {
      writes_failed_ = 0;
      done_ = over_;
    }
  }

  // By what `update` says now.
  bool goes_on() {
    making_.keep_updates();
    return !stopping_ && starts_again(making_.record(), ending_.status);
  }

  void conclude() {
    if (!goes_on()) return finish();
    clients_.tell_all(Word::ended, number_data(ending_.status));
    // A container that ran for a while begins with the shortest pause again.
    if (Clock::now() - started_ > std::chrono::seconds(10)) pause_ = shortest_pause_;
    start_at_ = Clock::now() + pause_;
    pause_ = std::min(pause_ * 2, longest_pause_);
  }

  void start_again() {
    if (!goes_on()) return finish();
    start_at_.reset();
    making_.count_restart();
    const auto started = launch();
    if (started) return;
    ending_ = {.status = 125, .ended = time_now(), .error = started.error().text()};
    ending_.why = "could not be started";
    started_ = Clock::now();
    write_ending();
    conclude();
  }

  // Who waits for the end is told behind it: its name is free then, and its group is gone.
  void finish() {
    start_at_.reset();
    const auto finished = making_.finish();
    accept_clients();
    if (!finished) clients_.tell_watchers(Word::warning, finished.error().what);
    clients_.tell_all(Word::last, number_data(ending_.status));
    clients_.deliver();
    clients_.clear();
    over_ = true;
    done_ = writes_failed_ == 0 || making_.record().remove;
  }

  static constexpr std::size_t most_input_ = 1U << 20U;
  static constexpr std::chrono::milliseconds write_pause_{500};
  static constexpr unsigned most_failed_ = 4;
  static constexpr std::chrono::milliseconds shortest_pause_{100}, longest_pause_{60'000};

  Making making_;
  Clients clients_;
  sys::Fd signals_, listening_, in_, out_, err_, terminal_;
  sys::Fd terminal_kept_;  // the side of the container
  std::optional<container::Launched> init_;
  std::optional<LogWriter> log_;
  std::string input_;  // what the container has not read yet
  bool input_ends_ = false;
  std::optional<winsize> size_;
  Clock::time_point started_{};
  std::optional<Clock::time_point> kill_at_, start_at_, write_at_;
  std::chrono::milliseconds pause_ = shortest_pause_;
  Ending ending_;               // of the last run
  unsigned writes_failed_ = 0;  // so often it could not be written down
  bool stopping_ = false, over_ = false, done_ = false;
};

}  // namespace

Result<pid_t> start_monitor(const MonitorPlan& plan) {
  const pid_t pid = fork();
  if (pid < 0) return fail_errno(errno, "fork");
  if (pid > 0) return pid;
  // The command's end of the socket is among those, whose closing is how this process sees that the command is gone.
  sys::close_all_but({STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, plan.client});
  const int status = Monitor(plan).run();
  _exit(status);
}

}  // namespace cgx::launcher
