// SPDX-License-Identifier: Apache-2.0
#include "devices.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "tools/mount_points.h"

namespace cgx::launcher {
namespace {

namespace fs = std::filesystem;

// What every container has of its own.
constexpr std::array<std::string_view, 12> own{"/dev/console",
                                               "/dev/fd",
                                               "/dev/full",
                                               "/dev/mqueue",
                                               "/dev/null",
                                               "/dev/ptmx",
                                               "/dev/pts",
                                               "/dev/random",
                                               "/dev/shm",
                                               "/dev/tty",
                                               "/dev/urandom",
                                               "/dev/zero"};
constexpr std::size_t most_nodes = 10'000;

bool is_node(const struct stat& st) { return S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode); }

Result<> refuse_path(const std::string& path, int code, std::string what) {
  return std::unexpected(Error{.code = code, .what = std::move(what), .knob = "--device", .value = path});
}

// Links are followed nowhere. What goes meanwhile, as of a disk that is pulled out, is passed over.
Result<> add_below(std::vector<DeviceNode>& to, const DevicePath& device) {
  std::error_code error;
  fs::recursive_directory_iterator at(device.source, error);
  if (error) return refuse_path(device.source, error.value(), errno_text(error.value()));
  for (; at != fs::recursive_directory_iterator(); at.increment(error)) {
    if (error) return refuse_path(device.source, error.value(), errno_text(error.value()));
    const std::string path = at->path().string();
    if (std::ranges::find(own, path) != own.end()) {
      at.disable_recursion_pending();
      continue;
    }
    struct stat st{};
    if (lstat(path.c_str(), &st) != 0 || !is_node(st)) continue;
    if (to.size() >= most_nodes) return refuse_path(device.source, E2BIG, "has more than 10000 device nodes");
    const std::string below = fs::path(path).lexically_relative(device.source).string();
    to.push_back({.path = tool::mount_point(device.destination + "/" + below), .st = st, .access = device.access});
  }
  if (error) return refuse_path(device.source, error.value(), errno_text(error.value()));
  return {};
}

}  // namespace

Result<std::vector<DeviceNode>> device_nodes(const RunOptions& options) {
  std::vector<DeviceNode> nodes;
  if (options.privileged) CGX_CHECK(add_below(nodes, {.source = "/dev", .destination = "/dev", .access = "rwm"}));
  for (const DevicePath& d : options.devices) {
    struct stat st{};
    if (stat(d.source.c_str(), &st) != 0)
      return std::unexpected(refuse_path(d.source, errno, errno_text(errno)).error());
    std::vector<DeviceNode> given;
    if (S_ISDIR(st.st_mode))
      CGX_CHECK(add_below(given, d));
    else if (is_node(st))
      given.push_back({.path = d.destination, .st = st, .access = d.access});
    if (given.empty())
      return std::unexpected(
          refuse_path(d.source,
                      ENODEV,
                      S_ISDIR(st.st_mode) ? "has no device node below it" : "is no device node, nor a directory")
              .error());
    for (DeviceNode& node : given) {
      std::erase_if(nodes, [&](const DeviceNode& other) { return other.path == node.path; });
      nodes.push_back(std::move(node));
    }
  }
  return nodes;
}

}  // namespace cgx::launcher
