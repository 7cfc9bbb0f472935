// SPDX-License-Identifier: Apache-2.0
// linux.resources of the specification as limits of cgx, which its plans carry out on v1, hybrid and v2. The numbers are
// v1's in the specification (shares, blkio weights, memory+swap); the rows of knobs convert them.
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

// `update`: only what is named changes, device rules are replaced. Errors name the field of the specification and the
// value: EINVAL for what contradicts itself (swap below limit), ENOTSUP where this host has no such file.
[[nodiscard]] Result<Limits> limits_of(const Resources& resources, const Hierarchies& hierarchies);

// The group of a container by linux.cgroupsPath: absolute ones are from the root, relative ones and none (then `id`) are
// below the caller's own group. `..` and what is no group name: EINVAL.
[[nodiscard]] Result<std::string> group_of(const std::string& cgroups_path, const std::string& id, const Hierarchies& hierarchies);

// `org.cgx.*` annotations: the allowed ones (org.cgx.limit.FLAG = VALUE, as the flag of the command line would take it)
// as limits. EINVAL names the annotation.
[[nodiscard]] Result<std::vector<Limit>> annotated_limits(const Pairs& annotations);

}  // namespace cgx::container
