// SPDX-License-Identifier: Apache-2.0
// The `linux` object: config-linux.md. Resources and seccomp are in files of their own.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "cgx/container/spec_fill.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

constexpr unsigned most_node = 1023;                               // MAX_NUMNODES of the largest kernels
constexpr std::uint32_t most_major = 0xfff, most_minor = 0xfffff;  // the kernel's dev_t: 12 and 20 bits

Result<> fill_namespaces(std::vector<Namespace>& to, const json::Value& from) {
  if (!from.there()) return {};
  CGX_CHECK(from.expect(json::Kind::list));
  for (const json::Value item : from) {
    CGX_CHECK(item.expect(json::Kind::object));
    const json::Value type = item["type"];
    if (!type.there()) return type.missing();
    const auto known = std::ranges::find(namespace_words(), CGX_TRY(type.text()));
    if (known == namespace_words().end()) return type.wrong("is not known");
    Namespace space;
    space.type = static_cast<NamespaceType>(known - namespace_words().begin());
    if (std::ranges::find(to, space.type, &Namespace::type) != to.end()) return type.wrong("stands twice");
    const json::Value path = item["path"];
    CGX_CHECK(json::fill(space.path, path));
    if (!space.path.empty() && !space.path.starts_with('/')) return path.wrong("is not absolute");
    to.push_back(std::move(space));
  }
  return {};
}

using TimeOffsets = std::vector<std::pair<std::string, std::pair<std::int64_t, std::uint32_t>>>;

Result<> fill_offsets(TimeOffsets& to, const json::Value& from) {
  if (!from.there()) return {};
  CGX_CHECK(from.expect(json::Kind::object));
  for (const json::Value clock : from) {
    if (clock.key() != "monotonic" && clock.key() != "boottime") return clock.wrong("is of a clock that has no offset");
    CGX_CHECK(clock.expect(json::Kind::object));
    std::pair<std::int64_t, std::uint32_t> offset;
    CGX_CHECK(json::fill(offset.first, clock["secs"]));
    CGX_CHECK(json::fill_within(offset.second, clock["nanosecs"], 0U, 999'999'999U));
    to.emplace_back(std::string(clock.key()), offset);
  }
  return {};
}

Result<> fill_personality(std::optional<std::string>& to, const json::Value& from) {
  if (!from.there()) return {};
  CGX_CHECK(from.expect(json::Kind::object));
  const json::Value domain = from["domain"];
  CGX_CHECK(json::need(to.emplace(), domain));
  if (*to != "LINUX" && *to != "LINUX32") return domain.wrong("is not known");
  if (const json::Value flags = from["flags"]; flags.size() != 0) return flags.wrong("are not supported");
  return {};
}

Result<> fill_memory_policy(MemoryPolicy& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  CGX_CHECK(json::need(to.mode, from["mode"]));
  to.value = CGX_TRY(word_value(memory_policy_modes(), from["mode"]));
  const json::Value nodes = from["nodes"];
  CGX_CHECK(json::fill(to.nodes, nodes));
  const auto list = sys::IdSet::parse(to.nodes);
  if (!list || (!list->empty() && list->ids().back() > most_node)) return nodes.wrong("is no list of nodes");
  const bool takes_none = to.mode == "MPOL_DEFAULT" || to.mode == "MPOL_LOCAL";
  if (takes_none && !list->empty()) return nodes.wrong(fmt::format("cannot be with {}", to.mode));
  if (!takes_none && list->empty() && to.mode != "MPOL_PREFERRED")
    return nodes.there() ? nodes.wrong(fmt::format("is empty, and {} needs nodes", to.mode)) : nodes.missing();
  const json::Value flags = from["flags"];
  if (!flags.there()) return {};
  CGX_CHECK(flags.expect(json::Kind::list));
  for (const json::Value flag : flags) to.value |= CGX_TRY(word_value(memory_policy_flags(), flag));
  return {};
}

bool is_interface(std::string_view name) {
  constexpr std::size_t longest = 15;  // IFNAMSIZ, with its NUL
  return !name.empty() && name.size() <= longest && name != "." && name != ".." &&
         std::ranges::none_of(name,
                              [](char c) { return c == '/' || c == ':' || static_cast<unsigned char>(c) <= ' '; });
}

Result<> fill_net_devices(std::vector<std::pair<std::string, std::string>>& to, const json::Value& from) {
  if (!from.there()) return {};
  CGX_CHECK(from.expect(json::Kind::object));
  for (const json::Value device : from) {
    const std::string host(device.key());
    if (!is_interface(host)) return device.wrong("is of no name of an interface");
    std::string name = host;
    if (device.there()) {
      CGX_CHECK(device.expect(json::Kind::object));
      CGX_CHECK(json::fill(name, device["name"]));
      if (name.empty()) name = host;
    }
    if (!is_interface(name)) return device["name"].wrong("is no name of an interface");
    const auto same = std::ranges::find(to, name, &std::pair<std::string, std::string>::second);
    if (same != to.end()) return device["name"].wrong("stands twice");
    to.emplace_back(host, std::move(name));
  }
  return {};
}

Result<> fill_propagation(std::optional<std::string>& to, const json::Value& from) {
  std::string word;
  CGX_CHECK(json::fill(word, from));
  if (word.empty()) return {};
  // Docker says rslave and the like. Below / there is nothing yet when it is set, so that the two are the same.
  const std::string_view plain = word.starts_with('r') ? std::string_view(word).substr(1) : std::string_view(word);
  for (const std::string_view known : {"shared", "slave", "private", "unbindable"})
    if (plain == known) to = known;
  return to ? Result<>() : from.wrong("is not known");
}

Result<> fill_paths(std::vector<std::string>& to, const json::Value& from) {
  CGX_CHECK(json::fill(to, from));
  for (const json::Value path : from)
    if (!CGX_TRY(path.text()).starts_with('/')) return path.wrong("is not absolute");
  return {};
}

// A name is a path below /proc/sys, with dots or slashes between its parts; both may stand in one, as in
// net/ipv4/conf/eth0.100/forwarding, where the first one tells which of them separates.
Result<> check_sysctl(const json::Value& entry) {
  const std::string_view name = entry.key();
  const std::size_t first = name.find_first_of("./");
  const char separator = first == std::string_view::npos ? '.' : name[first];
  bool sane = first != std::string_view::npos && first != 0 && !name.contains("..") && !name.ends_with(separator) &&
              name.find(std::string(2, separator)) == std::string_view::npos;
  for (const char c : name) sane = sane && static_cast<unsigned char>(c) > ' ' && c != 0x7f;
  return sane ? Result<>() : entry.wrong("is of no name of a sysctl");
}

}  // namespace

static Result<> fill(Device& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  const json::Value type = from["type"];
  if (!type.there()) return type.missing();
  const std::string_view word = CGX_TRY(type.text());
  if (word != "c" && word != "u" && word != "b" && word != "p") return type.wrong("is not c, u, b or p");
  to.type = word[0];
  const json::Value path = from["path"];
  if (!path.there()) return path.missing();
  CGX_CHECK(fill_path(to.path, path));
  if (to.type != 'p') {
    for (const std::string_view key : {"major", "minor"})
      if (!from[key].there()) return from[key].missing();
    CGX_CHECK(json::fill_within(to.major, from["major"], 0U, most_major));
    CGX_CHECK(json::fill_within(to.minor, from["minor"], 0U, most_minor));
  }
  CGX_CHECK(json::fill(to.mode, from["fileMode"]));
  if (to.mode) *to.mode &= 07777U;  // some engines send the type of the file in it
  CGX_CHECK(json::fill(to.uid, from["uid"]));
  return json::fill(to.gid, from["gid"]);
}

Result<> fill(Linux& to, const json::Value& from) {
  if (!from.there()) return {};
  CGX_CHECK(from.expect(json::Kind::object));
  if (const json::Value v = from["intelRdt"]; v.there()) {
    auto error = v.wrong("is not supported");
    error.error().code = ENOTSUP;
    return error;
  }
  CGX_CHECK(fill_namespaces(to.namespaces, from["namespaces"]));
  CGX_CHECK(json::fill(to.uid_mappings, from["uidMappings"]));
  CGX_CHECK(json::fill(to.gid_mappings, from["gidMappings"]));
  CGX_CHECK(check_mappings(to.uid_mappings, "linux.uidMappings"));
  CGX_CHECK(check_mappings(to.gid_mappings, "linux.gidMappings"));
  CGX_CHECK(fill_offsets(to.time_offsets, from["timeOffsets"]));
  CGX_CHECK(json::fill(to.devices, from["devices"]));
  CGX_CHECK(json::fill(to.cgroups_path, from["cgroupsPath"]));
  if (const json::Value resources = from["resources"]; resources.there())
    CGX_CHECK(fill(to.resources.emplace(), resources));
  CGX_CHECK(fill_propagation(to.rootfs_propagation, from["rootfsPropagation"]));
  CGX_CHECK(json::fill(to.sysctl, from["sysctl"]));
  for (const json::Value entry : from["sysctl"]) CGX_CHECK(check_sysctl(entry));
  CGX_CHECK(fill_paths(to.masked_paths, from["maskedPaths"]));
  CGX_CHECK(fill_paths(to.readonly_paths, from["readonlyPaths"]));
  CGX_CHECK(json::fill(to.mount_label, from["mountLabel"]));
  CGX_CHECK(fill_personality(to.personality, from["personality"]));
  if (const json::Value policy = from["memoryPolicy"]; policy.there())
    CGX_CHECK(fill_memory_policy(to.memory_policy.emplace(), policy));
  return fill_net_devices(to.net_devices, from["netDevices"]);
}

}  // namespace cgx::container
