// SPDX-License-Identifier: Apache-2.0
// cgxd on D-Bus: the interface org.cgx.Manager1 of the object /org/cgx/Manager1 under the name of the same words, over
// an Operations. Lives on an event loop and is for its thread alone. Where the bus is not there, or goes away, it comes
// back to it by itself. org.cgx.Manager1(5) is the manual of the interface.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <systemd/sd-event.h>

#include "cgx/sys/result.h"

#include "daemon/decision.h"
#include "daemon/operations.h"

namespace cgx::daemon {

enum class BusKind : std::uint8_t {
  off,
  session,  // of the user who runs cgxd; that user, and root, may write
  system,   // $DBUS_SYSTEM_BUS_ADDRESS, else the usual one; root, owners of subtrees, and whom polkit lets may write
};
// "off", "session" or "system".
[[nodiscard]] Result<BusKind> parse_bus_kind(std::string_view text);

inline constexpr const char* bus_name = "org.cgx.Manager1";
inline constexpr const char* bus_path = "/org/cgx/Manager1";
inline constexpr const char* bus_interface = "org.cgx.Manager1";

class Bus {
 public:
  struct Options {
    // Told once when the bus is lost or cannot be had, and once when it is there (again). For the log.
    std::function<void(std::string_view)> say;
    std::uint64_t polkit_timeout = 30'000'000;  // microseconds; four times that where the caller lets it ask a person
    std::uint64_t text_timeout = 1'000'000;     // within which the text of a policy must have come
    std::uint64_t first_retry = 250'000;        // doubles up to thirty seconds
  };
  // A bus that is not there is no error: it is tried again. BusKind::off makes an object that does nothing. Keeps
  // references to `event` and `operations`, which must outlive it. Does not block.
  [[nodiscard]] static Result<std::unique_ptr<Bus>> open(sd_event* event,
                                                         BusKind kind,
                                                         Operations& operations,
                                                         Options options);
  [[nodiscard]] static Result<std::unique_ptr<Bus>> open(sd_event* event, BusKind kind, Operations& operations) {
    return open(event, kind, operations, Options{});
  }
  Bus(const Bus&) = delete;
  Bus& operator=(const Bus&) = delete;
  ~Bus();

  // Whether the name is ours now.
  [[nodiscard]] bool serving() const;

  // Signals; nothing happens where the bus is away. Oom: once for each OOM (or refused charge, or kill by the kernel)
  // that was seen, whatever is done about it. Action: once for each thing that was done, tried or left out.
  void emit_oom(const Decision& decision);
  void emit_action(const Decision& decision);
  // After each load of the policies, good or bad: PolicyChanged, and the properties that come with it.
  void policy_changed();
  void group_added(const std::string& group);
  void group_removed(const std::string& group);

 private:
  class Impl;
  explicit Bus(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cgx::daemon
