// SPDX-License-Identifier: Apache-2.0
// Inside daemon/metrics/: what a client can read, by the headers of its request. Pure; any bytes may come.
#pragma once

#include <string_view>

#include "daemon/metrics/text.h"

namespace cgx::daemon {

// By `Accept`: OpenMetrics where the client takes version 1.0.0 of it at least as gladly as the plain text.
[[nodiscard]] Format accepted_format(std::string_view accept);
// By `Accept-Encoding`.
[[nodiscard]] bool accepts_gzip(std::string_view accept_encoding);

}  // namespace cgx::daemon
