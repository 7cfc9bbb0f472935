// SPDX-License-Identifier: Apache-2.0
// linux.resources of the specification as limits of cgx, which its plans carry out on v1, hybrid and v2. The numbers
// are v1's in the specification (shares, blkio weights, memory+swap); the rows of knobs convert them.
#pragma once

#include <string>
#include <vector>

#include "cgx/cgroupfs/cgroup.h"
#include "cgx/change/plan.h"
#include "cgx/container/spec.h"

namespace cgx::container {

struct Limits {
  std::vector<Limit> limits;
  std::vector<std::string> notes;  // what this kernel or layout has no word for and the specification lets pass
};

// Errors name the field of the specification and the value: EINVAL for what contradicts itself (a swap limit below the
// memory limit), ENOTSUP where this host has no such file. Without `existing` they are a new container's: nothing but
// the default devices is there beside the rules given. With it they are an update of that group: only what is named
// changes, and device rules are replaced where there are any.
[[nodiscard]] Result<Limits> limits_of(const Resources& resources,
                                       const Hierarchies& hierarchies,
                                       const Cgroup* existing = nullptr);
// The rules of a new container: `deny a`, the specification's, and the devices that every container has.
[[nodiscard]] Result<std::string> device_rules_text(const std::vector<DeviceRule>& rules);

// Where a container's group is: `group` counted from `bases`, as State has it.
struct Placement {
  std::string group;
  std::vector<Base> bases;
  bool operator==(const Placement&) const = default;
};
// By linux.cgroupsPath, an answer or several, in the order in which they are to be tried. Absolute ones are from the
// root; relative ones and none (then `id`) are below the caller's own group in each hierarchy, so that its limits hold
// for the container. On cgroup2 a group with processes, as the caller's is, can give its children no controllers
// (EBUSY): the second answer is beside it there, where no limit of the group itself would be left that way. `..` and
// what is no group name: EINVAL.
[[nodiscard]] Result<std::vector<Placement>> placements_of(const std::string& cgroups_path,
                                                           const std::string& id,
                                                           const Hierarchies& hierarchies);
// Whether a file of the kernel in a cgroup has this name, on v1 or v2, or may have it on a later kernel: `tasks`,
// "cgroup." or the name of a controller before a point, and all that ends with ".pressure". No group can be called so
// everywhere.
[[nodiscard]] bool is_name_of_file(std::string_view name);
// Of a caller whose groups are `own` (place.h). Pure, but for the limits that it looks for.
[[nodiscard]] std::vector<Placement> placements_below(const std::string& name,
                                                      const std::vector<Base>& own,
                                                      const Hierarchies& hierarchies);
// Whether a limit of the caller's groups, or of those above them, binds it in any hierarchy.
[[nodiscard]] Result<bool> caller_is_limited(const Hierarchies& hierarchies);

// `org.cgx.*` annotations: the allowed ones (org.cgx.limit.FLAG = VALUE, as the flag of the command line would take it)
// as limits. What they set beside linux.resources must not take the place of it: EINVAL names the annotation, also for
// flags that would give rights (device, net-class).
[[nodiscard]] Result<std::vector<Limit>> annotated_limits(const Pairs& annotations, const std::vector<Limit>& beside);

}  // namespace cgx::container
