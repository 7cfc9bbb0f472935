// SPDX-License-Identifier: Apache-2.0
// The ends of containers that were removed when they ended (`run -d --rm`), kept for a short while: who calls `wait` a
// moment too late gets the status all the same.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "record.h"

namespace cgx::launcher {

inline constexpr std::chrono::minutes ends_are_kept{5};

// Beside the records, over the end of an older container of that name. Forgets those that are older than that.
[[nodiscard]] Result<> keep_ending(const std::string& run_root, const std::string& name, const Ending& ending);
// Nothing: no container of that name was removed so lately.
[[nodiscard]] std::optional<Ending> kept_ending(const std::string& run_root, const std::string& name);
// A new container has the name.
void forget_ending(const std::string& run_root, const std::string& name);
// Forgets all that are older.
void forget_endings(const std::string& run_root);

}  // namespace cgx::launcher
