// SPDX-License-Identifier: Apache-2.0
#include "daemon/rules/follow.h"

#include <doctest/doctest.h>

namespace follow_test {

using cgx::daemon::Follow;

TEST_CASE("forks are followed where the parent was looked at later") {
  constexpr std::uint64_t second = Follow::slack;
  Follow follow;
  CHECK_FALSE(follow.must_follow(1, 2, 100 * second));
  follow.looked(1, 200 * second, 201 * second, false);
  CHECK(follow.must_follow(1, 2, 199 * second));
  CHECK(follow.must_follow(1, 2, 201 * second));
  CHECK_FALSE(follow.must_follow(1, 2, 201 * second + 1));
  // A move and a fork at the same time: the event may be stamped later than the move.
  follow.looked(3, 200 * second, 201 * second, true);
  CHECK(follow.must_follow(3, 4, 202 * second));
  CHECK_FALSE(follow.must_follow(3, 4, 203 * second));
  // What was looked at after its birth needs no second look.
  follow.looked(2, 300 * second, 301 * second, false);
  CHECK_FALSE(follow.must_follow(1, 2, 199 * second));
  CHECK(follow.known(2, 300 * second));
  CHECK_FALSE(follow.known(2, 300 * second + 1));
}

TEST_CASE("forks during a look at everything are followed") {
  constexpr std::uint64_t second = Follow::slack;
  Follow follow;
  follow.looked_at_all(100 * second, 110 * second);
  CHECK(follow.must_follow(7, 8, 105 * second));
  CHECK(follow.must_follow(7, 8, 110 * second));
  CHECK_FALSE(follow.must_follow(7, 8, 111 * second));
  CHECK_FALSE(follow.must_follow(7, 8, 98 * second));
  follow.looked(8, 106 * second, 107 * second, false);
  CHECK_FALSE(follow.must_follow(7, 8, 105 * second));
}

TEST_CASE("what no event can ask for any more is forgotten") {
  Follow follow;
  for (int i = 1; i <= 100'000; ++i) {
    const auto time = static_cast<std::uint64_t>(i) * 10'000'000;
    follow.looked(i, time, time, false);
    follow.handled(time);
  }
  CHECK(follow.size() <= 4096);
}

}  // namespace follow_test
