// SPDX-License-Identifier: Apache-2.0
#include "notify.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"

namespace cgx::oci {
namespace {

constexpr const char* inside = "/run/notify";
constexpr const char* variable = "NOTIFY_SOCKET";

struct Address {
  sockaddr_un name{};
  socklen_t size = 0;
};

Result<Address> address_of(std::string_view path) {
  Address a;
  if (path.empty() || path.size() >= sizeof a.name.sun_path)
    return fail(ENAMETOOLONG, "the path of the socket is too long");
  a.name.sun_family = AF_UNIX;
  std::memcpy(a.name.sun_path, path.data(), path.size());
  a.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  if (path[0] == '@')
    a.name.sun_path[0] = '\0';  // an abstract one
  else
    ++a.size;
  return a;
}

Result<> tell_host(const std::string& text) {
  const sys::Fd out(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!out.valid()) return fail_errno(errno, "socket");
  const Address to = CGX_TRY(address_of(std::getenv(variable)));
  if (sendto(out.get(), text.data(), text.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to.name), to.size) <
      0)
    return fail_errno(errno, variable);
  return {};
}

bool says_ready(std::string_view message) {
  for (const std::string_view line : sys::lines(message))
    if (line == "READY=1") return true;
  return false;
}

}  // namespace

bool has_notify_socket() {
  const char* path = std::getenv(variable);
  return path != nullptr && (*path == '/' || *path == '@');
}

Result<> add_notify(Spec& spec, const Store::Entry& entry, const std::string& root) {
  if (mkdirat(entry.directory(), "notify", 0755) != 0 && errno != EEXIST)
    return fail_errno(errno, "the directory for sd_notify");
  container::Mount mount;
  mount.destination = inside;
  mount.type = "bind";
  mount.source = fmt::format("{}/{}/notify", root, entry.id());
  mount.options = {"bind", "nosuid", "noexec", "nodev", "ro"};
  spec.mounts.push_back(std::move(mount));
  if (spec.process) spec.process->env.push_back(fmt::format("{}={}/notify.sock", variable, inside));
  return {};
}

Result<sys::Fd> listen_for_ready(const Store::Entry& entry) {
  const sys::Fd dir(openat(entry.directory(), "notify", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!dir.valid()) return fail_errno(errno, "the directory for sd_notify");
  sys::Fd in(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!in.valid()) return fail_errno(errno, "socket");
  const Address at = CGX_TRY(address_of(fmt::format("/proc/self/fd/{}/notify.sock", dir.get())));
  (void)unlinkat(dir.get(), "notify.sock", 0);
  if (bind(in.get(), reinterpret_cast<const sockaddr*>(&at.name), at.size) != 0)
    return fail_errno(errno, "notify.sock");
  // Whoever the program is.
  if (fchmodat(dir.get(), "notify.sock", 0777, 0) != 0) return fail_errno(errno, "notify.sock");
  return in;
}

Result<> hand_on_ready(const sys::Fd& socket, const sys::Fd& init, pid_t pid) {
  while (true) {
    std::array<pollfd, 2> fds{pollfd{.fd = socket.get(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = init.get(), .events = POLLIN, .revents = 0}};
    if (poll(fds.data(), fds.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return fail_errno(errno, "poll");
    }
    if (fds[0].revents != 0) {
      std::array<char, 4096> message{};
      const ssize_t n = recv(socket.get(), message.data(), message.size(), MSG_DONTWAIT);
      if (n > 0 && says_ready({message.data(), static_cast<std::size_t>(n)}))
        return tell_host(fmt::format("READY=1\nMAINPID={}", pid));
      continue;
    }
    if (fds[1].revents != 0) return {};
  }
}

}  // namespace cgx::oci
