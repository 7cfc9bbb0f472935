// SPDX-License-Identifier: Apache-2.0
#include "clients.h"

#include <algorithm>
#include <cerrno>

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace cgx::launcher {
namespace {

int untaken_in(const Client& client) {
  int bytes = 0;
  return ioctl(client.socket.get(), SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

Word word_of(const std::string& packet) { return static_cast<Word>(packet[0]); }
std::string_view data_of(const std::string& packet) { return std::string_view(packet).substr(1); }

void note_progress(Client& client) {
  client.since = Clients::Clock::now();
  client.untaken = untaken_in(client);
}

// Pipes hold 64 KiB each unless the program has asked for more. With this the socket takes what was left in both of
// them, so that the end waits for nobody, and the kernel keeps it until the client reads it.
void make_room(const Client& client) {
  const int bytes = 1 << 20;
  if (setsockopt(client.socket.get(), SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0)
    (void)setsockopt(client.socket.get(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);  // up to wmem_max
}

}  // namespace

void Clients::remove_closed() {
  std::erase_if(list_, [](const Client& c) { return !c.socket.valid(); });
}

void Clients::tell(Client& client, Word word, std::string_view data) const {
  if (!client.socket.valid()) return;
  if (client.queue.empty()) {
    const auto sent = send_packet(client.socket.get(), word, data);
    if (sent) return;
    if (sent.error().code != EAGAIN) {
      client.socket.reset(-1);
      return;
    }
    note_progress(client);
  }
  client.queue.emplace_back(1, static_cast<char>(word)).append(data);
}

void Clients::tell_all(Word word, std::string_view data) {
  for (Client& client : list_) tell(client, word, data);
}

void Clients::tell_watchers(Word word, std::string_view data) {
  for (Client& client : list_)
    if (client.watches) tell(client, word, data);
}

void Clients::send_queued(Client& client) const {
  while (client.socket.valid() && !client.queue.empty()) {
    const std::string& packet = client.queue.front();
    const auto sent = send_packet(client.socket.get(), word_of(packet), data_of(packet));
    if (!sent && sent.error().code == EAGAIN) return;
    if (!sent) client.socket.reset(-1);
    client.queue.pop_front();
    if (sent) note_progress(client);
  }
}

bool Clients::hold_output() const {
  return std::ranges::any_of(list_, [](const Client& c) { return !c.queue.empty(); });
}

std::optional<Clients::Clock::time_point> Clients::deadline() const {
  std::optional<Clock::time_point> first;
  for (const Client& client : list_)
    if (!client.queue.empty() && !client.foreground)
      first = std::min(first.value_or(Clock::time_point::max()), client.since + most_hold);
  return first;
}

void Clients::drop_idle() {
  const auto now = Clock::now();
  for (Client& client : list_) {
    if (client.queue.empty() || client.foreground || now - client.since < most_hold) continue;
    // The kernel calls a socket writable when three quarters of it are free, and a slow reader takes less.
    if (untaken_in(client) < client.untaken)
      note_progress(client);
    else
      client.socket.reset(-1);
  }
  remove_closed();
}

void Clients::deliver() {
  for (Client& client : list_) {
    if (client.queue.empty()) continue;
    make_room(client);
    note_progress(client);
    send_queued(client);
  }
  remove_closed();
  // One moment for all: the number of those who stand still does not count.
  auto last = Clock::now();
  while (hold_output()) {
    std::vector<pollfd> fds;
    for (const Client& client : list_)
      fds.push_back({.fd = client.queue.empty() ? -1 : client.socket.get(), .events = POLLOUT, .revents = 0});
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(last + most_hold_at_end - Clock::now()).count();
    const int n = left > 0 ? poll(fds.data(), fds.size(), static_cast<int>(left)) : 0;
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      for (Client& client : list_)
        if (!client.queue.empty() && untaken_in(client) >= client.untaken) client.socket.reset(-1);
      remove_closed();
      for (Client& client : list_)
        if (!client.queue.empty()) note_progress(client);
      last = Clock::now();
      continue;
    }
    for (std::size_t i = 0; i < fds.size(); ++i)
      if (fds[i].revents != 0) {
        const std::size_t before = list_[i].queue.size();
        send_queued(list_[i]);
        if (list_[i].queue.size() != before) last = Clock::now();
      }
    remove_closed();
  }
}

}  // namespace cgx::launcher
