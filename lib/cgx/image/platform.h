// SPDX-License-Identifier: Apache-2.0
// Which of an index's images is for this machine. Names of architectures are those of Go, as the image specification
// wants them. Pure, but for host_platform().
#pragma once

#include <string>
#include <string_view>

#include "cgx/sys/result.h"

namespace cgx::image {

struct Platform {
  std::string os;                          // "linux"
  std::string architecture;                // "amd64"
  std::string variant;                     // "v7"; empty: the architecture's first one
  [[nodiscard]] std::string text() const;  // "linux/arm/v7"
};

// Linux, and what uname(2) and the processor say: amd64 has the variants v1 to v4 of its psABI.
[[nodiscard]] Platform host_platform();
// Of `machine` as uname(2) has it: "aarch64" is arm64. The name itself where there is no other one.
[[nodiscard]] Platform platform_of_machine(std::string_view machine);
// OS/ARCHITECTURE[/VARIANT]; EINVAL.
[[nodiscard]] Result<Platform> parse_platform(std::string_view text);

// How well an image for `image` runs on `host`: 0 not at all; of several the greatest is the best. An image whose
// variant is above the host's does not run; one below it does.
[[nodiscard]] int platform_rank(const Platform& image, const Platform& host);

}  // namespace cgx::image
