// SPDX-License-Identifier: Apache-2.0
#include "daemon/bus/fd_text.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

namespace cgx::daemon {

// What the thread and the loop share: the last one to leave frees it.
struct FdText::Shared {
  uid_t whose = 0;
  sys::Fd fd;
  sys::Fd ready;  // an eventfd
  bool regular = false;
  std::chrono::steady_clock::time_point deadline;
  Result<std::string> text = std::string();  // the thread's until `ended`
  std::atomic<bool> ended = false;
};

struct FdText::Reading {
  FdText* owner = nullptr;
  std::shared_ptr<Shared> shared;
  Done done;
  sd_event_source* io = nullptr;
  sd_event_source* time = nullptr;
  Reading() = default;
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
  ~Reading() {
    sd_event_source_disable_unref(io);
    sd_event_source_disable_unref(time);
  }
};

namespace {

std::unexpected<Error> too_late() {
  Error e{.code = ETIMEDOUT,
          .what = "the text of the policy did not come in time",
          .hint = "write all of it to the pipe and close it, or send a regular file"};
  return std::unexpected(std::move(e));
}

std::unexpected<Error> too_long() {
  return fail(EFBIG, fmt::format("the text of the policy is longer than {} bytes", FdText::most));
}

// Whether there is something to read before the deadline. Not O_NONBLOCK: that would change the sender's descriptor.
Result<> wait_readable(int fd, std::chrono::steady_clock::time_point deadline) {
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return too_late();
    pollfd p{fd, POLLIN, 0};
    const int n = poll(&p, 1, static_cast<int>(left));
    if (n > 0) return {};
    if (n < 0 && errno != EINTR) return fail_errno(errno, "poll");
  }
}

Result<std::string> read_text(int fd, bool regular, std::chrono::steady_clock::time_point deadline) {
  std::string text(FdText::most + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    if (!regular) CGX_CHECK(wait_readable(fd, deadline));
    const ssize_t n = regular ? pread(fd, text.data() + size, text.size() - size, static_cast<off_t>(size))
                              : read(fd, text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "the text of the policy cannot be read");
    if (n == 0) {
      text.resize(size);
      return text;
    }
    size += static_cast<std::size_t>(n);
  }
  return too_long();
}

}  // namespace

FdText::FdText(sd_event* event) : event_(event) {}
FdText::~FdText() = default;

Result<> FdText::start(uid_t whose, sys::Fd fd, std::uint64_t timeout, Done done) {
  std::erase_if(running_, [](const std::shared_ptr<Shared>& s) { return s->ended.load(); });
  const auto of_user =
      std::ranges::count_if(running_, [&](const std::shared_ptr<Shared>& s) { return s->whose == whose; });
  if (running_.size() >= most_readings || of_user >= most_of_user)
    return fail(EBUSY, "too many policies are being read already");
  struct stat st{};
  if (fstat(fd.get(), &st) != 0) return fail_errno(errno, "the descriptor of the policy");
  const int flags = fcntl(fd.get(), F_GETFL);
  if (flags < 0 || (flags & O_PATH) != 0 || (flags & O_ACCMODE) == O_WRONLY)
    return fail(EBADF, "the descriptor of the policy is not open for reading");
  if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode))
    return fail(EINVAL, "the descriptor of the policy is neither a file nor a pipe");
  if (S_ISREG(st.st_mode) && st.st_size > static_cast<off_t>(most)) return too_long();

  auto shared = std::make_shared<Shared>();
  shared->whose = whose;
  shared->fd = std::move(fd);
  shared->regular = S_ISREG(st.st_mode);
  shared->deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(timeout);
  shared->ready.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!shared->ready.valid()) return fail_errno(errno, "eventfd");

  auto reading = std::make_unique<Reading>();
  reading->owner = this;
  reading->shared = shared;
  reading->done = std::move(done);
  int r = sd_event_add_io(event_, &reading->io, shared->ready.get(), EPOLLIN, &FdText::on_event, reading.get());
  if (r >= 0)
    r = sd_event_add_time_relative(
        event_, &reading->time, CLOCK_MONOTONIC, timeout, 1000, &FdText::on_time, reading.get());
  if (r < 0) return fail_errno(-r, "the event loop");

  // Signals are for the threads that wait for them.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  (void)pthread_sigmask(SIG_SETMASK, &all, &before);
  Result<> started;
  try {
    std::thread([shared] {
      shared->text = read_text(shared->fd.get(), shared->regular, shared->deadline);
      shared->fd.reset(-1);
      shared->ended.store(true);
      (void)eventfd_write(shared->ready.get(), 1);
    }).detach();
  } catch (const std::system_error& e) {
    started = fail_errno(e.code().value(), "a thread that reads the policy");
  }
  (void)pthread_sigmask(SIG_SETMASK, &before, nullptr);
  CGX_CHECK(started);
  running_.push_back(std::move(shared));
  readings_.push_back(std::move(reading));
  return {};
}

int FdText::on_event(sd_event_source*, int, std::uint32_t, void* userdata) {
  auto& reading = *static_cast<Reading*>(userdata);
  if (reading.shared->ended.load()) reading.owner->finish(reading, std::move(reading.shared->text));
  return 0;
}

int FdText::on_time(sd_event_source*, std::uint64_t, void* userdata) {
  auto& reading = *static_cast<Reading*>(userdata);
  reading.owner->finish(reading, too_late());
  return 0;
}

void FdText::finish(Reading& reading, Result<std::string> text) {
  const Done done = std::move(reading.done);
  std::erase_if(readings_, [&](const std::unique_ptr<Reading>& r) { return r.get() == &reading; });
  done(std::move(text));
}

}  // namespace cgx::daemon
