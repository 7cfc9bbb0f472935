// SPDX-License-Identifier: Apache-2.0
// Conversions of numbers between cgroup v1 and v2, each a pure function.
#pragma once

#include <cstdint>

namespace cgx {

// cpu.shares to cpu.weight by the OCI formula of 2025, which keeps both defaults (1024 is 100) and both ends.
[[nodiscard]] std::uint64_t shares_to_weight(std::uint64_t shares);
// The smallest cpu.shares that shares_to_weight() takes to `weight`, except that 100 is 1024.
[[nodiscard]] std::uint64_t weight_to_shares(std::uint64_t weight);
// blkio.weight (10..1000) to io.weight (1..10000), linear, as OCI runtimes do.
[[nodiscard]] std::uint64_t blkio_to_io_weight(std::uint64_t weight);

}  // namespace cgx
