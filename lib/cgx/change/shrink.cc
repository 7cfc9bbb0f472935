// SPDX-License-Identifier: Apache-2.0
#include "cgx/change/shrink.h"

#include <cerrno>

#include <fmt/format.h>

#include "cgx/sys/text.h"

namespace cgx {
namespace {

std::uint64_t bytes_in(std::string_view text) {
  text = sys::trim(text);
  return sys::parse_size(text).value_or(sys::unlimited);  // --set may give suffixes, which the kernel takes too
}

}  // namespace

Result<> shrink_v2(const Cgroup& group, const Step& step) {
  const std::uint64_t target = bytes_in(step.text);
  const auto current = [&]() -> Result<std::uint64_t> {
    return bytes_in(CGX_TRY(group.read(*step.hierarchy, "memory.current")));
  };
  if (!group.read(*step.hierarchy, "memory.current")) return {};  // the root has neither: the write will tell
  std::uint64_t now = CGX_TRY(current());
  // Reclaim is not exact: some rounds, as long as they help.
  for (int round = 0; round < 8 && now > target; ++round) {
    const auto done = group.write(*step.hierarchy, "memory.reclaim", std::to_string(now - target));
    const std::uint64_t after = CGX_TRY(current());
    if (!done && done.error().code != EAGAIN && done.error().code != ENOENT) break;
    if (after >= now) break;
    now = after;
  }
  if (now <= target) return {};
  const auto peak = group.read(*step.hierarchy, "memory.peak");
  return std::unexpected(
      Error{.code = EBUSY,
            .what = fmt::format("is below the {} in use, which cannot be reclaimed{}; the kernel would kill",
                                sys::format_size(now),
                                peak ? fmt::format(" (peak {})", sys::format_size(bytes_in(*peak))) : ""),
            .group = std::string(shown(group.name())),
            .knob = step.file,
            .value = step.given.empty() ? step.text : step.given,
            .hint = "--force lowers it all the same, and the kernel kills processes of the group"});
}

}  // namespace cgx
