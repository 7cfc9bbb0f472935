// SPDX-License-Identifier: Apache-2.0
#include "daemon/metrics/listen.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cgx/sys/text.h"

namespace cgx::daemon {
namespace {

constexpr int backlog = 16;

union Address {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
  sockaddr_un local;
};

std::unexpected<Error> refuse(const Listen& listen, int code, std::string_view what) {
  return fail(code, "cannot listen on " + listen.text() + ": " + std::string(what.empty() ? errno_text(code) : what));
}

// 0: it is neither kind of number.
socklen_t fill(Address& address, const std::string& text, std::uint16_t port) {
  address = {};
  if (inet_pton(AF_INET, text.c_str(), &address.v4.sin_addr) == 1) {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(port);
    return sizeof address.v4;
  }
  if (inet_pton(AF_INET6, text.c_str(), &address.v6.sin6_addr) == 1) {
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons(port);
    return sizeof address.v6;
  }
  return 0;
}

Result<sys::Fd> listen_tcp(const Listen& listen) {
  Address address;
  const socklen_t size = fill(address, listen.address, listen.port);
  if (size == 0) return refuse(listen, EINVAL, "the address is not a number of IPv4 or IPv6");
  sys::Fd fd(socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return refuse(listen, errno, {});
  const int on = 1;
  // Connections of the process before may still be closing.
  if (setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return refuse(listen, errno, {});
  // `[::]` takes IPv4 too; so does the empty address, which has to be told.
  const int only_v6 = 0;
  if (address.any.sa_family == AF_INET6)
    (void)setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof only_v6);  // some kernels fix it
  if (bind(fd.get(), &address.any, size) != 0 || ::listen(fd.get(), backlog) != 0) return refuse(listen, errno, {});
  return fd;
}

// Whether somebody listens there.
bool is_alive(const Address& address, socklen_t size) {
  const sys::Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return connect(fd.get(), &address.any, size) == 0 || errno != ECONNREFUSED;
}

Result<sys::Fd> listen_local(const Listen& listen) {
  Address address{};
  address.local.sun_family = AF_UNIX;
  if (listen.path.size() >= sizeof address.local.sun_path)
    return refuse(listen, ENAMETOOLONG, "the path is longer than 107 bytes");
  std::ranges::copy(listen.path, static_cast<char*>(address.local.sun_path));
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + listen.path.size() + 1);
  struct stat st{};
  if (lstat(listen.path.c_str(), &st) == 0) {
    if (!S_ISSOCK(st.st_mode)) return refuse(listen, EEXIST, "it is there and is no socket");
    if (is_alive(address, size)) return refuse(listen, EADDRINUSE, {});
    if (unlink(listen.path.c_str()) != 0) return refuse(listen, errno, {});
  }
  sys::Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return refuse(listen, errno, {});
  // The mode of the descriptor, less the umask, is that of the file: it never has another one, not even for a moment.
  if (fchmod(fd.get(), listen.mode) != 0) return refuse(listen, errno, {});
  if (bind(fd.get(), &address.any, size) != 0) return refuse(listen, errno, {});
  if (chmod(listen.path.c_str(), listen.mode) != 0 || ::listen(fd.get(), backlog) != 0) {
    const int code = errno;
    (void)unlink(listen.path.c_str());
    return refuse(listen, code, {});
  }
  return fd;
}

}  // namespace

Result<Listen> Listen::parse(std::string_view text) {
  Listen listen;
  if (text.starts_with("unix:")) {
    listen.path = text.substr(5);
    if (!listen.path.starts_with('/') || listen.path.size() < 2) return bad_value(text, "needs an absolute path");
    return listen;
  }
  const std::size_t colon = text.rfind(':');
  const bool bracketed = text.starts_with('[');
  std::string_view address = colon == std::string_view::npos ? std::string_view("127.0.0.1") : text.substr(0, colon);
  const std::string_view port = colon == std::string_view::npos ? text : text.substr(colon + 1);
  if (bracketed) {
    if (!address.ends_with(']')) return bad_value(text, "is not [ADDR]:PORT");
    address = address.substr(1, address.size() - 2);
  } else if (address.find(':') != std::string_view::npos) {
    return bad_value(text, "is not ADDR:PORT; an IPv6 address stands in brackets, as in [::1]:9753");
  }
  if (address == "localhost") address = "127.0.0.1";
  if (address.empty() && !bracketed) address = "::";
  const auto number = sys::parse_u64(port, 0, 65535);
  Address bytes;
  if (!number || fill(bytes, std::string(address), 0) == 0)
    return bad_value(text, "is not ADDR:PORT (as 127.0.0.1:9753 or [::1]:9753) nor unix:PATH");
  listen.address = address;
  listen.port = static_cast<std::uint16_t>(*number);
  return listen;
}

std::string Listen::text() const {
  if (!path.empty()) return "unix:" + path;
  return (address.find(':') != std::string::npos ? '[' + address + ']' : address) + ':' + std::to_string(port);
}

Result<sys::Fd> open_listener(const Listen& listen) {
  return listen.path.empty() ? listen_tcp(listen) : listen_local(listen);
}

Result<std::string> listener_address(int fd) {
  Address address{};
  socklen_t size = sizeof address;
  if (getsockname(fd, &address.any, &size) != 0) return fail_errno(errno, "an inherited descriptor is no socket");
  int listening = 0;
  socklen_t length = sizeof listening;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0 || listening == 0)
    return fail(EINVAL, "an inherited descriptor is no listening socket");
  Listen listen;
  std::array<char, INET6_ADDRSTRLEN> text{};
  switch (address.any.sa_family) {
    case AF_UNIX: {
      const std::size_t most = size > offsetof(sockaddr_un, sun_path) ? size - offsetof(sockaddr_un, sun_path) : 0;
      listen.path.assign(static_cast<const char*>(address.local.sun_path),
                         strnlen(static_cast<const char*>(address.local.sun_path), most));
      return listen.path.empty() ? std::string("unix:") : listen.text();
    }
    case AF_INET:
      (void)inet_ntop(AF_INET, &address.v4.sin_addr, text.data(), text.size());
      listen.port = ntohs(address.v4.sin_port);
      break;
    case AF_INET6:
      (void)inet_ntop(AF_INET6, &address.v6.sin6_addr, text.data(), text.size());
      listen.port = ntohs(address.v6.sin6_port);
      break;
    default:
      return fail(EAFNOSUPPORT, "an inherited descriptor is a socket of another kind than TCP or unix");
  }
  listen.address = text.data();
  return listen.text();
}

}  // namespace cgx::daemon
