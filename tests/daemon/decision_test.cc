// SPDX-License-Identifier: Apache-2.0
#include "daemon/decision.h"

#include <string>

#include <doctest/doctest.h>

namespace decision_test {

TEST_CASE("a decision cuts texts that are too long") {
  cgx::daemon::Decision decision;
  decision.group.set(std::string(1000, 'x'));
  CHECK(decision.group.view() == std::string(256, 'x'));
  decision.group.set("web");
  CHECK(decision.group.view() == "web");
}

}  // namespace decision_test
