// SPDX-License-Identifier: Apache-2.0
// Inside image/: paths of a layer's entries. Everything is resolved below the layer's root by the kernel
// (RESOLVE_IN_ROOT): links of the layer are followed as they would be in a container, and lead nowhere else.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/sys/fd.h"

namespace cgx::image {

// The parts of an entry's path: a slash before it is dropped as tar does, so are "." and empty parts; none is the root.
// EINVAL: a part "..", longer than PATH_MAX, a part longer than NAME_MAX, or empty. Pure.
[[nodiscard]] Result<std::vector<std::string>> path_parts(std::string_view path);
[[nodiscard]] std::string joined(const std::vector<std::string>& parts, std::size_t count);

// A directory below `root`, O_PATH. ENOENT, ENOTDIR, ELOOP. Mounts are not crossed.
[[nodiscard]] Result<sys::Fd> open_directory_in(int root, const std::string& path);

// The same; where a part is missing, or is no directory but something that `replace` takes away, it is made. Links that
// lead to nothing are followed, within the root: `run/x` is made where `run` leads to /var/run and that is not there.
// `replace(parent, name)` is asked for what is neither a directory nor a link, and answers whether it may be a
// directory now; `made(parent, name)` hears of each new one, mode 0755.
struct Making {
  std::function<Result<bool>(int parent, const std::string& name)> replace;
  std::function<Result<>(int parent, const std::string& name)> made;
};
[[nodiscard]] Result<sys::Fd> make_directory_in(int root, const std::vector<std::string>& parts, const Making& making);

}  // namespace cgx::image
