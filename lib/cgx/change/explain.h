// SPDX-License-Identifier: Apache-2.0
// Why the kernel refused: an errno and the state of the hierarchy become a sentence, with a hint. Reads only.
#pragma once

#include "cgx/change/plan.h"

namespace cgx {

// The error of writing `step` told in full; `error` as Cgroup::write() answered it.
[[nodiscard]] Error explain_write(const Cgroup& group, const Step& step, Error error);
// Whose the file is that `error` names as its knob, where it could not be written for want of rights.
[[nodiscard]] Error explain_rights(const Cgroup& group, Error error);
// The same for mkdir of `group` in `h`.
[[nodiscard]] Error explain_create(const Hierarchies& hierarchies,
                                   std::string_view group,
                                   const Hierarchy& h,
                                   Error error);
// What joining `group` failed with: this process, or `pid`.
[[nodiscard]] Error explain_attach(const Cgroup& group, Error error, pid_t pid = 0);
// The same for rmdir of `group`: whose the directory is that it would go from.
[[nodiscard]] Error explain_remove(const Cgroup& group, Error error);
// A value that no kernel would take as it is meant, known before anything is written: CPUs that are not there, a limit
// under a page. nullopt: nothing to say.
[[nodiscard]] std::optional<Error> foresee(const Limit& limit, const Home& home);
// What executing a program in `group` failed with: ENOMEM where a memory limit on the path leaves no room.
[[nodiscard]] Error explain_exec(const Cgroup& group, Error error);
// A value that is allowed, and most likely not what was meant: a quota of more CPUs than the host has,
// CPUs that are all offline.
[[nodiscard]] std::optional<std::string> doubt(const Limit& limit);

}  // namespace cgx
