// SPDX-License-Identifier: Apache-2.0
// The event loop of cgxd's main thread: sd-event with functions in place of void pointers, which are met in loop.cc
// alone. A source lives as long as its Source; all of them belong to the thread that runs the loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include <systemd/sd-event.h>

#include "cgx/sys/result.h"

namespace cgx::daemon {

// What is handled first where several things wait.
enum class Priority : std::int8_t { decisions = -20, signals = -10, changes = 0, timers = 10, bus = 20 };

// Owns a source of events; empty by default. Taking it out of the loop from within its own function is allowed.
class Source {
 public:
  struct Call;  // in loop.cc
  Source();
  explicit Source(std::unique_ptr<Call> call);
  Source(Source&& other) noexcept;
  Source& operator=(Source&& other) noexcept;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  ~Source();
  [[nodiscard]] bool valid() const { return call_ != nullptr; }
  // Of a timer: fires once, `after` from now; a time that was set before no longer counts. Allocates nothing.
  void arm(std::chrono::microseconds after);
  void disarm();

 private:
  void drop();  // at the end of the function that runs, where it is the source's own
  std::unique_ptr<Call> call_;
};

class Loop {
 public:
  [[nodiscard]] static Result<Loop> create();

  // `events`: EPOLLIN and so on; `then` gets those that came. Level triggered. The descriptor stays the caller's.
  [[nodiscard]] Result<Source> on_io(int fd,
                                     std::uint32_t events,
                                     std::function<void(std::uint32_t)> then,
                                     Priority priority = Priority::changes);
  // The signal has to be blocked in every thread.
  [[nodiscard]] Result<Source> on_signal(int signal, std::function<void()> then);
  // A timer on the monotonic clock, so that no jump of the wall clock matters. Not armed yet.
  [[nodiscard]] Result<Source> timer(std::function<void()> then, Priority priority = Priority::timers);

  // Until leave(); answers its status.
  [[nodiscard]] Result<int> run();
  // Handles what waits, for at most `at_most`.
  [[nodiscard]] Result<> step(std::chrono::microseconds at_most);
  void leave(int status);
  [[nodiscard]] sd_event* event() const { return event_.get(); }  // for sd-bus

 private:
  struct Unref {
    void operator()(sd_event* event) const { sd_event_unref(event); }
  };
  explicit Loop(sd_event* event) : event_(event) {}
  std::unique_ptr<sd_event, Unref> event_;
};

}  // namespace cgx::daemon
