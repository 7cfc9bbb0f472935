// SPDX-License-Identifier: Apache-2.0
// The commands that are connected to the monitor of a container: what each of them is told, and how long one that takes
// nothing may hold the container up. Knows nothing of the container.
//
// A packet that a client does not take is queued, and while one is queued the monitor reads no more output. The command
// that runs the container in the foreground may wait as long as it likes, as a program waits for a pager that it writes
// to. Any other client is dropped when it takes nothing for `most_hold`: who looks on stops nothing.
#pragma once

#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "relay.h"

namespace cgx::launcher {

struct Client {
  sys::Fd socket;
  bool watches = false;                         // wants the output
  bool foreground = false;                      // is `cgx run` itself
  bool feeds = false;                           // has sent standard input
  std::deque<std::string> queue;                // packets that it has not taken, each with its word
  std::chrono::steady_clock::time_point since;  // when it was last seen to take something
  int untaken = 0;                              // bytes in its socket at that time
};

class Clients {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds most_hold{5}, most_hold_at_end{1};
  static constexpr std::size_t most = 200;  // connections

  void add(sys::Fd socket) { list_.push_back({.socket = std::move(socket)}); }
  [[nodiscard]] std::vector<Client>& list() { return list_; }
  void remove_closed();
  void clear() { list_.clear(); }

  void tell(Client& client, Word word, std::string_view data = {}) const;
  void tell_all(Word word, std::string_view data);
  void tell_watchers(Word word, std::string_view data);
  // The socket takes more.
  void send_queued(Client& client) const;

  [[nodiscard]] bool hold_output() const;
  // When to call drop_idle(); none: nobody holds the output up.
  [[nodiscard]] std::optional<Clock::time_point> deadline() const;
  void drop_idle();
  // After an end: waits until all have taken what is queued, or have taken nothing for `most_hold_at_end`.
  void deliver();

 private:
  std::vector<Client> list_;
};

}  // namespace cgx::launcher
