// SPDX-License-Identifier: Apache-2.0
// Groups that a killed `cgx exec` has left.
#pragma once

#include <string>
#include <vector>

#include "cgx/sys/result.h"

namespace cgx::launcher {

struct LeftByExec {
  std::vector<std::string> removed;
  std::vector<std::string> kept;  // empty ones with such a name, of which nothing says who made them
  std::vector<Error> failures;    // groups that could not be looked at or removed
};

// Removes the groups that `cgx exec` has made for its command, fresh or by name, that are empty and whose maker is
// gone: by the note on them or, where it was killed before that, by the name of a fresh one. Where `dry_run`, it
// removes nothing. An error: the groups cannot be listed.
[[nodiscard]] Result<LeftByExec> left_by_exec(bool dry_run);

}  // namespace cgx::launcher
