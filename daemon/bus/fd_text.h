// SPDX-License-Identifier: Apache-2.0
// Inside daemon/bus/: reads a text from a descriptor that a stranger has sent, and which may never deliver: a pipe that
// nobody writes to, a file of a file system that its user implements and that does not answer. So a thread reads it,
// and the event loop waits for as long as it likes to.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "cgx/sys/fd.h"

namespace cgx::daemon {

class FdText {
 public:
  static constexpr std::size_t most = 1U << 20U;  // bytes of a text
  static constexpr unsigned most_readings = 32;   // at a time
  static constexpr unsigned most_of_user = 4;

  using Done = std::function<void(Result<std::string>)>;

  explicit FdText(sd_event* event);
  FdText(const FdText&) = delete;
  FdText& operator=(const FdText&) = delete;
  ~FdText();

  // Takes regular files (from their start), pipes and memfds. `done` is called by the event loop, once, not before this
  // function has returned: with the text; EFBIG; ETIMEDOUT after `timeout` microseconds. EBUSY at once: `whose`, or all
  // together, have too many readings under way; those that never end count until the process does.
  [[nodiscard]] Result<> start(uid_t whose, sys::Fd fd, std::uint64_t timeout, Done done);

 private:
  struct Shared;
  struct Reading;
  static int on_event(sd_event_source*, int, std::uint32_t, void* userdata);
  static int on_time(sd_event_source*, std::uint64_t, void* userdata);
  void finish(Reading& reading, Result<std::string> text);

  sd_event* event_;
  std::vector<std::unique_ptr<Reading>> readings_;
  std::vector<std::shared_ptr<Shared>> running_;  // threads that have not ended
};

}  // namespace cgx::daemon
