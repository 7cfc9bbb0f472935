// SPDX-License-Identifier: Apache-2.0
// Where the metrics are served: an address and port, a socket in the file system, or sockets that were inherited.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "cgx/sys/fd.h"

namespace cgx::daemon {

struct Listen {
  std::string address = "127.0.0.1";  // a number, never a name that would have to be looked up
  std::uint16_t port = 9753;          // 0: any that is free
  std::string path{};                 // not empty: this socket, instead of the address
  mode_t mode = 0660;                 // of that socket
  std::vector<int> inherited{};       // not empty: these listening sockets, which the server takes over

  // `ADDR:PORT`, `[ADDR]:PORT`, `:PORT` (all addresses), `PORT` (of 127.0.0.1), or `unix:PATH` with an absolute path.
  [[nodiscard]] static Result<Listen> parse(std::string_view text);
  [[nodiscard]] std::string text() const;
};

// A listening socket. Errors say which address or path, and why. A socket in the file system that nobody listens on any
// more is replaced; one that somebody listens on is EADDRINUSE, and what is no socket is EEXIST.
[[nodiscard]] Result<sys::Fd> open_listener(const Listen& listen);
// Where a socket listens, as people write it: "127.0.0.1:9753", "unix:/run/cgx/metrics.sock".
[[nodiscard]] Result<std::string> listener_address(int fd);

}  // namespace cgx::daemon
