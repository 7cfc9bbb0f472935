// SPDX-License-Identifier: Apache-2.0
// What cgxd tells the service manager that has started it, by sd_notify(3). Nobody listens where it was started by
// hand.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace cgx::daemon {

class Notify {
 public:
  static void ready();
  static void reloading();
  static void stopping();
  // A line of `systemctl status`.
  static void status(const std::string& text);
  static void watchdog();
  // How often watchdog() has to be called at least; nullopt: nobody watches.
  [[nodiscard]] static std::optional<std::chrono::microseconds> watchdog_interval();
};

}  // namespace cgx::daemon
