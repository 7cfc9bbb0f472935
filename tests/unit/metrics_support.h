// SPDX-License-Identifier: Apache-2.0
// What tests of metrics share: hierarchies that were recorded, and the samples of a page.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "daemon/metrics/metrics.h"

namespace metrics_support {

using namespace cgx;
using daemon::Metrics;
namespace fs = std::filesystem;

inline fs::path recorded(const char* path) { return fs::path(CGX_SOURCE_ROOT) / "tests/data/usage" / path; }

// A copy of recorded hierarchies, gone at the end.
class Copy {
 public:
  explicit Copy(const char* of) {
    std::string name = (fs::temp_directory_path() / "cgx-test-metrics-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    root = name;
    fs::copy(recorded(of), root, fs::copy_options::recursive);
  }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;
  ~Copy() {
    std::error_code ignored;
    fs::remove_all(root, ignored);
  }
  void file(const std::string& path, std::string_view content) const {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << content;
  }
  [[nodiscard]] Hierarchies hierarchies() const {
    if (fs::exists(root / "v2"))
      return Hierarchies::of_mounts({Mount{.version = Version::v2, .dir = root / "v2", .root = "/", .device = 1}});
    std::vector<Mount> mounts;
    for (const char* name : {"cpu,cpuacct", "memory", "blkio", "pids"}) {
      Mount m{
          .version = Version::v1, .dir = root / name, .root = "/", .device = static_cast<unsigned>(mounts.size() + 1)};
      m.controllers = ControllerSet::parse(name).value();
      mounts.push_back(m);
    }
    return Hierarchies::of_mounts(mounts);
  }
  fs::path root;
};

inline std::shared_ptr<daemon::World> world_of(const std::vector<std::string>& names) {
  auto world = std::make_shared<daemon::World>();
  for (const std::string& name : names) world->groups.push_back({.name = name});
  return world;
}

// The samples of a page by what stands before the value; every one once.
inline std::map<std::string, std::string> samples(const std::string& page) {
  std::map<std::string, std::string> all;
  for (const std::string_view line : sys::lines(page)) {
    if (line.empty() || line.starts_with('#')) continue;
    const std::size_t blank = line.rfind(' ');
    REQUIRE(blank != std::string_view::npos);
    CAPTURE(std::string(line));
    CHECK(all.emplace(line.substr(0, blank), line.substr(blank + 1)).second);
  }
  return all;
}

inline std::string page_of(Metrics& metrics) { return metrics.page(daemon::Format::text); }

inline std::string sample(const std::map<std::string, std::string>& all, const std::string& key) {
  const auto at = all.find(key);
  return at == all.end() ? "(none)" : at->second;
}

}  // namespace metrics_support
