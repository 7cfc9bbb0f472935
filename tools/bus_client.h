// SPDX-License-Identifier: Apache-2.0
// Inside cgx-bus: a connection to cgxd, calls of org.cgx.Manager1, and what they answer.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <systemd/sd-bus.h>

#include "cgx/sys/json.h"
#include "cgx/sys/result.h"

#include "daemon/bus/message.h"
#include "daemon/operations.h"

namespace cgx::tool {

class Manager {
 public:
  using Fill = std::function<int(sd_bus_message*)>;

  // `bus`: "system", "session", or an address. Errors say which bus is missing.
  [[nodiscard]] static Result<Manager> connect(const std::string& bus);
  Manager(Manager&& other) noexcept : bus_(std::exchange(other.bus_, nullptr)), name_(std::move(other.name_)) {}
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;
  Manager& operator=(Manager&&) = delete;
  ~Manager();

  // Calls a method of org.cgx.Manager1 with what `fill` appends, and waits. The error is the one that cgxd had, part by
  // part; one of its own where cgxd does not run.
  [[nodiscard]] Result<daemon::Message> call(const char* member, const Fill& fill = {}) const;
  [[nodiscard]] Result<daemon::Answers> properties() const;
  [[nodiscard]] sd_bus* bus() const { return bus_; }
  [[nodiscard]] Error not_running() const;

 private:
  Manager(sd_bus* bus, std::string name) : bus_(bus), name_(std::move(name)) {}
  [[nodiscard]] Result<daemon::Message> send(sd_bus_message* message) const;
  [[nodiscard]] Error error_of(sd_bus_message* reply) const;
  sd_bus* bus_;
  std::string name_;  // for messages: "system bus"
};

// What messages hold, from where they are read. A broken one is EBADMSG.
[[nodiscard]] Result<daemon::Answers> read_answers(sd_bus_message* message);            // a{sv}
[[nodiscard]] Result<std::vector<std::string>> read_texts(sd_bus_message* message);     // as
[[nodiscard]] Result<std::vector<daemon::Answers>> read_list(sd_bus_message* message);  // aa{sv}
// The value of `key` where it is of that type, else nothing of it.
[[nodiscard]] std::string_view text_of(const daemon::Answers& answers, std::string_view key);
[[nodiscard]] std::uint64_t number_of(const daemon::Answers& answers, std::string_view key);

[[nodiscard]] std::string shown(const daemon::Answer& answer);
// Whether the value of the key is a time, in microseconds since 1970.
[[nodiscard]] bool is_time(std::string_view key);
// As `"key": value` pairs into an object that is open. Times become seconds.
void write_answers(sys::JsonWriter& json, const daemon::Answers& answers);
// Microseconds since 1970 as 2026-11-25T10:00:00Z; "never" for 0.
[[nodiscard]] std::string shown_time(std::uint64_t usec);

}  // namespace cgx::tool
