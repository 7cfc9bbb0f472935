// SPDX-License-Identifier: Apache-2.0
// One decision of cgxd: what happened to which group, which rule applied, what was done. The log entry, the D-Bus
// signal, the counter and the entry of the history are all made from this record. Made on the memory thread out of
// fixed arrays, so that no memory is allocated there; texts that are too long are cut.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>

#include <sys/types.h>

namespace cgx::daemon {

template <std::size_t N>
struct FixedText {
  std::array<char, N> bytes{};
  std::uint16_t length = 0;
  void set(std::string_view text) {
    length = static_cast<std::uint16_t>(std::min(text.size(), N));
    std::copy_n(text.data(), length, bytes.data());
  }
  [[nodiscard]] std::string_view view() const { return {bytes.data(), length}; }
};

struct Decision {
  std::uint64_t id = 0;  // grows by one with each
  std::chrono::system_clock::time_point time;
  FixedText<256> group;     // of the policy
  FixedText<16> event;      // "oom", "oom_kill", "pressure", "failcnt", "threshold", "release"
  FixedText<256> limit_of;  // the group whose limit was reached
  FixedText<48> limit;      // its knob: "memory.limit_in_bytes"
  std::uint64_t usage = 0;  // bytes at the event
  std::uint64_t limit_bytes = 0;
  std::uint64_t count = 0;  // the counter of the event
  FixedText<16> action;     // "raise", ..., "release", "none"
  FixedText<16> result;     // "done", "failed", "skipped", "limited"
  FixedText<192> detail;    // "64M -> 80M"; "memory.limit_in_bytes: Device or resource busy"
  std::uint64_t old_value = 0;
  std::uint64_t new_value = 0;
  pid_t pid = 0;  // of a victim
  FixedText<128> command;
  std::uint64_t rss = 0;     // bytes
  std::uint64_t age = 0;     // microseconds
  std::uint64_t took = 0;    // microseconds from the wake to the end of the action
  unsigned policy_line = 0;  // of the action in its file
};

}  // namespace cgx::daemon
