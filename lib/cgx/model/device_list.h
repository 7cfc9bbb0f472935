// SPDX-License-Identifier: Apache-2.0
// The state that an ordered list of device rules leads to, with the semantics of the v1 devices controller (kernel
// security/device_cgroup.c; Documentation/admin-guide/cgroup-v1/devices.rst): a default, allow or deny, and exceptions
// from it. v2 has no such state of its own, so the same value is compiled into a BPF program there
// (cgroupfs/device_bpf.h). Pure: no I/O.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/model/device_rules.h"
#include "cgx/sys/result.h"

namespace cgx {

// The most exceptions that with_rules() takes: what a BPF program of 16-bit jumps can hold, with room to spare.
inline constexpr std::size_t most_device_exceptions = 1024;

class DeviceList {
 public:
  // The state of a new top-level group: everything allowed.
  DeviceList() = default;
  [[nodiscard]] static DeviceList nothing();

  // The text of a v1 devices.list file. Note: while the default is to allow, the kernel shows `a *:* rwm` alone and
  // keeps the exceptions to itself: the answer then lacks them. Errors: EINVAL, Fault::system.
  [[nodiscard]] static Result<DeviceList> parse_kernel(std::string_view text);
  // What text() gave. Errors: EINVAL, Fault::system.
  [[nodiscard]] static Result<DeviceList> parse(std::string_view text);

  // Exactly what a write to devices.allow or devices.deny does, where the kernel takes it. `allow a` starts again from
  // the exceptions of the parent, where that is given and allows by default.
  void apply(const DeviceRule& rule, const DeviceList* parent = nullptr);

  // The exception that keeps `rule` from being in force after apply(): the kernel takes `allow c 1:3 r` after
  // `deny c 1:* rwm`, and `deny c 1:3 r` after `allow c 1:* rwm` under `deny a`, and does nothing, since an exception
  // has no exceptions. Empty where the rule has its full effect.
  [[nodiscard]] std::optional<DeviceRule> in_the_way_of(const DeviceRule& rule) const;

  // Whether a process may use the device: all bits of `access` (device_read, ...) in one call, as open(O_RDWR) asks for
  // two. `type` is 'b' or 'c'. Note: under `deny a`, one exception must give all the bits asked for.
  [[nodiscard]] bool permits(char type, unsigned major, unsigned minor, unsigned access) const;

  [[nodiscard]] bool allows_by_default() const { return allow_; }
  // Types 'b' and 'c', unique by type and numbers; `allow` of each is the opposite of the default.
  [[nodiscard]] std::span<const DeviceRule> exceptions() const { return exceptions_; }

  // The canonical rules, a line each: `deny a`, `allow c 1:3 rwm`. Applied to any list, they give this one.
  [[nodiscard]] std::string text() const;
  // As devices.list shows it.
  [[nodiscard]] std::string kernel_text() const;

  // The order of exceptions means nothing.
  bool operator==(const DeviceList& other) const;

 private:
  bool allow_ = true;
  std::vector<DeviceRule> exceptions_;
};

// `start` with `rules` applied in order. A rule that would have no full effect is refused (Fault::usage, the rule as
// the value), as are more exceptions than most_device_exceptions.
[[nodiscard]] Result<DeviceList> with_rules(DeviceList start,
                                            std::span<const DeviceRule> rules,
                                            const DeviceList* parent = nullptr);

// What a v1 group has now: devices.list, and the exceptions that it hides from `stored`, a text() kept when the rules
// were set, where the two agree.
[[nodiscard]] Result<DeviceList> current_devices(std::string_view devices_list, std::optional<std::string_view> stored);

// One write to a v1 group. The kernel takes one rule a write and ignores a second line.
struct DeviceWrite {
  DeviceRule rule;
  [[nodiscard]] std::string_view file() const { return rule.allow ? "devices.allow" : "devices.deny"; }
  [[nodiscard]] std::string value() const { return rule.kernel_text(); }
  bool operator==(const DeviceWrite&) const = default;
};

// The writes, in order, that lead from one state to the other; none if they are equal. While the default stays, each
// exception is added before any is taken away: in between, nothing is allowed that neither state allows and nothing
// denied that neither denies. A change of the default starts with `a`, which the kernel refuses (EINVAL) once the group
// has children. Rolling back after n of the writes: device_writes(from with those n applied, from). Note: denying
// also takes from the children (where they have it), and nothing gives it back to them.
[[nodiscard]] std::vector<DeviceWrite> device_writes(const DeviceList& from,
                                                     const DeviceList& to,
                                                     const DeviceList* parent = nullptr);

// Whether the kernel lets a child of a group whose state is `parent` take `rule` (EPERM otherwise): a child never has
// more than its parent. `a` is judged without regard to the child's own children (device_writes).
[[nodiscard]] bool parent_takes(const DeviceList& parent, const DeviceRule& rule);

// Why a v1 devices file answered `code` to `rule`, and what to do: completes the error with sentence and hint.
[[nodiscard]] Error explain_refusal(Error error, const DeviceRule& rule);

}  // namespace cgx
