// SPDX-License-Identifier: Apache-2.0
#include "relay.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/channel.h"
#include "cgx/sys/text.h"

namespace cgx::launcher {
namespace {

constexpr const char* socket_name = "attach";

}  // namespace

Result<> send_packet(int socket, Word word, std::string_view data, int flags) {
  char letter = static_cast<char>(word);
  std::array<iovec, 2> parts{iovec{&letter, 1}, iovec{const_cast<char*>(data.data()), data.size()}};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  if (container::send_message(socket, message, flags | MSG_NOSIGNAL) < 0)
    return fail_errno(errno == ECONNRESET ? EPIPE : errno, "the container's monitor");
  return {};
}

Result<std::optional<Packet>> receive_packet(int socket) {
  std::string buffer(most_packet + 1, '\0');
  ssize_t n = 0;
  // ECONNRESET, once: the other side has gone without reading all of ours (unix_release_sock). What it has sent before
  // is still there.
  do n = recv(socket, buffer.data(), buffer.size(), 0);
  while (n < 0 && (errno == EINTR || errno == ECONNRESET));
  if (n < 0) return fail_errno(errno, "the container's monitor");
  if (n == 0) return std::optional<Packet>();
  return Packet{.word = static_cast<Word>(buffer[0]), .data = buffer.substr(1, static_cast<std::size_t>(n) - 1)};
}

std::string number_data(std::int32_t number) {
  std::string data(sizeof number, '\0');
  std::memcpy(data.data(), &number, sizeof number);
  return data;
}

std::int32_t data_number(std::string_view data) {
  std::int32_t number = 0;
  if (data.size() == sizeof number) std::memcpy(&number, data.data(), sizeof number);
  return number;
}

std::string error_data(const Error& e) {
  std::string data = fmt::format("{} {}", e.code, static_cast<unsigned>(e.fault));
  for (const std::string* part : {&e.what, &e.group, &e.knob, &e.value, &e.hint}) {
    data += '\0';
    data += part->substr(0, 4096);
  }
  return data;
}

Error data_error(std::string_view data) {
  const auto parts = sys::split(data, '\0');
  Error e{.code = EIO, .what = "the container's monitor ended without a word"};
  if (parts.size() != 6) return e;
  const auto numbers = sys::words(parts[0]);
  if (numbers.size() != 2) return e;
  e.code = static_cast<int>(sys::parse_u64(numbers[0], 0, 4095).value_or(EIO));
  e.fault = static_cast<Fault>(sys::parse_u64(numbers[1], 0, static_cast<unsigned>(Fault::program)).value_or(0));
  e.what = parts[1];
  e.group = parts[2];
  e.knob = parts[3];
  e.value = parts[4];
  e.hint = parts[5];
  return e;
}

// By the directory's number: a path may be longer than sun_path, and the directory may be another one meanwhile.
Result<sys::Fd> listen_in(int directory) {
  sys::Fd socket_fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_fd.valid()) return fail_errno(errno, "socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = fmt::format("/proc/self/fd/{}/{}", directory, socket_name);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  (void)unlinkat(directory, socket_name, 0);
  if (bind(socket_fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno(errno, "the container's socket");
  if (fchmodat(directory, socket_name, 0600, 0) != 0 || listen(socket_fd.get(), 64) != 0)
    return fail_errno(errno, "the container's socket");
  return socket_fd;
}

Result<sys::Fd> connect_in(int directory) {
  sys::Fd socket_fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket_fd.valid()) return fail_errno(errno, "socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = fmt::format("/proc/self/fd/{}/{}", directory, socket_name);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (connect(socket_fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno(errno, "the container's monitor");
  return socket_fd;
}

}  // namespace cgx::launcher
