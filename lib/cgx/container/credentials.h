// SPDX-License-Identifier: Apache-2.0
// Inside container/: who the program runs as: capabilities, ids, groups. Kernel: capabilities(7), user_namespaces(7).
#pragma once

#include <string>
#include <vector>

#include "cgx/container/spec.h"

namespace cgx::container {

// The order is: bounding set, ids with the capabilities kept, then the sets. What the calling process does not have
// cannot be granted: it is left out, and named in the answer, a sentence for people; empty: all was granted.
// Without capabilities in `process` it has none.
struct Keeps {
  // CAP_SYS_ADMIN, by which it loads a seccomp program without no_new_privs, up to execve(2), which makes permitted and
  // effective anew from the other sets.
  bool filter = false;
  bool groups = false;  // the supplementary groups of the caller
};
[[nodiscard]] Result<std::string> become(const Process& process, Keeps keeps);

// $HOME of `uid` by the container's /etc/passwd, "/" where it says nothing. The file is not trusted: links lead nowhere
// else, it is no fifo, at most 1 MiB are read.
[[nodiscard]] std::string home_of(uid_t uid);

// Standard streams that are pipes, or the container's `terminal`, are given to `user`, so that the program can open
// /dev/stderr. Files and terminals of the host stay whose they are.
void own_standard_streams(const User& user, bool terminal);

}  // namespace cgx::container
