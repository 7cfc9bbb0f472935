// SPDX-License-Identifier: Apache-2.0
// A client for one request, as plain as can be, so that tests see what really comes over the socket.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "cgx/sys/fd.h"

namespace cgx::test {

// Connects to "127.0.0.1:PORT", "[::1]:PORT" or "unix:PATH". Invalid: it could not. Reads end after 20 seconds.
[[nodiscard]] sys::Fd connect_to(const std::string& address);
// Sends all of it. False: the other side has closed.
bool send_all(int fd, std::string_view bytes);

struct HttpAnswer {
  int status = 0;                              // 0: there was none
  std::map<std::string, std::string> headers;  // names in small letters
  std::string body;                            // chunks put together
};
// All that comes until the other side closes.
[[nodiscard]] std::string receive_all(int fd);
[[nodiscard]] HttpAnswer parse_answer(std::string_view bytes);
// One request on a connection of its own. `headers` with \r\n after each.
[[nodiscard]] HttpAnswer http(const std::string& address,
                              std::string_view method,
                              std::string_view path,
                              std::string_view headers = {});
[[nodiscard]] std::string gunzip(std::string_view bytes);

}  // namespace cgx::test
