// SPDX-License-Identifier: Apache-2.0
// What one part of a specification demands of another: without a namespace of its own, a container would change what
// is the host's.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "cgx/container/spec_fill.h"

namespace cgx::container {
namespace {

Result<> check_name(const Spec& spec, const std::string& name, std::string_view place) {
  constexpr std::size_t longest = 64;  // __NEW_UTS_LEN
  if (name.empty()) return {};
  if (name.size() > longest) return json::wrong_at(std::string(place), name, "is longer than 64 bytes");
  if (spec.find(NamespaceType::uts) == nullptr)
    return json::wrong_at(std::string(place), name, "needs a uts namespace");
  return {};
}

Result<> check_user(const Spec& spec) {
  const Namespace* user = spec.find(NamespaceType::user);
  const bool maps = !spec.linux_.uid_mappings.empty() || !spec.linux_.gid_mappings.empty();
  if (maps && user == nullptr) {
    const std::string_view key = spec.linux_.uid_mappings.empty() ? "gidMappings" : "uidMappings";
    return json::wrong_at(fmt::format("linux.{}", key), {}, "needs a user namespace");
  }
  return {};
}

// The namespace that a sysctl belongs to, by the start of its name; those that are of none are the host's.
struct SysctlRow {
  std::string_view name;
  NamespaceType type;
};
constexpr std::array<SysctlRow, 15> sysctls = {{{"net.", NamespaceType::network},
                                                {"fs.mqueue.", NamespaceType::ipc},
                                                {"kernel.auto_msgmni", NamespaceType::ipc},
                                                {"kernel.msgmax", NamespaceType::ipc},
                                                {"kernel.msgmnb", NamespaceType::ipc},
                                                {"kernel.msgmni", NamespaceType::ipc},
                                                {"kernel.msg_next_id", NamespaceType::ipc},
                                                {"kernel.sem", NamespaceType::ipc},
                                                {"kernel.sem_next_id", NamespaceType::ipc},
                                                {"kernel.shmall", NamespaceType::ipc},
                                                {"kernel.shmmax", NamespaceType::ipc},
                                                {"kernel.shmmni", NamespaceType::ipc},
                                                {"kernel.shm_rmid_forced", NamespaceType::ipc},
                                                {"kernel.shm_next_id", NamespaceType::ipc},
                                                {"kernel.domainname", NamespaceType::uts}}};

// With dots between the parts, as sysctl(8) reads it: the first separator tells which one it is.
std::string dotted(std::string name) {
  const std::size_t first = name.find_first_of("./");
  if (first == std::string::npos || name[first] == '.') return name;
  for (char& c : name) c = c == '/' ? '.' : c == '.' ? '/' : c;
  return name;
}

Result<> check_sysctls(const Spec& spec) {
  for (const auto& [name, value] : spec.linux_.sysctl) {
    const std::string key = dotted(name);
    const auto place = [&] { return "linux.sysctl." + name; };
    if (key == "kernel.hostname") return json::wrong_at(place(), value, "is what `hostname` is for");
    const auto row = std::ranges::find_if(
        sysctls, [&](const SysctlRow& r) { return r.name.ends_with('.') ? key.starts_with(r.name) : key == r.name; });
    if (row != sysctls.end()) {
      if (spec.find(row->type) == nullptr)
        return json::wrong_at(
            place(),
            value,
            fmt::format("needs the namespace {}", namespace_words()[static_cast<std::size_t>(row->type)]));
      continue;
    }
    // Counts of namespaces a user may have: of the user namespace.
    if (key.starts_with("user.") && spec.find(NamespaceType::user) != nullptr) continue;
    return json::wrong_at(place(), value, "is of the host: no namespace has its own");
  }
  return {};
}

}  // namespace

Result<> check(const Spec& spec) {
  CGX_CHECK(check_name(spec, spec.hostname, "hostname"));
  CGX_CHECK(check_name(spec, spec.domainname, "domainname"));
  CGX_CHECK(check_user(spec));
  CGX_CHECK(check_sysctls(spec));
  if (!spec.linux_.time_offsets.empty()) {
    const Namespace* time = spec.find(NamespaceType::time);
    // Offsets cannot be written any more when there is a process in it.
    if (time == nullptr || !time->path.empty())
      return json::wrong_at("linux.timeOffsets", {}, "needs a new time namespace");
  }
  if (!spec.linux_.net_devices.empty() && spec.find(NamespaceType::network) == nullptr)
    return json::wrong_at("linux.netDevices", {}, "needs a network namespace");
  return {};
}

}  // namespace cgx::container
