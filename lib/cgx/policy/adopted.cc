// SPDX-License-Identifier: Apache-2.0
#include "cgx/policy/adopted.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "cgx/change/plan.h"
#include "cgx/sys/fd.h"

namespace cgx::policy {

LimitFiles files_of(const Hierarchies& hierarchies, const ManagedLimit& limit) {
  if (limit.raw) {
    const auto c = controller_of_file(limit.knob);
    return {c ? hierarchies.of(*c) : nullptr, {limit.knob}};
  }
  const Knob* knob = find_knob(limit.knob);
  const auto home = knob != nullptr ? home_of(hierarchies, *knob) : Result<Home>(fail(ENOENT, ""));
  if (!home) return {};
  LimitFiles files{home->hierarchy, {}};
  for (const std::string_view name : home->backing->files)
    if (!name.empty()) files.names.push_back(name);
  return files;
}

bool share_a_file(const Hierarchies& hierarchies, const ManagedLimit& a, const ManagedLimit& b) {
  const LimitFiles left = files_of(hierarchies, a);
  const LimitFiles right = files_of(hierarchies, b);
  return left.hierarchy != nullptr && left.hierarchy == right.hierarchy &&
         std::ranges::find_first_of(left.names, right.names) != left.names.end();
}

Result<std::vector<AdoptedIn>> found_in(const Hierarchies& hierarchies, std::string_view group) {
  std::vector<AdoptedIn> found;
  for (const Hierarchy& h : hierarchies.all()) {
    const auto root = h.root();
    const auto dir =
        root ? sys::open_beneath(*root, group, O_PATH | O_DIRECTORY) : Result<sys::Fd>(std::unexpected(root.error()));
    if (!dir && (dir.error().code == ENOENT || dir.error().code == ENOTDIR)) continue;
    if (!dir) return fail_errno(dir.error().code, h.path(group));
    struct stat st{};
    if (fstat(dir->get(), &st) != 0) return fail_errno(errno, h.path(group));
    found.push_back({h.label(), st.st_ino});
  }
  return found;
}

Result<ManagedGroup> still_there(const Hierarchies& hierarchies, ManagedGroup old) {
  const std::vector<AdoptedIn> now = CGX_TRY(found_in(hierarchies, old.name));
  std::erase_if(old.limits, [&](const ManagedLimit& l) {
    const LimitFiles files = files_of(hierarchies, l);
    if (files.hierarchy == nullptr) return false;  // what is wrong is told where it is put back
    const std::string label = files.hierarchy->label();
    const auto then = std::ranges::find(old.adopted, label, &AdoptedIn::hierarchy);
    return then == old.adopted.end() || std::ranges::find(now, *then) == now.end();
  });
  return old;
}

std::string below_adopted(std::string_view group, std::string_view adopted) {
  return fmt::format(
      "{} is below {}, which is adopted: its owner could not remove it with a group of cgx in it", group, adopted);
}

}  // namespace cgx::policy
