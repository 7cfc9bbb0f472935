// SPDX-License-Identifier: Apache-2.0
// Inside daemon/metrics/: the page for people, and the numbers that it polls. Pure.
#pragma once

#include <string>
#include <string_view>

#include "daemon/metrics/snapshot.h"
#include "daemon/world.h"

namespace cgx::daemon {

// More groups than these are only counted.
inline constexpr std::size_t most_shown = 1000;

// A whole document that needs no other file, and no script to be read. `nonce` marks its style and its script for the
// security policy.
[[nodiscard]] std::string status_html(const Snapshot& snapshot, const World& world, std::string_view nonce);
[[nodiscard]] std::string status_json(const Snapshot& snapshot, const World& world);

}  // namespace cgx::daemon
