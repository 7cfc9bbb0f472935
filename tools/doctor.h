// SPDX-License-Identifier: Apache-2.0
// Inside cgx doctor: what was checked.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/cgroupfs/hierarchy.h"

namespace cgx::tool {

enum class Level : std::uint8_t { ok, warn, fail };

struct Check {
  Level level = Level::ok;
  std::string name;  // "memory", "cgroup.kill"
  std::string what;
  std::string todo;  // empty: nothing
};
using Checks = std::vector<Check>;

// A look that failed shows nothing: neither that something is there nor that it is not.
void could_not_look(Checks& checks, std::string_view name, const Error& why, Level level = Level::warn);

// The kernel's configuration: /proc/config.gz, else /boot/config-RELEASE. Empty where neither is there.
class KernelConfig {
 public:
  KernelConfig();
  // 'y', 'm' or 'n'; nullopt where the configuration is not to be had.
  [[nodiscard]] std::optional<char> value(std::string_view option) const;

 private:
  std::string text_;
};

// `hierarchies` nullptr: none is mounted.
void check_mounts(Checks& checks, const Hierarchies* hierarchies);
void check_controllers(Checks& checks, const Hierarchies* hierarchies, const KernelConfig& config);
void check_kernel(Checks& checks, const Hierarchies* hierarchies, const KernelConfig& config);
void check_process(Checks& checks, const Hierarchies* hierarchies);

}  // namespace cgx::tool
