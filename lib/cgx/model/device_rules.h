// SPDX-License-Identifier: Apache-2.0
// One rule of device access, as users and the kernel write it. Pure: the node behind a path is looked up by a
// function that the caller gives. Knows nothing of groups; the state that rules lead to is in device_list.h.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "cgx/sys/result.h"

namespace cgx {

// Access bits with the values that the kernel hands to BPF_PROG_TYPE_CGROUP_DEVICE programs (BPF_DEVCG_ACC_*).
inline constexpr unsigned device_mknod = 1;
inline constexpr unsigned device_read = 2;
inline constexpr unsigned device_write = 4;
inline constexpr unsigned device_rwm = device_mknod | device_read | device_write;

struct DeviceRule {
  bool allow = true;
  char type = 'a';                // 'b', 'c', or 'a': every device, then the other members are as they stand here
  std::optional<unsigned> major;  // none: every one, written `*`
  std::optional<unsigned> minor;
  unsigned access = device_rwm;  // never 0
  bool operator==(const DeviceRule&) const = default;

  // As the kernel takes it in devices.allow and devices.deny: `c 1:3 rwm`, or `a`.
  [[nodiscard]] std::string kernel_text() const;
  // The canonical form: `allow c 1:3 rwm`, `deny a`.
  [[nodiscard]] std::string text() const;
};

// The letters of access bits in the kernel's order: `rwm`.
[[nodiscard]] std::string access_text(unsigned access);

// What a device node stands for; `type` is 'b' or 'c'.
struct NodeType {
  char type = 'c';
  unsigned major = 0;
  unsigned minor = 0;
  bool operator==(const NodeType&) const = default;
};
using NodeResolver = std::function<Result<NodeType>(const std::string& path)>;

// A user's rule: `allow c 1:3 rwm`, `deny a` (also `all`, `a *:* rwm`), `c 1:* r` (allow is understood), or a node's
// path with its access: `/dev/null:rw`, `deny /dev/sda:w`. Numbers are single ones of the kernel's dev_t or `*`.
// Errors: Fault::usage, with the whole rule as the value; for a path also what `resolve` answers.
[[nodiscard]] Result<DeviceRule> parse_device_rule(std::string_view text, const NodeResolver& resolve);

// One line of devices.list, `c 1:3 rwm`: `allow` is set. The kernel takes and shows any 32-bit number.
// Errors: EINVAL, Fault::system, with the line as the value.
[[nodiscard]] Result<DeviceRule> parse_devices_line(std::string_view line);

}  // namespace cgx
