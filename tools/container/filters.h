// SPDX-License-Identifier: Apache-2.0
// --filter KEY=VALUE of ls and prune.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "record.h"
#include "tools/command.h"

namespace cgx::launcher {

class Filters {
 public:
  // `known`: the keys that the command has. Fault::usage: another key, with the list; a value that is wrong.
  [[nodiscard]] static Result<Filters> parse(const tool::Call& call, std::span<const std::string_view> known);
  // All keys, and of each key any of its values; of labels all.
  [[nodiscard]] bool accept(const Known& container) const;
  [[nodiscard]] bool has(std::string_view key) const;

 private:
  struct Filter {
    std::string key;
    std::function<bool(const Known&)> accepts;
    bool every = false;  // one more of its key is a further condition
  };
  std::vector<Filter> filters_;
};

inline constexpr std::string_view ls_filters[] = {
    "id", "name", "label", "status", "exited", "ancestor", "before", "since", "network"};
inline constexpr std::string_view prune_filters[] = {"until", "label", "label!"};

// As docker's State: created, running, paused, restarting, exited, dead.
[[nodiscard]] std::string_view docker_state(const Known& known);

}  // namespace cgx::launcher
