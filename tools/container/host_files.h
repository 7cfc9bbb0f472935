// SPDX-License-Identifier: Apache-2.0
// The texts of /etc/hosts and /etc/resolv.conf of a container. Pure.
#pragma once

#include <string>
#include <string_view>

#include "options.h"

namespace cgx::launcher {

// `of_host`: the host's own file, where the container is in its network; else empty.
[[nodiscard]] std::string hosts_text(const RunOptions& options, std::string_view host, std::string_view of_host);
[[nodiscard]] std::string resolv_text(const RunOptions& options, std::string_view of_host);

}  // namespace cgx::launcher
