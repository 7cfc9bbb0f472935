// SPDX-License-Identifier: Apache-2.0
#include "http.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include <zlib.h>

namespace cgx::test {
namespace {

sys::Fd connected(const sockaddr* address, socklen_t size) {
  sys::Fd fd(socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{.tv_sec = 20, .tv_usec = 0};
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(fd.get(), address, size) != 0) return {};
  return fd;
}

}  // namespace

sys::Fd connect_to(const std::string& address) {
  if (address.starts_with("unix:")) {
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    address.copy(static_cast<char*>(local.sun_path), sizeof local.sun_path - 1, 5);
    return connected(reinterpret_cast<const sockaddr*>(&local), sizeof local);
  }
  const std::size_t colon = address.rfind(':');
  const auto port = htons(static_cast<std::uint16_t>(std::stoul(address.substr(colon + 1))));
  if (address.starts_with('[')) {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = port;
    (void)inet_pton(AF_INET6, address.substr(1, colon - 2).c_str(), &v6.sin6_addr);
    return connected(reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
  }
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = port;
  (void)inet_pton(AF_INET, address.substr(0, colon).c_str(), &v4.sin_addr);
  return connected(reinterpret_cast<const sockaddr*>(&v4), sizeof v4);
}

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

std::string receive_all(int fd) {
  std::string text;
  std::array<char, 65536> buffer;
  while (true) {
    const ssize_t n = recv(fd, buffer.data(), buffer.size(), 0);
    if (n <= 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

HttpAnswer parse_answer(std::string_view bytes) {
  HttpAnswer answer;
  const std::size_t head = bytes.find("\r\n\r\n");
  if (!bytes.starts_with("HTTP/1.") || head == std::string_view::npos) return answer;
  std::string_view lines = bytes.substr(0, head + 2);
  bytes.remove_prefix(head + 4);
  (void)std::from_chars(lines.data() + 9, lines.data() + 12, answer.status);
  lines.remove_prefix(lines.find("\r\n") + 2);
  while (!lines.empty()) {
    const std::size_t end = lines.find("\r\n");
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(end + 2);
    std::string name(line.substr(0, line.find(':')));
    std::ranges::transform(
        name, name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    answer.headers[name] = line.substr(std::min(line.size(), line.find(':') + 2));
  }
  if (answer.headers["transfer-encoding"] != "chunked") {
    answer.body = bytes;
    return answer;
  }
  while (!bytes.empty()) {
    std::size_t size = 0;
    (void)std::from_chars(bytes.data(), bytes.data() + bytes.size(), size, 16);
    const std::size_t start = bytes.find("\r\n");
    if (size == 0 || start == std::string_view::npos || start + 2 + size > bytes.size()) break;
    answer.body.append(bytes.substr(start + 2, size));
    bytes.remove_prefix(std::min(bytes.size(), start + 2 + size + 2));
  }
  return answer;
}

HttpAnswer http(const std::string& address, std::string_view method, std::string_view path, std::string_view headers) {
  const sys::Fd fd = connect_to(address);
  if (!fd.valid()) return {};
  std::string request(method);
  request.append(" ")
      .append(path)
      .append(" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n")
      .append(headers)
      .append("\r\n");
  if (!send_all(fd.get(), request)) return {};
  return parse_answer(receive_all(fd.get()));
}

std::string gunzip(std::string_view bytes) {
  z_stream stream{};
  std::string in(bytes);
  std::string out;
  if (inflateInit2(&stream, 15 + 16) != Z_OK) return out;
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  std::array<char, 65536> buffer;
  int status = Z_OK;
  while (status == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = buffer.size();
    status = inflate(&stream, Z_NO_FLUSH);
    out.append(buffer.data(), buffer.size() - stream.avail_out);
  }
  (void)inflateEnd(&stream);
  return status == Z_STREAM_END ? out : std::string();
}

}  // namespace cgx::test
