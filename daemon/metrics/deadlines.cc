// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics/deadlines.h"

#include <algorithm>

#include <sys/socket.h>

namespace cgx::daemon {

Deadlines::Deadlines() : thread_([this] { run(); }) {}

Deadlines::~Deadlines() {
  {
    const std::scoped_lock lock(mutex_);
    stop_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

Deadlines::Connection* Deadlines::add(int fd, std::chrono::milliseconds time) {
  const std::scoped_lock lock(mutex_);
  connections_.push_back({fd, Clock::now() + time});
  changed_.notify_one();
  return &connections_.back();
}

void Deadlines::set(Connection* connection, std::chrono::milliseconds time) {
  const std::scoped_lock lock(mutex_);
  connection->end = Clock::now() + time;
  changed_.notify_one();
}

void Deadlines::remove(Connection* connection) {
  const std::scoped_lock lock(mutex_);
  connections_.remove_if([connection](const Connection& c) { return &c == connection; });
}

std::size_t Deadlines::size() const {
  const std::scoped_lock lock(mutex_);
  return connections_.size();
}

void Deadlines::run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    Clock::time_point next = Clock::time_point::max();
    const Clock::time_point now = Clock::now();
    for (Connection& c : connections_) {
      if (c.end <= now) {
        // Only the kernel's part of it: the library sees the end, and closes the descriptor itself.
        (void)shutdown(c.fd, SHUT_RDWR);  // it may have ended by itself
        c.end = Clock::time_point::max();
      }
      next = std::min(next, c.end);
    }
    if (next == Clock::time_point::max()) {
      changed_.wait(lock);
    } else {
      changed_.wait_until(lock, next);
    }
  }
}

}  // namespace cgx::daemon
