// SPDX-License-Identifier: Apache-2.0
// The words of network control: class numbers as tc writes them, interface names, and the values of the flags
// --net-class, --net-prio and --net-rate. Pure; every parser takes the whole text or refuses it with
// Fault::usage. Knows nothing of netlink, so that programs without libnl can use it as well.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cgx/sys/result.h"

namespace cgx::net {

// A traffic class: tc's handle MAJ:MIN in one number, 0xMMMMmmmm, as in net_cls.classid and skb->priority.
struct ClassId {
  std::uint32_t value = 0;
  [[nodiscard]] std::uint32_t major() const { return value >> 16U; }
  [[nodiscard]] std::uint32_t minor() const { return value & 0xffffU; }
  bool operator==(const ClassId&) const = default;
};

// `10:1`, both parts hexadecimal as in tc, each 1 to ffff, major below ffff (ffff: is tc's ingress and root).
[[nodiscard]] Result<ClassId> parse_class(std::string_view text);
[[nodiscard]] std::string format_class(ClassId id);  // `10:1`, tc's form

// A name that the kernel would take for an interface: 1 to 15 bytes, not `.` or `..`, no `/`, no `:`, no blank,
// no control character. Whether it exists is not asked here.
[[nodiscard]] Result<> check_interface_name(std::string_view name);

// `IF=RATE`; bits a second, `max` for no limit is sys::unlimited.
struct RateFlag {
  std::string interface;
  std::uint64_t bits = 0;
};
[[nodiscard]] Result<RateFlag> parse_rate_flag(std::string_view text);

// `IF=N`, a priority of 0 (none) to 65535: a larger number would be a traffic class.
struct PrioFlag {
  std::string interface;
  std::uint32_t priority = 0;
};
[[nodiscard]] Result<PrioFlag> parse_prio_flag(std::string_view text);

}  // namespace cgx::net
