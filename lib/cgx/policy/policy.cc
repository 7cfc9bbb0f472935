// SPDX-License-Identifier: Apache-2.0
#include "cgx/policy/policy.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace cgx::policy {

std::string Problem::text() const {
  std::string out = place.file;
  if (place.line != 0) out += fmt::format(":{}:{}", place.line, place.column);
  if (!out.empty()) out += ": ";
  if (warning) out += "warning: ";
  if (!path.empty()) out += path + ": ";
  return out + what;
}

std::string_view Action::name() const {
  // In the order of the variant.
  constexpr std::array<std::string_view, 8> names{"raise", "kill", "freeze", "thaw", "set", "exec", "log", "reclaim"};
  static_assert(std::variant_size_v<decltype(what)> == names.size());
  return names[what.index()];
}

const GroupPolicy* Policies::find(std::string_view name) const {
  const auto at = std::ranges::find(groups, name, &GroupPolicy::name);
  return at == groups.end() ? nullptr : &*at;
}

}  // namespace cgx::policy
