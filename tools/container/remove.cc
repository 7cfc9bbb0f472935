// SPDX-License-Identifier: Apache-2.0
#include "remove.h"

#include <cerrno>

#include <fmt/format.h>

#include "cgx/cgroupfs/presence.h"
#include "cgx/container/tracking_group.h"

#include "layer.h"
#include "making.h"

namespace cgx::launcher {

Result<> remove_container(Known&& known, bool by_monitor) {
  // What the record says is not removed unless it is where this container's files are.
  const Layer layer{.run_root = CGX_TRY(run_root()), .data_root = CGX_TRY(data_root()), .name = known.entry.id()};
  if (known.record.data != layer.path()) {
    Error e{.code = EPERM, .what = fmt::format("its files are in {}, not in {}", known.record.data, layer.path())};
    const std::string ending = "/containers/" + layer.name;
    if (known.record.data.ends_with(ending))
      e.hint = fmt::format("CGX_DATA={} where it was started so",
                           known.record.data.substr(0, known.record.data.size() - ending.size()));
    return std::unexpected(std::move(e));
  }
  CGX_CHECK(check_unused(layer, by_monitor));
  CGX_CHECK(oci::end_processes(known.state));
  CGX_CHECK(oci::remove_groups(known.state));
  CGX_CHECK(remove_left_group(known.state));
  // The record last: who is killed here finds it again.
  CGX_CHECK(remove_layer(layer, by_monitor));
  return known.entry.remove();
}

Result<> remove_left_group(const State& state) {
  const Hierarchies hierarchies = CGX_TRY(container::hierarchies_of(state));
  const Cgroup top(hierarchies, std::string(group_top));
  // In a named hierarchy it is the last one's too; with groups below it, it stays.
  if (!CGX_TRY(is_there(top))) return container::remove_empty_tracking_groups(hierarchies, {top.name()}), Result<>();
  const auto used = populated(top);
  const auto below = children_of(top);
  if (!used || *used || !below || !below->empty()) return {};
  if (remove_group(top, Below::keep)) container::remove_empty_tracking_groups(hierarchies, {top.name()});
  return {};
}

}  // namespace cgx::launcher
