// SPDX-License-Identifier: Apache-2.0
// Inside container/: paths of a container, resolved below its root: links of the image lead nowhere else, also where
// somebody changes them meanwhile.
#pragma once

#include <string>

#include <sys/types.h>

#include "cgx/sys/fd.h"

namespace cgx::container {

enum class Links : std::uint8_t {
  follow,    // in the root; magic links of procfs never
  last_not,  // the last one is opened itself
  refuse,    // ELOOP
};

// openat2(RESOLVE_IN_ROOT) with O_CLOEXEC. A `path` with or without a slash before it. ENOTSUP before Linux 5.6.
[[nodiscard]] Result<sys::Fd> open_in_root(int root, const std::string& path, int flags, Links links = Links::follow);

struct Target {
  sys::Fd fd;         // O_PATH
  bool made = false;  // it was not there before
};
// The directory or file, made where it is missing, with the directories above it. Dangling links of the image are
// followed in the root: /var/run/x is made in /run. The caller has set its umask.
enum class NewKind : std::uint8_t { directory, file };
[[nodiscard]] Result<Target> make_in_root(int root, const std::string& path, NewKind kind, Links links = Links::follow);

// `dir` holds "a/b", `name` "c" for "/a//b/c/": how a last component is made or removed.
struct Split {
  std::string dir, name;
};
[[nodiscard]] Result<Split> split_path(const std::string& path);
// "/a/b" for "a//./x/../b/", by the text alone.
[[nodiscard]] std::string clean_path(const std::string& path);

// Attaches `tree` at `target`, which was opened at `path`. EXDEV where the path leads elsewhere afterwards: somebody
// has exchanged it. The mount stays then; it is below the root in any case.
[[nodiscard]] Result<> attach(int root, int tree, int target, const std::string& path, Links links = Links::follow);

}  // namespace cgx::container
