// SPDX-License-Identifier: Apache-2.0
// Inside daemon/: the kernel's process connector (Documentation/driver-api/connector.rst, linux/cn_proc.h): a netlink
// socket on which the kernel tells of processes that fork, execute and change user. Knows nothing of rules and groups.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <sys/types.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/result.h"

namespace cgx::daemon {

// The kernel's numbers (enum proc_cn_event), as a mask.
enum class ProcEventKind : std::uint32_t { fork = 1, exec = 2, uid = 4, gid = 0x40 };
constexpr std::uint32_t operator|(ProcEventKind a, ProcEventKind b) {
  return static_cast<std::uint32_t>(a) | static_cast<std::uint32_t>(b);
}
constexpr std::uint32_t operator|(std::uint32_t a, ProcEventKind b) { return a | static_cast<std::uint32_t>(b); }

struct ProcEvent {
  ProcEventKind kind = ProcEventKind::exec;
  pid_t pid = 0;           // the process (never a single thread); of a fork the new one
  pid_t parent = 0;        // of a fork: the process that forked
  std::uint64_t time = 0;  // nanoseconds of CLOCK_MONOTONIC, taken by the kernel at the event
};

class Connector {
 public:
  // Subscribes to the kinds of events in `mask`. Kernels before 6.6 tell of everything; a socket filter then drops the
  // rest before it is queued, as it drops threads always. `buffer`: bytes of the socket's queue; 0: 8 MiB.
  // Errors: EPERM without CAP_NET_ADMIN, EPROTONOSUPPORT without CONFIG_CONNECTOR, ENOTSUP where the kernel does not
  // answer (no CONFIG_PROC_EVENTS, or another pid or user namespace than the first); the sentence says so. Blocks for a
  // moment until the kernel has answered.
  [[nodiscard]] static Result<Connector> open(std::uint32_t mask, std::size_t buffer = 0);
  Connector(Connector&& other) noexcept;
  Connector& operator=(Connector&&) = delete;
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;
  ~Connector();

  [[nodiscard]] int fd() const { return socket_.get(); }  // readable when events wait
  // Whether the kernel itself selects by the mask (since 6.6).
  [[nodiscard]] bool masked() const { return masked_; }
  [[nodiscard]] std::size_t buffer() const;  // bytes that the kernel allows in the queue

  // Up to some hundred events that wait, in the order of the kernel; never blocks. `events` is emptied first.
  // ENOBUFS: the queue was full, and events have been lost; what was queued before can still be received.
  enum class Received : std::uint8_t { some, none };
  [[nodiscard]] Result<Received> receive(std::vector<ProcEvent>& events);

 private:
  struct Buffers;
  Connector(sys::Fd socket, std::unique_ptr<Buffers> buffers);
  [[nodiscard]] Result<> subscribe(std::uint32_t mask);

  sys::Fd socket_;
  std::unique_ptr<Buffers> buffers_;
  bool masked_ = false;
};

}  // namespace cgx::daemon
