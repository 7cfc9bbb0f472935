// SPDX-License-Identifier: Apache-2.0
// Lists of CPUs and memory nodes beside those that the host has: online now, or possible, which may come online.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "cgx/cgroupfs/cgroup.h"
#include "cgx/change/plan.h"
#include "cgx/sys/text.h"

namespace cgx {

enum class HostList : std::uint8_t { cpus, nodes };
[[nodiscard]] HostList host_list_of(const Knob& knob);
[[nodiscard]] std::string_view words_of(HostList list);  // "CPUs", "memory nodes"

struct HostIds {
  sys::IdSet online;
  sys::IdSet possible;
};
// Reads /sys/devices/system. A list that cannot be read is empty, and then judges nothing; of nodes it is 0, since a
// kernel without them has no such file.
[[nodiscard]] HostIds host_ids(HostList list);

// Which of `host` a list of a cgroup version may name: v2 keeps CPUs and nodes that are offline, and uses those that
// are online; v1 refuses them.
[[nodiscard]] const sys::IdSet& allowed_by(Version version, const HostIds& host);

// A list that v1 refuses only because of what is offline.
struct Offline {
  sys::IdSet ids;     // offline
  sys::IdSet online;  // the rest of the list
};
// nullopt: nothing of it is offline, or it names what the host cannot have.
[[nodiscard]] std::optional<Offline> offline_in(Version version, const sys::IdSet& wanted, const HostIds& host);
// The same of a limit; nullopt also where it is no list.
[[nodiscard]] std::optional<Offline> offline_in(const Limit& limit, const Home& home);
// Takes what is offline out of a limit that v1 would refuse for it. False where nothing is left to be set.
[[nodiscard]] bool leave_out_offline(const Hierarchies& hierarchies, Limit& limit);

}  // namespace cgx
