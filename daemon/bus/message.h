// SPDX-License-Identifier: Apache-2.0
// Between the values of Operations and the messages of D-Bus. Knows no method and no connection.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <systemd/sd-bus.h>

#include "cgx/sys/result.h"

#include "daemon/decision.h"
#include "daemon/operations.h"

namespace cgx::daemon {

struct MessageUnref {
  void operator()(sd_bus_message* message) const { sd_bus_message_unref(message); }
};
using Message = std::unique_ptr<sd_bus_message, MessageUnref>;
struct SlotUnref {
  void operator()(sd_bus_slot* slot) const { sd_bus_slot_unref(slot); }
};
using Slot = std::unique_ptr<sd_bus_slot, SlotUnref>;

// What strangers may send at most; far more than any real call needs.
inline constexpr std::size_t most_call_limits = 256;
inline constexpr std::size_t most_limit_text = 16384;

// a{sv} of a call: a flag's or kernel file's name to a text, a number, a boolean, or an array of texts (a flag that is
// given several times). Fault::usage names the key.
[[nodiscard]] Result<LimitTexts> read_limits(sd_bus_message* message);

// The text with U+FFFD for what is not UTF-8 or is NUL, which D-Bus would refuse.
[[nodiscard]] std::string utf8(std::string_view text);

// Each answers what sd-bus answers: negative where memory is short or the message is broken.
int append_answers(sd_bus_message* message, const Answers& answers);               // a{sv}
int append_texts(sd_bus_message* message, const std::vector<std::string>& texts);  // as
// A decision as a dictionary; what is empty or 0 is left out, but for `id` and `time` (microseconds since 1970).
[[nodiscard]] Answers describe(const Decision& decision);

// org.cgx.Error.NotFound and the like, by errno and fault.
[[nodiscard]] std::string error_name(const Error& error);
// The error as the answer of `call`: its name, and two values: the sentence with its hint, for people, and a{sv} with
// message, group, knob, value, hint, errno and usage (a wrong argument), for programs.
int reply_error(sd_bus_message* call, const Error& error, const std::string& name = {});

}  // namespace cgx::daemon
