// SPDX-License-Identifier: Apache-2.0
#include "mount_points.h"

#include <algorithm>
#include <filesystem>
#include <set>

namespace cgx::tool {

std::string mount_point(const std::string& destination) {
  std::string path = std::filesystem::path("/" + destination).lexically_normal().string();
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

std::size_t mount_depth(const std::string& destination) {
  const std::string path = mount_point(destination);
  return path == "/" ? 0 : static_cast<std::size_t>(std::ranges::count(path, '/'));
}

Result<> check_mount_points(const std::vector<std::string>& destinations) {
  std::set<std::string> seen;
  for (const std::string& destination : destinations) {
    std::string path = mount_point(destination);
    if (path == "/") return bad_value(destination, "is the root, and no mount destination");
    const auto [place, is_new] = seen.insert(std::move(path));
    if (!is_new) return bad_value(*place, "is a duplicate mount destination");
  }
  return {};
}

}  // namespace cgx::tool
