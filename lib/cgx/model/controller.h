// SPDX-License-Identifier: Apache-2.0
// The kernel's controllers by name, and sets of them. Names are tokens, never substrings: `cpu` is not
// `cpuset`. Pure; does not know what is mounted.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "cgx/sys/result.h"

namespace cgx {

enum class Version : std::uint8_t { v1, v2 };

// `core` is what every hierarchy has (cgroup.procs, v2's cgroup.freeze); freezer, devices, net_cls, net_prio
// and perf_event are controllers on v1 and part of the core, or BPF programs, on v2.
enum class Controller : std::uint8_t {
  core,
  cpu,
  cpuacct,
  cpuset,
  memory,
  io,
  devices,
  freezer,
  net_cls,
  net_prio,
  hugetlb,
  perf_event,
  pids,
  rdma,
  misc,
  dmem,
};
inline constexpr std::size_t controller_count = 16;

struct ControllerRow {
  Controller id;
  std::string_view name;     // what cgx and v2 call it
  std::string_view v1_name;  // what v1 calls it; empty: not on v1
  std::string_view v2_name;  // the token of cgroup.controllers; empty: v2 needs no controller for it
  std::string_view doc;
};

[[nodiscard]] std::span<const ControllerRow> controllers();
[[nodiscard]] const ControllerRow& row(Controller controller);
// By either name ("io", "blkio"); nullopt for words that are no controller.
[[nodiscard]] std::optional<Controller> find_controller(std::string_view name);

class ControllerSet {
 public:
  constexpr ControllerSet() = default;
  void add(Controller c) { bits_.set(static_cast<std::size_t>(c)); }
  void add(const ControllerSet& other) { bits_ |= other.bits_; }
  [[nodiscard]] bool has(Controller c) const { return bits_.test(static_cast<std::size_t>(c)); }
  [[nodiscard]] bool empty() const { return bits_.none(); }
  [[nodiscard]] bool meets(const ControllerSet& other) const { return (bits_ & other.bits_).any(); }
  bool operator==(const ControllerSet&) const = default;
  // Names joined by `separator`, in table order, in the spelling of `version`.
  [[nodiscard]] std::string text(Version version, char separator = ',') const;
  // `cpu,memory`: unknown names are errors (Fault::usage) with the nearest known one as hint.
  [[nodiscard]] static Result<ControllerSet> parse(std::string_view list);

 private:
  std::bitset<controller_count> bits_;
};

}  // namespace cgx
