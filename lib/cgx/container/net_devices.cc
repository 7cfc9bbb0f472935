// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/net_devices.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <ranges>

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

namespace cgx::container {
namespace {

// Flags that were asked for when the address was given; the others are its state.
constexpr std::uint32_t given_flags = IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN;

// A message of `Body` with attributes after it.
template <class Body>
class Request {
 public:
  Request(std::uint16_t type, std::uint16_t flags, const Body& body) {
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    put(&header, sizeof header);
    put(&body, sizeof body);
  }
  void add(std::uint16_t type, const void* data, std::size_t size) {
    const rtattr head{.rta_len = static_cast<std::uint16_t>(RTA_LENGTH(size)), .rta_type = type};
    put(&head, sizeof head);
    put(data, size);
  }
  void add_raw(std::string_view attributes) { put(attributes.data(), attributes.size()); }
  [[nodiscard]] std::string_view text() {
    const auto size = static_cast<std::uint32_t>(text_.size());
    std::memcpy(text_.data(), &size, sizeof size);  // nlmsg_len is the first member
    return text_;
  }

 private:
  void put(const void* data, std::size_t size) {
    text_.append(static_cast<const char*>(data), size);
    text_.resize(NLMSG_ALIGN(text_.size()));
  }
  std::string text_;
};

}  // namespace

// A socket stays in the network namespace that it was made in.
class NetDevices::Socket {
 public:
  [[nodiscard]] Result<> open() {
    fd_.reset(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    if (!fd_.valid()) return fail_errno(errno, "netlink socket");
    control_.reset(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!control_.valid()) return fail_errno(errno, "socket");
    return {};
  }

  // Sends, and hands each answer to `take` until the last one.
  [[nodiscard]] Result<> ask(std::string_view request, const std::function<void(const nlmsghdr*)>& take = {}) {
    if (send(fd_.get(), request.data(), request.size(), 0) < 0) return fail_errno(errno, "netlink");
    alignas(nlmsghdr) std::array<char, 32768> buffer;
    while (true) {
      const ssize_t got = recv(fd_.get(), buffer.data(), buffer.size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return fail_errno(got < 0 ? errno : EPROTO, "netlink");
      auto left = static_cast<unsigned>(got);
      for (const auto* m = reinterpret_cast<const nlmsghdr*>(buffer.data()); NLMSG_OK(m, left);
           m = NLMSG_NEXT(m, left)) {
        if (m->nlmsg_type == NLMSG_DONE) return {};
        if (m->nlmsg_type == NLMSG_ERROR) {
          const int code = -static_cast<const nlmsgerr*>(NLMSG_DATA(m))->error;
          return code == 0 ? Result<>() : fail_errno(code, "netlink");
        }
        if (take) take(m);
      }
    }
  }

  [[nodiscard]] Result<int> index(const std::string& name) const {
    ifreq request = named(name);
    if (ioctl(control_.get(), SIOCGIFINDEX, &request) != 0) return fail_errno(errno, name);
    return request.ifr_ifindex;
  }
  [[nodiscard]] Result<bool> is_up(const std::string& name) const {
    ifreq request = named(name);
    if (ioctl(control_.get(), SIOCGIFFLAGS, &request) != 0) return fail_errno(errno, name);
    return (request.ifr_flags & IFF_UP) != 0;
  }
  [[nodiscard]] Result<> set_up(const std::string& name, bool up) const {
    ifreq request = named(name);
    if (ioctl(control_.get(), SIOCGIFFLAGS, &request) != 0) return fail_errno(errno, name);
    request.ifr_flags = static_cast<short>(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
    if (ioctl(control_.get(), SIOCSIFFLAGS, &request) != 0) return fail_errno(errno, name);
    return {};
  }
  [[nodiscard]] Result<std::vector<Address>> addresses(int index) {
    std::vector<Address> list;
    Request<ifaddrmsg> request(RTM_GETADDR, NLM_F_DUMP, {});
    CGX_CHECK(ask(request.text(), [&](const nlmsghdr* m) {
      if (m->nlmsg_type != RTM_NEWADDR) return;
      const auto* body = static_cast<const ifaddrmsg*>(NLMSG_DATA(m));
      if (static_cast<int>(body->ifa_index) != index || body->ifa_scope != RT_SCOPE_UNIVERSE) return;
      Address address{
          .family = body->ifa_family, .prefix = body->ifa_prefixlen, .flags = body->ifa_flags, .attributes = {}};
      auto left = static_cast<unsigned>(IFA_PAYLOAD(m));
      for (const rtattr* a = IFA_RTA(body); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (a->rta_type == IFA_FLAGS && RTA_PAYLOAD(a) == sizeof address.flags)
          std::memcpy(&address.flags, RTA_DATA(a), sizeof address.flags);
        if (a->rta_type == IFA_LOCAL || a->rta_type == IFA_ADDRESS || a->rta_type == IFA_BROADCAST) {
          address.attributes.append(reinterpret_cast<const char*>(a), a->rta_len);
          address.attributes.resize(RTA_ALIGN(address.attributes.size()));
        }
      }
      if ((address.flags & IFA_F_PERMANENT) != 0) list.push_back(std::move(address));
    }));
    return list;
  }
  // An address that is there already is no error: on the way back IPv4 keeps those of interfaces that are down.
  [[nodiscard]] Result<> add(int index, const Address& address) {
    ifaddrmsg body{};
    body.ifa_family = address.family;
    body.ifa_prefixlen = address.prefix;
    body.ifa_scope = RT_SCOPE_UNIVERSE;
    body.ifa_index = static_cast<unsigned>(index);
    Request<ifaddrmsg> request(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, body);
    request.add_raw(address.attributes);
    const std::uint32_t flags = address.flags & given_flags;
    request.add(IFA_FLAGS, &flags, sizeof flags);
    auto added = ask(request.text());
    if (!added && added.error().code == EEXIST) return {};
    return added;
  }
  [[nodiscard]] Result<> shift(int index, int to_namespace, const std::string& name) {
    ifinfomsg body{};
    body.ifi_index = index;
    Request<ifinfomsg> request(RTM_NEWLINK, NLM_F_ACK, body);
    request.add(IFLA_IFNAME, name.c_str(), name.size() + 1);
    const auto fd = static_cast<std::uint32_t>(to_namespace);
    request.add(IFLA_NET_NS_FD, &fd, sizeof fd);
    return ask(request.text());
  }

 private:
  [[nodiscard]] static ifreq named(const std::string& name) {
    ifreq request{};
    name.copy(&request.ifr_name[0], IFNAMSIZ - 1);
    return request;
  }
  sys::Fd fd_, control_;
};

Result<> NetDevices::arrive(Socket& at, const std::string& name, const Device& device, bool up) {
  const int index = CGX_TRY(at.index(name));
  for (const Address& address : device.addresses) CGX_CHECK(at.add(index, address));
  return up ? at.set_up(name, true) : Result<>();
}

Result<> NetDevices::move_one(Socket& here, Socket& there, Device device) {
  const int index = CGX_TRY(here.index(device.here));
  if (there.index(device.there)) return fail_errno(EEXIST, device.there);
  device.up = CGX_TRY(here.is_up(device.here));
  // Before it goes down, which takes those of IPv6.
  device.addresses = CGX_TRY(here.addresses(index));
  CGX_CHECK(here.set_up(device.here, false));
  if (auto left = here.shift(index, other_.get(), device.there); !left) {
    // The kernel moves first and renames then.
    if (!here.index(device.here)) {
      device.there = device.here;
      moved_.push_back(std::move(device));
    } else {
      (void)arrive(here, device.here, device, device.up);
    }
    return left;
  }
  moved_.push_back(device);
  return arrive(there, device.there, device, true);
}

Result<> NetDevices::move(int proc, pid_t pid, const std::vector<std::pair<std::string, std::string>>& devices) {
  const std::string other_name = fmt::format("{}/ns/net", pid);
  own_.reset(openat(proc, "self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!own_.valid()) return fail_errno(errno, "self/ns/net");
  other_.reset(openat(proc, other_name.c_str(), O_RDONLY | O_CLOEXEC));
  if (!other_.valid()) return fail_errno(errno, other_name);
  Socket here, there;
  CGX_CHECK(here.open());
  if (setns(other_.get(), CLONE_NEWNET) != 0) return fail_errno(errno, "setns");
  auto opened = there.open();
  if (setns(own_.get(), CLONE_NEWNET) != 0) return fail_errno(errno, "setns back");
  CGX_CHECK(opened);
  for (const auto& [name, other] : devices)
    if (auto moved = move_one(here, there, {.here = name, .there = other, .up = false, .addresses = {}}); !moved)
      return fail(moved.error().code,
                  fmt::format("linux.netDevices: {} as {}: {}", name, other, errno_text(moved.error().code)));
  return {};
}

NetDevices::~NetDevices() {
  if (moved_.empty()) return;
  Socket here, there;
  if (!here.open() || setns(other_.get(), CLONE_NEWNET) != 0) return;
  const bool opened = there.open().has_value();
  if (setns(own_.get(), CLONE_NEWNET) != 0 || !opened) return;
  for (const Device& device : std::ranges::reverse_view(moved_)) {
    const auto index = there.index(device.there);
    if (!index || !there.set_up(device.there, false) || !there.shift(*index, own_.get(), device.here)) continue;
    (void)arrive(here, device.here, device, device.up);
  }
}

}  // namespace cgx::container
