// SPDX-License-Identifier: Apache-2.0
#include "cgx/model/convert.h"

#include <utility>
#include <vector>

#include <doctest/doctest.h>

namespace convert_test {

using namespace cgx;

TEST_CASE("convert: the OCI table of shares and weights") {
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> table{{0, 1},
                                                                   {1, 1},
                                                                   {2, 1},
                                                                   {64, 12},
                                                                   {100, 17},
                                                                   {256, 35},
                                                                   {512, 59},
                                                                   {1000, 99},
                                                                   {1024, 100},
                                                                   {2048, 174},
                                                                   {10240, 639},
                                                                   {102400, 4429},
                                                                   {262144, 10000},
                                                                   {262145, 10000},
                                                                   {~0ULL, 10000}};
  for (const auto& [shares, weight] : table) CHECK_MESSAGE(shares_to_weight(shares) == weight, shares);
}

TEST_CASE("convert: more shares are never less weight") {
  std::uint64_t last = 0;
  for (std::uint64_t shares = 2; shares <= 262144; ++shares) {
    const std::uint64_t weight = shares_to_weight(shares);
    if (weight < last || weight < 1 || weight > 10000) FAIL("at ", shares);
    last = weight;
  }
  CHECK(last == 10000);
}

TEST_CASE("convert: a weight comes back from its shares, or the next one above") {
  std::uint64_t last = 0;
  unsigned exact = 0;
  for (std::uint64_t weight = 1; weight <= 10000; ++weight) {
    const std::uint64_t shares = weight_to_shares(weight);
    CAPTURE(weight);
    REQUIRE(shares >= 2);
    REQUIRE(shares <= 262144);
    REQUIRE(shares >= last);
    const std::uint64_t back = shares_to_weight(shares);
    REQUIRE(back >= weight);
    REQUIRE(back <= weight + 1);
    exact += back == weight ? 1 : 0;
    last = shares;
  }
  CHECK(exact > 9900);
  CHECK(weight_to_shares(100) == 1024);
  CHECK(weight_to_shares(0) == 2);
  CHECK(weight_to_shares(~0ULL) == 262144);
}

TEST_CASE("convert: blkio weights to io weights") {
  CHECK(blkio_to_io_weight(10) == 1);
  CHECK(blkio_to_io_weight(1000) == 10000);
  CHECK(blkio_to_io_weight(500) == 4950);
  CHECK(blkio_to_io_weight(0) == 1);
  CHECK(blkio_to_io_weight(5000) == 10000);
  for (std::uint64_t w = 11; w <= 1000; ++w) REQUIRE(blkio_to_io_weight(w) > blkio_to_io_weight(w - 1));
}

}  // namespace convert_test
