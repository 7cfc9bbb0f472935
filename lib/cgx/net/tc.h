// SPDX-License-Identifier: Apache-2.0
// Interfaces and traffic control of the calling thread's network namespace, by libnl-route: HTB at the root of an
// interface, its classes, and the filter that finds a packet's class. Each call is one netlink exchange and waits
// for the kernel's answer; changes need CAP_NET_ADMIN (EPERM). Knows nothing of groups and keeps no state.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/net/names.h"
#include "cgx/net/record.h"
#include "cgx/sys/result.h"

struct nl_sock;

namespace cgx::net {

struct Interface {
  std::string name;  // the kernel's, also where an alternative name was asked for
  unsigned index = 0;
};
// ENODEV with `interface "eth9" does not exist`.
[[nodiscard]] Result<Interface> find_interface(const std::string& name);
[[nodiscard]] bool interface_exists(unsigned index);
// The inode of this thread's network namespace, which tells namespaces apart while both live.
[[nodiscard]] Result<std::uint64_t> current_netns();

// The queueing discipline at an interface's root. Major 0 is the kernel's default one (noqueue, pfifo_fast, mq,
// whatever net.core.default_qdisc says): nobody configured it, and it comes back when another one is removed.
struct RootQdisc {
  std::string kind;
  std::uint32_t major = 0;
};

class Tc {
 public:
  [[nodiscard]] static Result<Tc> open();

  [[nodiscard]] Result<RootQdisc> root(unsigned index) const;
  [[nodiscard]] Result<std::vector<ClassId>> classes(unsigned index) const;

  // HTB as the root `major:`, unclassified traffic unlimited (HTB's default 0 sends it directly).
  // EEXIST where another root was configured in between, EOPNOTSUPP where the kernel has no HTB.
  [[nodiscard]] Result<> add_root(const Interface& on, std::uint32_t major) const;
  [[nodiscard]] Result<> remove_root(const Interface& on, std::uint32_t major) const;

  // The class `id` with rate = ceil = `bits` a second, made or changed.
  [[nodiscard]] Result<> set_class(const Interface& on, ClassId id, std::uint64_t bits) const;
  [[nodiscard]] Result<> remove_class(const Interface& on, ClassId id) const;  // gone already is no error

  // A filter at preference `filter_preference` of the root `major:` that takes net_cls.classid for the class:
  // cls_cgroup or cls_bpf, or with Classifier::none the first of them that the kernel has. There already is no
  // error. EOPNOTSUPP where the kernel has neither. Answers which one it is.
  [[nodiscard]] Result<Classifier> add_filter(const Interface& on, std::uint32_t major, Classifier which) const;
  [[nodiscard]] Result<> remove_filter(const Interface& on, std::uint32_t major) const;

 private:
  struct Close {
    void operator()(nl_sock* socket) const;
  };
  explicit Tc(nl_sock* socket) : socket_(socket) {}
  [[nodiscard]] int add_filter_kind(unsigned index, std::uint32_t major, const char* kind, int program) const;

  std::unique_ptr<nl_sock, Close> socket_;
};

// Before the preferences that tc gives to filters without one (49152 and down), so that a user's own catch-all
// filter does not hide the groups' classes; a user's filter that must win takes a lower one.
inline constexpr std::uint16_t filter_preference = 51;

}  // namespace cgx::net
