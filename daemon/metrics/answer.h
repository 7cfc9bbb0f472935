// SPDX-License-Identifier: Apache-2.0
// Inside daemon/metrics/: what is answered to a request.
#pragma once

#include <string_view>

#include "daemon/metrics/metrics.h"

struct MHD_Connection;

namespace cgx::daemon {

struct Request {
  std::string_view method;
  std::string_view path;
  Format format = Format::text;
  bool gzip = false;
};

// Queues the answer. False: it could not be queued, the connection is to be closed.
[[nodiscard]] bool answer(MHD_Connection* connection, const Request& request, Metrics& metrics);

}  // namespace cgx::daemon
