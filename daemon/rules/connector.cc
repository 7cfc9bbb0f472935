// SPDX-License-Identifier: Apache-2.0
#include "daemon/rules/connector.h"

#include <cerrno>
#include <cstring>
#include <optional>
#include <span>

#include <arpa/inet.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

namespace cgx::daemon {
namespace {

constexpr std::size_t default_buffer = 8U << 20U;
constexpr std::size_t message_space = 256;  // a message is 76 bytes

// struct proc_input of kernels since 6.6; Debian 12's headers are older.
struct ProcInput {
  std::uint32_t operation;
  std::uint32_t events;
};

// Where in a message (nlmsghdr, cn_msg, proc_event) what the filter looks at is.
constexpr std::size_t event_at = NLMSG_HDRLEN + offsetof(cn_msg, data);
constexpr std::size_t data_at = event_at + offsetof(proc_event, event_data);
// PROC_EVENT_ALL of kernels since 6.6.
constexpr std::uint32_t all_events = 0xe00003c7;
constexpr std::uint32_t acknowledgement = 0;  // PROC_EVENT_NONE

constexpr sock_filter load_word(std::size_t at) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(at));
}

// Lets pass acknowledgements, and the events of the mask that are of a whole process: a new thread has another tid than
// its process, and so has a thread that changes its own user. BPF loads words in network order, the kernel writes them
// in the host's.
Result<> filter(int socket, std::uint32_t mask) {
  const std::array program{
      load_word(event_at + offsetof(proc_event, what)),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, acknowledgement, 11, 0),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, htonl(mask), 0, 9),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(static_cast<std::uint32_t>(ProcEventKind::fork)), 0, 4),
      load_word(data_at + offsetof(decltype(proc_event::event_data), fork.child_pid)),
      sock_filter BPF_STMT(BPF_MISC | BPF_TAX, 0),
      load_word(data_at + offsetof(decltype(proc_event::event_data), fork.child_tgid)),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JA, 3, 0, 0),
      load_word(data_at + offsetof(decltype(proc_event::event_data), id.process_pid)),
      sock_filter BPF_STMT(BPF_MISC | BPF_TAX, 0),
      load_word(data_at + offsetof(decltype(proc_event::event_data), id.process_tgid)),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 1, 0),
      sock_filter BPF_STMT(BPF_RET | BPF_K, 0),
      sock_filter BPF_STMT(BPF_RET | BPF_K, static_cast<std::uint32_t>(-1)),
  };
  const sock_fprog attach{.len = static_cast<unsigned short>(program.size()),
                          .filter = const_cast<sock_filter*>(program.data())};
  if (setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &attach, sizeof attach) != 0)
    return fail_errno(errno, "the filter of process events");
  return {};
}

// One more than `number` comes back in the acknowledgement, which all listeners on this machine receive.
template <class Body>
Result<> send(int socket, std::uint32_t number, const Body& body) {
  alignas(nlmsghdr) std::array<char, NLMSG_SPACE(sizeof(cn_msg) + sizeof body)> bytes{};
  nlmsghdr header{};
  header.nlmsg_len = NLMSG_LENGTH(sizeof(cn_msg) + sizeof body);
  header.nlmsg_type = NLMSG_DONE;
  cn_msg message{};
  message.id = {.idx = CN_IDX_PROC, .val = CN_VAL_PROC};
  message.ack = number;
  message.len = sizeof body;
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + NLMSG_HDRLEN, &message, sizeof message);
  std::memcpy(bytes.data() + event_at, &body, sizeof body);
  if (::send(socket, bytes.data(), header.nlmsg_len, 0) < 0) return fail_errno(errno, "the process connector");
  return {};
}

// The event in a datagram; nullopt: it is none of a process.
std::optional<proc_event> parse(std::span<const char> datagram, std::uint32_t* number = nullptr) {
  proc_event event{};
  cn_msg message{};
  if (datagram.size() < event_at + offsetof(proc_event, event_data)) return {};
  std::memcpy(&message, datagram.data() + NLMSG_HDRLEN, sizeof message);
  if (message.id.idx != CN_IDX_PROC || message.id.val != CN_VAL_PROC) return {};
  if (number != nullptr) *number = message.ack;
  // Later kernels may write more, earlier ones less.
  std::memcpy(&event, datagram.data() + event_at, std::min(sizeof event, datagram.size() - event_at));
  return event;
}

std::optional<ProcEvent> known(const proc_event& event) {
  const auto& data = event.event_data;
  ProcEvent out{.kind = static_cast<ProcEventKind>(event.what), .time = event.timestamp_ns};
  switch (out.kind) {
    case ProcEventKind::fork:
      if (data.fork.child_pid != data.fork.child_tgid) return {};
      out.pid = data.fork.child_tgid;
      out.parent = data.fork.parent_tgid;
      return out;
    case ProcEventKind::exec:
      out.pid = data.exec.process_tgid;
      return out;
    case ProcEventKind::uid:
    case ProcEventKind::gid:
      if (data.id.process_pid != data.id.process_tgid) return {};
      out.pid = data.id.process_tgid;
      return out;
  }
  return {};
}

}  // namespace

struct Connector::Buffers {
  static constexpr std::size_t count = 256;
  std::array<std::array<char, message_space>, count> space;
  std::array<sockaddr_nl, count> senders;
  std::array<iovec, count> vectors;
  std::array<mmsghdr, count> messages;
};

Connector::Connector(sys::Fd socket, std::unique_ptr<Buffers> buffers)
    : socket_(std::move(socket)), buffers_(std::move(buffers)) {}

Connector::Connector(Connector&& other) noexcept = default;

Connector::~Connector() {
  // Kernels before 6.6 count listeners by these messages alone, and go on to make events for one that has closed.
  if (socket_.valid()) (void)send(socket_.get(), 0, static_cast<std::uint32_t>(PROC_CN_MCAST_IGNORE));
}

Result<Connector> Connector::open(std::uint32_t mask, std::size_t buffer) {
  sys::Fd socket(::socket(PF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR));
  if (!socket.valid() && errno == EPROTONOSUPPORT)
    return fail(EPROTONOSUPPORT, "this kernel has no process connector (CONFIG_CONNECTOR)");
  if (!socket.valid()) return fail_errno(errno, "the process connector");
  // FORCE needs CAP_NET_ADMIN, and is not bound by net.core.rmem_max. The kernel doubles the number for its own
  // records.
  const int size = static_cast<int>(buffer == 0 ? default_buffer : buffer);
  if (setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
    (void)setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  CGX_CHECK(filter(socket.get(), mask));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = CN_IDX_PROC;
  if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EPERM) return fail(EPERM, "listening to the process connector needs root (CAP_NET_ADMIN)");
    return fail_errno(errno, "the process connector");
  }
  Connector made(std::move(socket), std::make_unique<Buffers>());
  CGX_CHECK(made.subscribe(mask));
  return made;
}

// A kernel that knows masks takes the longer message and acknowledges it; an older one passes over it in silence, and
// then gets the shorter one. The mask is applied to acknowledgements too, which no mask but that of all events lets
// pass: so whether it is known is asked by that one first.
Result<> Connector::subscribe(std::uint32_t mask) {
  const auto own = static_cast<std::uint32_t>(getpid()) << 8U | static_cast<std::uint32_t>(socket_.get() & 0x7f) << 1U;
  const auto acknowledged = [this](std::uint32_t number, int milliseconds) -> Result<bool> {
    pollfd waiting{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    std::array<char, message_space> datagram;
    while (true) {
      const ssize_t n = recv(socket_.get(), datagram.data(), datagram.size(), 0);
      if (n < 0 && errno == EAGAIN) {
        if (poll(&waiting, 1, milliseconds) == 1) continue;
        return false;
      }
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno != ENOBUFS) return fail_errno(errno, "the process connector");
      std::uint32_t answered = 0;
      const auto event = n < 0 ? std::nullopt : parse({datagram.data(), static_cast<std::size_t>(n)}, &answered);
      if (!event || event->what != acknowledgement || answered != number + 1) continue;
      const int code = static_cast<int>(event->event_data.ack.err);
      if (code == EPERM)
        return fail(EPERM, "the kernel tells of processes only in its first pid and user namespace, to root");
      if (code != 0) return fail_errno(code, "the process connector");
      return true;
    }
  };
  CGX_CHECK(send(socket_.get(), own, ProcInput{.operation = PROC_CN_MCAST_LISTEN, .events = all_events}));
  masked_ = CGX_TRY(acknowledged(own, 20));
  if (masked_) return send(socket_.get(), own, ProcInput{.operation = PROC_CN_MCAST_LISTEN, .events = mask});
  CGX_CHECK(send(socket_.get(), own + 1, static_cast<std::uint32_t>(PROC_CN_MCAST_LISTEN)));
  if (!CGX_TRY(acknowledged(own + 1, 500)))
    return fail(ENOTSUP,
                "the kernel does not tell of processes: it has no CONFIG_PROC_EVENTS, or this is another pid or user "
                "namespace than its first");
  return {};
}

std::size_t Connector::buffer() const {
  int size = 0;
  socklen_t length = sizeof size;
  if (getsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &size, &length) != 0) return 0;
  return static_cast<std::size_t>(size);
}

Result<Connector::Received> Connector::receive(std::vector<ProcEvent>& events) {
  events.clear();
  Buffers& b = *buffers_;
  for (std::size_t i = 0; i < Buffers::count; ++i) {
    b.vectors[i] = {.iov_base = b.space[i].data(), .iov_len = b.space[i].size()};
    b.messages[i] = {};
    b.messages[i].msg_hdr.msg_name = &b.senders[i];
    b.messages[i].msg_hdr.msg_namelen = sizeof b.senders[i];
    b.messages[i].msg_hdr.msg_iov = &b.vectors[i];
    b.messages[i].msg_hdr.msg_iovlen = 1;
  }
  const int n = recvmmsg(socket_.get(), b.messages.data(), Buffers::count, MSG_DONTWAIT, nullptr);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return Received::none;
  if (n < 0) return fail_errno(errno, "the process connector");
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    // Only the kernel has port 0: no other process can make events up.
    if (b.senders[i].nl_pid != 0) continue;
    const auto event = parse({b.space[i].data(), b.messages[i].msg_len});
    if (!event) continue;
    if (const auto out = known(*event)) events.push_back(*out);
  }
  return Received::some;
}

}  // namespace cgx::daemon
