// SPDX-License-Identifier: Apache-2.0
#include "cgx/image/platform.h"

#include <utility>

#include <sys/utsname.h>

#include "cgx/sys/text.h"

namespace cgx::image {
namespace {

struct MachineName {
  std::string_view machine, architecture, variant;
};
// clang-format off
constexpr MachineName machine_names[] = {
  {"x86_64",  "amd64",    ""},
  {"i386",    "386",      ""},
  {"i486",    "386",      ""},
  {"i586",    "386",      ""},
  {"i686",    "386",      ""},
  {"aarch64", "arm64",    "v8"},
  {"armv8l",  "arm",      "v8"},
  {"armv7l",  "arm",      "v7"},
  {"armv6l",  "arm",      "v6"},
  {"armv5tel","arm",      "v5"},
  {"ppc64le", "ppc64le",  ""},
  {"ppc64",   "ppc64",    ""},
  {"s390x",   "s390x",    ""},
  {"riscv64", "riscv64",  ""},
  {"loongarch64", "loong64", ""},
};
// clang-format on

// The number of a variant; what is not written is the lowest that the architecture has a name for. -1: no variant.
int level_of(const Platform& platform) {
  if (platform.variant.empty()) {
    if (platform.architecture == "arm") return 7;  // what containerd takes it for
    return platform.architecture == "arm64" ? 8 : 1;
  }
  if (!platform.variant.starts_with('v')) return -1;
  const std::string_view number = std::string_view(platform.variant).substr(1);
  const auto level = sys::parse_u64(number.substr(0, number.find('.')), 0, 100);
  return level ? static_cast<int>(*level) : -1;
}

std::string host_variant(const Platform& host) {
#ifdef __x86_64__
  if (host.architecture == "amd64") {
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v4")) return "v4";
    if (__builtin_cpu_supports("x86-64-v3")) return "v3";
    if (__builtin_cpu_supports("x86-64-v2")) return "v2";
    return "v1";
  }
#endif
  return host.variant;
}

}  // namespace

std::string Platform::text() const { return os + "/" + architecture + (variant.empty() ? "" : "/" + variant); }

Platform platform_of_machine(std::string_view machine) {
  for (const MachineName& name : machine_names)
    if (name.machine == machine) return {"linux", std::string(name.architecture), std::string(name.variant)};
  return {"linux", std::string(machine), {}};
}

Platform host_platform() {
  utsname names{};
  (void)uname(&names);  // fails for a bad address only
  Platform host = platform_of_machine(static_cast<const char*>(names.machine));
  host.variant = host_variant(host);
  return host;
}

Result<Platform> parse_platform(std::string_view text) {
  const auto parts = sys::split(text, '/');
  bool whole = parts.size() == 2 || parts.size() == 3;
  for (const std::string_view part : parts) whole = whole && !part.empty();
  if (!whole) return bad_value(text, "is no platform: it must be OS/ARCHITECTURE[/VARIANT]");
  return Platform{std::string(parts[0]), std::string(parts[1]), parts.size() == 3 ? std::string(parts[2]) : ""};
}

int platform_rank(const Platform& image, const Platform& host) {
  if (image.os != host.os || image.architecture != host.architecture) return 0;
  if (image.variant == host.variant) return 1000;
  const int level = level_of(image);
  const int most = level_of(host);
  if (level < 0 || most < 0 || level > most) return 0;
  return 1 + level;
}

}  // namespace cgx::image
