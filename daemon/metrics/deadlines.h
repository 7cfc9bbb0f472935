// SPDX-License-Identifier: Apache-2.0
// Inside daemon/metrics/: ends connections that take too long. A client that sends a byte now and then is never idle,
// so that no time-out of the HTTP library ends it; here each connection has a time by which the next step must be done.
#pragma once

#include <chrono>
#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>

namespace cgx::daemon {

class Deadlines {
 public:
  using Clock = std::chrono::steady_clock;
  struct Connection {
    int fd;
    Clock::time_point end;
  };

  Deadlines();
  Deadlines(const Deadlines&) = delete;
  Deadlines& operator=(const Deadlines&) = delete;
  ~Deadlines();

  // `fd` stays open until it is removed.
  Connection* add(int fd, std::chrono::milliseconds time);
  void set(Connection* connection, std::chrono::milliseconds time);
  void remove(Connection* connection);
  [[nodiscard]] std::size_t size() const;

 private:
  void run();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Connection> connections_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace cgx::daemon
