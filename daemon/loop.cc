// SPDX-License-Identifier: Apache-2.0
#include "daemon/loop.h"

#include <csignal>
#include <utility>

namespace cgx::daemon {

struct Source::Call {
  std::function<void(std::uint32_t)> io;
  std::function<void()> then;
  sd_event_source* source = nullptr;
  bool running = false;
  bool dropped = false;  // while it ran: it frees itself when it is done

  Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() { sd_event_source_disable_unref(source); }

  template <class Function>
  void call(Function&& function) {
    running = true;
    std::forward<Function>(function)();
    running = false;
    if (dropped) delete this;
  }
};

namespace {

int on_io_ready(sd_event_source*, int, std::uint32_t events, void* data) {
  auto* const call = static_cast<Source::Call*>(data);
  call->call([&] { call->io(events); });
  return 0;
}
int on_time(sd_event_source*, std::uint64_t, void* data) {
  auto* const call = static_cast<Source::Call*>(data);
  call->call([&] { call->then(); });
  return 0;
}
int on_signal_caught(sd_event_source*, const signalfd_siginfo*, void* data) {
  auto* const call = static_cast<Source::Call*>(data);
  call->call([&] { call->then(); });
  return 0;
}

Result<Source> made(int status, std::unique_ptr<Source::Call> call, Priority priority) {
  if (status >= 0) status = sd_event_source_set_priority(call->source, static_cast<std::int64_t>(priority));
  if (status < 0) return fail_errno(-status, "event loop");
  return Source(std::move(call));
}

}  // namespace

Source::Source() = default;
Source::Source(std::unique_ptr<Call> call) : call_(std::move(call)) {}
Source::Source(Source&& other) noexcept = default;
Source& Source::operator=(Source&& other) noexcept {
  if (this == &other) return *this;
  drop();
  call_ = std::move(other.call_);
  return *this;
}
Source::~Source() { drop(); }

void Source::drop() {
  if (call_ == nullptr) return;
  if (!call_->running) {
    call_.reset();
    return;
  }
  Call* const call = call_.release();
  call->dropped = true;
  (void)sd_event_source_set_enabled(call->source, SD_EVENT_OFF);  // it is freed soon, whatever this says
}

void Source::arm(std::chrono::microseconds after) {
  if (call_ == nullptr) return;
  (void)sd_event_source_set_time_relative(call_->source, static_cast<std::uint64_t>(after.count()));
  (void)sd_event_source_set_enabled(call_->source, SD_EVENT_ONESHOT);  // both fail for a wrong source only
}

void Source::disarm() {
  if (call_ != nullptr) (void)sd_event_source_set_enabled(call_->source, SD_EVENT_OFF);
}

Result<Loop> Loop::create() {
  sd_event* event = nullptr;
  const int status = sd_event_new(&event);
  if (status < 0) return fail_errno(-status, "event loop");
  return Loop(event);
}

Result<Source> Loop::on_io(int fd, std::uint32_t events, std::function<void(std::uint32_t)> then, Priority priority) {
  auto call = std::make_unique<Source::Call>();
  call->io = std::move(then);
  const int status = sd_event_add_io(event_.get(), &call->source, fd, events, on_io_ready, call.get());
  return made(status, std::move(call), priority);
}

Result<Source> Loop::on_signal(int signal, std::function<void()> then) {
  auto call = std::make_unique<Source::Call>();
  call->then = std::move(then);
  const int status = sd_event_add_signal(event_.get(), &call->source, signal, on_signal_caught, call.get());
  return made(status, std::move(call), Priority::signals);
}

Result<Source> Loop::timer(std::function<void()> then, Priority priority) {
  auto call = std::make_unique<Source::Call>();
  call->then = std::move(then);
  int status = sd_event_add_time_relative(event_.get(), &call->source, CLOCK_MONOTONIC, 0, 1000, on_time, call.get());
  if (status >= 0) status = sd_event_source_set_enabled(call->source, SD_EVENT_OFF);
  return made(status, std::move(call), priority);
}

Result<int> Loop::run() {
  const int status = sd_event_loop(event_.get());
  if (status < 0) return fail_errno(-status, "event loop");
  return status;
}

Result<> Loop::step(std::chrono::microseconds at_most) {
  const int status = sd_event_run(event_.get(), static_cast<std::uint64_t>(at_most.count()));
  if (status < 0) return fail_errno(-status, "event loop");
  return {};
}

void Loop::leave(int status) { (void)sd_event_exit(event_.get(), status); }

}  // namespace cgx::daemon
