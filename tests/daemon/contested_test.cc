// SPDX-License-Identifier: Apache-2.0
#include "daemon/contested.h"

#include <chrono>

#include <doctest/doctest.h>

namespace contested_test {

using namespace cgx::daemon;  // NOLINT(google-build-using-namespace)
using std::chrono::seconds;

TEST_CASE("contested: a value that comes back twice within the time is left, one that comes back slowly is not") {
  Contested limits(seconds(60));
  const Contested::Time start{};
  CHECK_FALSE(limits.put_back("a", "memory.max", start));
  CHECK_FALSE(limits.put_back("a", "memory.max", start + seconds(61)));
  CHECK_FALSE(limits.left("a", "memory.max"));
  CHECK_FALSE(limits.put_back("a", "pids.max", start + seconds(62)));
  CHECK_FALSE(limits.put_back("b", "memory.max", start + seconds(62)));
  CHECK(limits.put_back("a", "memory.max", start + seconds(121)));
  CHECK(limits.left("a", "memory.max"));
  CHECK_FALSE(limits.left("a", "pids.max"));
  CHECK_FALSE(limits.left("b", "memory.max"));
}

TEST_CASE("contested: another value of the policy, and another group, begin anew") {
  Contested limits(seconds(60));
  const Contested::Time start{};
  for (const char* key : {"memory.max", "pids.max"}) {
    CHECK_FALSE(limits.put_back("a", key, start));
    CHECK(limits.put_back("a", key, start));
  }
  limits.forget("a", "memory.max");
  CHECK_FALSE(limits.left("a", "memory.max"));
  CHECK(limits.left("a", "pids.max"));
  CHECK_FALSE(limits.put_back("a", "memory.max", start));
  limits.forget("a");
  CHECK_FALSE(limits.left("a", "pids.max"));
  CHECK_FALSE(limits.put_back("a", "memory.max", start));
}

}  // namespace contested_test
