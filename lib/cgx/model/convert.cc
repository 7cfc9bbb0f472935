// SPDX-License-Identifier: Apache-2.0
#include "cgx/model/convert.h"

#include <algorithm>
#include <cmath>

namespace cgx {

std::uint64_t shares_to_weight(std::uint64_t shares) {
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  const double l = std::log2(static_cast<double>(shares));
  return static_cast<std::uint64_t>(std::ceil(std::pow(10, (l * l + 125 * l) / 612.0 - 7.0 / 34.0)));
}

std::uint64_t weight_to_shares(std::uint64_t weight) {
  if (weight <= 1) return 2;
  if (weight >= 10000) return 262144;
  if (weight == 100) return 1024;  // the default must stay the default, not the smallest of its class
  // The function grows steadily, so a bisection finds the smallest preimage; where the steps of shares are
  // coarser than those of weight there is none, and the answer is the next one up.
  std::uint64_t low = 2;
  std::uint64_t high = 262144;
  while (low < high) {
    const std::uint64_t middle = (low + high) / 2;
    if (shares_to_weight(middle) >= weight)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

std::uint64_t blkio_to_io_weight(std::uint64_t weight) {
  return 1 + (std::clamp<std::uint64_t>(weight, 10, 1000) - 10) * 9999 / 990;
}

}  // namespace cgx
