// SPDX-License-Identifier: Apache-2.0
// Limits as properties of systemd's units (org.freedesktop.systemd1(5), systemd.resource-control(5)). No connection;
// reads mounts to know in which hierarchy a knob is.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <systemd/sd-bus.h>

#include "cgx/change/plan.h"

namespace cgx::daemon {

// The types are those of D-Bus: t, s, ay (a mask of CPUs), a(st) (by device), a(ss) (device rules), au (pids), b.
using PropertyValue = std::variant<std::uint64_t,
                                   std::string,
                                   std::vector<std::uint8_t>,
                                   std::vector<std::pair<std::string, std::uint64_t>>,
                                   std::vector<std::pair<std::string, std::string>>,
                                   std::vector<std::uint32_t>,
                                   bool>;
struct UnitProperty {
  std::string name;
  PropertyValue value;
};

struct Divided {
  std::vector<UnitProperty> properties;  // what systemd is to set
  std::vector<Limit> files;              // what it has no property for
};

// Which limits systemd sets, and how; see systemd_sets(). Errors: a value that systemd has no form for.
[[nodiscard]] Result<Divided> divide(const Hierarchies& hierarchies, std::span<const Limit> limits);
// Every property that divide() can set here, as it is where nothing was said; so that what a policy no longer names is
// taken back, `given` is laid over it.
[[nodiscard]] std::vector<UnitProperty> with_defaults(const Hierarchies& hierarchies, std::vector<UnitProperty> given);

// Appends a(sv).
int append_properties(sd_bus_message* message, std::span<const UnitProperty> properties);

}  // namespace cgx::daemon
