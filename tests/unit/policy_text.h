// SPDX-License-Identifier: Apache-2.0
// What the tests of policies share.
#pragma once

#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "cgx/policy/yaml.h"

namespace cgx::test {

// What is said of a text, a line each, with hints in brackets.
inline std::string problems_of(const policy::Loaded& loaded) {
  std::string out;
  for (const policy::Problem& p : loaded.problems) {
    out += p.text();
    if (!p.hint.empty()) out += " [" + p.hint + "]";
    out += '\n';
  }
  return out;
}

// The policies of a text in which nothing is wrong.
inline policy::Policies load_good(std::string_view text) {
  policy::Loaded loaded = policy::load_text(text, "t.yaml");
  CHECK(problems_of(loaded) == "");
  REQUIRE(loaded.ok());
  return std::move(loaded.policies);
}

// The value of a limit as --dry-run would write it; "-" where there is none.
inline std::string limit_of(const policy::GroupPolicy& group, std::string_view key) {
  for (const policy::PolicyLimit& l : group.limits)
    if (l.key == key) return l.limit.knob == nullptr ? l.limit.given : exact(*l.limit.knob, l.limit.value);
  return "-";
}

}  // namespace cgx::test
