// SPDX-License-Identifier: Apache-2.0
#include "daemon/notify.h"

#include <ctime>

#include <systemd/sd-daemon.h>

#include <fmt/format.h>

namespace cgx::daemon {
namespace {

// Where nobody listens it does nothing; where it fails there is nobody to tell.
void send(const std::string& text) { (void)sd_notify(0, text.c_str()); }

}  // namespace

void Notify::ready() { send("READY=1"); }

void Notify::reloading() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1'000'000 + now.tv_nsec / 1000));
}

void Notify::stopping() { send("STOPPING=1"); }
void Notify::status(const std::string& text) { send("STATUS=" + text); }
void Notify::watchdog() { send("WATCHDOG=1"); }

std::optional<std::chrono::microseconds> Notify::watchdog_interval() {
  std::uint64_t usec = 0;
  if (sd_watchdog_enabled(0, &usec) <= 0 || usec == 0) return {};
  return std::chrono::microseconds(usec);
}

}  // namespace cgx::daemon
