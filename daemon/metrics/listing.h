// SPDX-License-Identifier: Apache-2.0
// Inside daemon/metrics/: all metrics there can be, as the list of docs/metrics.md.
#pragma once

#include <string>

namespace cgx::daemon {

// Markdown, made from the rows.
[[nodiscard]] std::string metrics_listing();

}  // namespace cgx::daemon
