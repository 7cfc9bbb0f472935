// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/device_node.h"

#include <cerrno>

#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace cgx {

Result<NodeType> device_node(const std::string& path) {
  struct stat st{};
  if (path.find('\0') != std::string::npos) return bad_value(path, "names a path with a NUL byte");
  if (stat(path.c_str(), &st) != 0) return bad_value(path, "names no device node: " + errno_text(errno));
  if (!S_ISBLK(st.st_mode) && !S_ISCHR(st.st_mode)) return bad_value(path, "names a file that is no device node");
  return NodeType{.type = S_ISBLK(st.st_mode) ? 'b' : 'c', .major = major(st.st_rdev), .minor = minor(st.st_rdev)};
}

}  // namespace cgx
