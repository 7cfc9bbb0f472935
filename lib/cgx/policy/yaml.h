// SPDX-License-Identifier: Apache-2.0
// Policy files become Policies. The one place that knows YAML and its library.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/policy/policy.h"

namespace cgx::policy {

struct Loaded {
  Policies policies;
  std::vector<Problem> problems;   // in the order of files and lines; errors and warnings
  std::vector<std::string> files;  // that were read or should have been, in that order
  [[nodiscard]] bool ok() const;   // no error among them
};

// Whose files and directories are read: anybody's; the same, with a warning where somebody else than root and the
// caller can write to one; or none of these, as by who executes what a policy says.
enum class From : std::uint8_t { anybody, anybody_told, trusted };

// Reads files, of directories the *.yaml and *.yml in name order, and of "-" the standard input, as one set. Everything
// that is wrong is told at once. Refused: other than regular files, over 1 MiB, duplicate keys, aliases that grow
// beyond measure, deep nesting. Checks spelling, values and ranges, and looks up devices and users; what else this host
// lacks is found by check_host(). Under best_effort what cannot be looked up is left out, with a warning. Blocks for
// reading only.
[[nodiscard]] Loaded load(std::span<const std::string> paths, From from = From::anybody);
// One text in place of a file; `name` stands in the places.
[[nodiscard]] Loaded load_text(std::string_view text, std::string_view name);
// Who makes the groups of policies: this library, or systemd, as slices.
enum class Maker : std::uint8_t { cgx, systemd };
// Adds what this host cannot honour: an error each, or a warning where the group says best_effort, and then the limit
// is taken out of the policy. That includes groups that their maker does not make; nothing else decides that. Reads
// mounts and files of groups.
void check_host(Loaded& loaded, const Hierarchies& hierarchies, Maker maker = Maker::cgx);
// By file and line, and without control characters that names may have, as they are kept; for who adds some.
void finish_problems(Loaded& loaded);

}  // namespace cgx::policy
