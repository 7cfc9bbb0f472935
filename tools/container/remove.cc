// SPDX-License-Identifier: Apache-2.0
#include "remove.h"

#include "cgx/container/tracking_group.h"

#include "making.h"

namespace cgx::launcher {

Result<> remove_container(Known&& known) {
  CGX_CHECK(oci::end_processes(known.state));
  CGX_CHECK(oci::remove_groups(known.state));
  CGX_CHECK(remove_left_group());
  // The record last: who is killed here finds it again.
  CGX_CHECK(remove_tree(known.record.data));
  return known.entry.remove();
}

Result<> remove_left_group() {
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  const Cgroup top(hierarchies, std::string(group_top));
  // In a named hierarchy it is the last one's too; with groups below it, it stays.
  if (top.present().empty()) return container::remove_empty_tracking_groups(hierarchies, {top.name()}), Result<>();
  const auto used = populated(top);
  const auto below = children_of(top);
  if (!used || *used || !below || !below->empty()) return {};
  if (remove_group(top, Below::keep)) container::remove_empty_tracking_groups(hierarchies, {top.name()});
  return {};
}

}  // namespace cgx::launcher
