// SPDX-License-Identifier: Apache-2.0
#include "cgx/change/thread_root.h"

#include <cerrno>

#include <fmt/format.h>

#include "cgx/change/explain.h"
#include "cgx/change/explain_parts.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

constexpr std::string_view thread_root = "domain threaded";

// Empty: the root, which may have processes beside groups below, or a kernel before 4.14, which refuses by itself.
Result<std::string> type_of(const Cgroup& group, const Hierarchy& h) {
  const auto text = group.read(h, "cgroup.type");
  if (text) return std::string(sys::trim(*text));
  if (text.error().code == ENOENT) return std::string();
  return std::unexpected(text.error());
}

Error in_use(const Cgroup& group, const Step& step) {
  return explain_write(group,
                       step,
                       {.code = EBUSY,
                        .what = errno_text(EBUSY),
                        .group = std::string(shown(group.name())),
                        .knob = step.file,
                        .value = step.text});
}

}  // namespace

Result<bool> is_plain_domain(const Cgroup& group, const Step& step) {
  return CGX_TRY(type_of(group, *step.hierarchy)) == "domain";
}

Result<> check_no_processes(const Cgroup& group, const Step& step) {
  if (!CGX_TRY(is_plain_domain(group, step))) return {};
  if (sys::trim(CGX_TRY(group.read(*step.hierarchy, "cgroup.procs"))).empty()) return {};
  return std::unexpected(in_use(group, step));
}

Result<> check_still_domain(const Cgroup& group, const Step& step) {
  if (CGX_TRY(type_of(group, *step.hierarchy)) != thread_root) return {};
  return std::unexpected(in_use(group, step));
}

std::string why_invalid_domain(const Cgroup& group, std::string& hint) {
  const Hierarchy* h = group.hierarchies().unified();
  if (h == nullptr) return {};
  for (std::string_view name = parent_of(group.name()); !name.empty(); name = parent_of(name)) {
    const Cgroup above(group.hierarchies(), std::string(name));
    if (text_of(above, *h, "cgroup.type") != thread_root) continue;
    const std::string given = text_of(above, *h, "cgroup.subtree_control");
    std::string words;
    for (const std::string_view word : sys::words(given)) words += fmt::format("{}-{}", words.empty() ? "" : " ", word);
    if (!words.empty() && !text_of(above, *h, "cgroup.procs").empty()) {
      hint = fmt::format(
          "cgx set {} --set 'cgroup.subtree_control={}' ends that, and so does moving its processes out", name, words);
      return fmt::format(
          "is below {}, which has processes and gives {} to groups below: they take threads only", name, given);
    }
    return fmt::format("is below {}, which is \"{}\" (cgroup.type)", name, thread_root);
  }
  return {};
}

}  // namespace cgx
