// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/lock.h"

#include <chrono>
#include <thread>

#include <doctest/doctest.h>

#include "skip.h"

namespace lock_test {

using namespace cgx;
using How = TreeLock::How;

TEST_CASE("lock: alone keeps the others out, shared lets sharers in") {
  const auto found = Hierarchies::discover();
  if (!found || found->of(Controller::core) == nullptr) CGX_SKIP("no cgroup hierarchy is mounted");
  TreeLock first;
  REQUIRE(first.take(*found, How::shared).has_value());
  CHECK_FALSE(first.alone());
  TreeLock second;
  CHECK(second.take(*found, How::shared).has_value());
  second.release();
  REQUIRE(first.take(*found, How::alone).has_value());
  CHECK(first.alone());
  CHECK(first.take(*found, How::shared).has_value());  // asking for less changes nothing
  CHECK(first.alone());
  const auto start = std::chrono::steady_clock::now();
  std::jthread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    first.release();
  });
  CHECK(second.take(*found, How::shared).has_value());
  CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(90));
}

}  // namespace lock_test
