// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/channel.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace cgx::container {
namespace {

constexpr std::size_t most_text = 4000;

struct Header {
  Notice word;
  Stage stage;
  std::int32_t value;
};

Result<> send_parts(int socket, std::array<iovec, 2> parts, int fd) {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  if (fd >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(part), &fd, sizeof fd);
  }
  if (send_message(socket, message, MSG_NOSIGNAL) < 0) return fail_errno(errno, "sendmsg");
  return {};
}

sys::Fd descriptor_of(msghdr& message) {
  sys::Fd fd;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part))
    if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(part), sizeof number);
      fd.reset(number);
    }
  return fd;
}

}  // namespace

ssize_t send_message(int socket, const msghdr& message, int flags) {
  constexpr int most_tries = 8;
  for (int tries = 1;;) {
    const ssize_t n = sendmsg(socket, &message, flags);
    if (n >= 0 || (errno != EINTR && errno != ENOMEM && errno != ENOBUFS)) return n;
    if (errno != EINTR && ++tries > most_tries) return n;
  }
}

std::string_view stage_name(Stage stage) {
  switch (stage) {
    case Stage::unborn:
      return "clone";
    case Stage::cgroup:
      return "cgroup";
    case Stage::namespaces:
      return "namespaces";
    case Stage::identity:
      return "identity";
    case Stage::cgroup_namespace:
      return "cgroup_namespace";
    case Stage::network:
      return "network";
    case Stage::mounts:
      return "mounts";
    case Stage::hooks:
      return "hooks";
    case Stage::pivot_root:
      return "pivot_root";
    case Stage::terminal:
      return "terminal";
    case Stage::protect:
      return "protect";
    case Stage::hostname:
      return "hostname";
    case Stage::sysctl:
      return "sysctl";
    case Stage::limits:
      return "limits";
    case Stage::label:
      return "label";
    case Stage::seccomp:
      return "seccomp";
    case Stage::capabilities:
      return "capabilities";
    case Stage::user:
      return "user";
    case Stage::cwd:
      return "cwd";
    case Stage::program:
      return "program";
    case Stage::ready:
      return "ready";
    case Stage::start:
      return "start";
    case Stage::exec:
      return "exec";
  }
  return "";
}

Result<std::pair<Channel, Channel>> Channel::make() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return fail_errno(errno, "socketpair");
  std::pair<Channel, Channel> channels;
  channels.first.fd_.reset(ends[0]);
  channels.second.fd_.reset(ends[1]);
  return channels;
}

Result<> Channel::send(Notice word, Stage stage, int value, std::string_view text, int fd) const {
  Header header{.word = word, .stage = stage, .value = value};
  return send_parts(fd_.get(),
                    {iovec{&header, sizeof header},
                     iovec{const_cast<char*>(text.data()), std::min(text.size(), most_text)}},  // iovec's old prototype
                    fd);
}

Result<std::optional<Message>> Channel::receive() const {
  Header header{};
  std::array<char, most_text> text;
  std::array<iovec, 2> parts{iovec{&header, sizeof header}, iovec{text.data(), text.size()}};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t n = -1;
  do {
    n = recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC);
    // ECONNRESET, once: the other process has ended without reading all of ours. What it has sent is still there.
  } while (n < 0 && (errno == EINTR || errno == ECONNRESET));
  if (n == 0) return std::nullopt;
  if (n < 0) return fail_errno(errno, "recvmsg");
  if (static_cast<std::size_t>(n) < sizeof header) return fail(EPROTO, "a message is too short");
  Message told{.word = header.word, .stage = header.stage, .value = header.value, .text = {}, .fd = {}};
  told.text.assign(text.data(), static_cast<std::size_t>(n) - sizeof header);
  told.fd = descriptor_of(message);
  return told;
}

Result<> Channel::tell_plainly(Notice word, Stage stage, int value) const {
  const Header header{.word = word, .stage = stage, .value = value};
  if (write(fd_.get(), &header, sizeof header) != static_cast<ssize_t>(sizeof header))
    return fail_errno(errno, "write");
  return {};
}

Result<> Channel::ask_plainly(Notice word, Stage stage, int value) const {
  CGX_CHECK(tell_plainly(word, stage, value));
  Header header{};
  const ssize_t n = read(fd_.get(), &header, sizeof header);
  if (n <= 0) return fail_errno(n < 0 ? errno : EPIPE, "read");
  return {};
}

bool Channel::ended() const {
  char byte = 0;
  return recv(fd_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

Result<> send_descriptor(int socket, std::string_view text, int fd) {
  // A descriptor needs at least one byte to travel with.
  if (text.empty()) text = std::string_view("\0", 1);
  return send_parts(socket, {iovec{const_cast<char*>(text.data()), text.size()}, iovec{nullptr, 0}}, fd);
}

Result<sys::Fd> connect_unix(const std::string& path) {
  sys::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return fail_errno(errno, "socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  sys::Fd by;
  std::string name = path;
  if (name.size() >= sizeof address.sun_path) {
    by = CGX_TRY(sys::open_path(path, O_PATH));
    name = "/proc/self/fd/" + std::to_string(by.get());
  }
  std::memcpy(&address.sun_path[0], name.c_str(), name.size() + 1);
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno(errno, "connect to " + path);
  return socket;
}

void Progress::fail(int with_code, std::string_view reason) {
  text[reason.copy(text.data(), most_text)] = '\0';
  code = with_code;
  failed = true;
}

SharedProgress::SharedProgress() : page_(nullptr) {
  void* page = mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page != MAP_FAILED) page_ = static_cast<Progress*>(page);
}

SharedProgress::~SharedProgress() {
  if (page_ != nullptr) (void)munmap(page_, sizeof(Progress));
}

}  // namespace cgx::container
