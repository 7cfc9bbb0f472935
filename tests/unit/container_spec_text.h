// SPDX-License-Identifier: Apache-2.0
// Specifications of the tests, and what is wrong with them.
#pragma once

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/container/spec.h"

namespace cgx::test {

// A whole specification with `members` of its root object besides what must be there.
inline std::string spec_text(std::string_view members) {
  return fmt::format(R"({{"ociVersion":"1.0.2","root":{{"path":"rootfs"}}{}{}}})", members.empty() ? "" : ",", members);
}
inline container::Spec spec_with(std::string_view members) {
  auto spec = container::read_spec(spec_text(members), "/bundle");
  INFO((spec ? "" : spec.error().text()));
  REQUIRE(spec.has_value());
  return *std::move(spec);
}
inline std::string problem(std::string_view text) {
  const auto spec = container::read_spec(text, "/bundle");
  if (spec) return "none";
  CHECK((spec.error().code == EINVAL || spec.error().code == E2BIG || spec.error().code == ENOTSUP));
  return spec.error().text();
}
inline std::string problem_with(std::string_view members) { return problem(spec_text(members)); }
inline std::string linux_problem(std::string_view members) {
  return problem_with(fmt::format(R"("linux":{{{}}})", members));
}

}  // namespace cgx::test
