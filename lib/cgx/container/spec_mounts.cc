// SPDX-License-Identifier: Apache-2.0
// Mounts, mappings of ids and hooks: config.md, "Mounts" and "POSIX-platform Hooks".
#include <algorithm>

#include <fmt/format.h>

#include "cgx/container/spec_fill.h"

namespace cgx::container {
namespace {

bool has_option(const Mount& mount, std::string_view option) {
  return std::ranges::find(mount.options, option) != mount.options.end();
}

}  // namespace

Result<> fill(IdMapping& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  CGX_CHECK(json::need(to.container_id, from["containerID"]));
  CGX_CHECK(json::need(to.host_id, from["hostID"]));
  return json::need(to.size, from["size"]);
}

Result<> check_mappings(const std::vector<IdMapping>& mappings, std::string_view place) {
  constexpr std::uint64_t ids = std::uint64_t{1} << 32U;
  constexpr std::size_t most = 340;  // UID_GID_MAP_MAX_EXTENTS
  if (mappings.size() > most)
    return json::wrong_at(std::string(place), {}, fmt::format("has more than the kernel's {} mappings", most));
  for (std::size_t i = 0; i < mappings.size(); ++i) {
    const IdMapping& m = mappings[i];
    const auto at = [&](std::string_view key) { return fmt::format("{}[{}].{}", place, i, key); };
    if (m.size == 0) return json::wrong_at(at("size"), "0", "maps nothing");
    if (m.container_id + std::uint64_t{m.size} > ids || m.host_id + std::uint64_t{m.size} > ids)
      return json::wrong_at(at("size"), std::to_string(m.size), "goes over the last id");
    for (std::size_t j = 0; j < i; ++j) {
      const auto overlap = [&](std::uint64_t a, std::uint64_t b) { return a < b + mappings[j].size && b < a + m.size; };
      if (overlap(m.container_id, mappings[j].container_id))
        return json::wrong_at(at("containerID"), std::to_string(m.container_id), "is mapped twice");
      if (overlap(m.host_id, mappings[j].host_id))
        return json::wrong_at(at("hostID"), std::to_string(m.host_id), "is mapped twice");
    }
  }
  return {};
}

Result<> fill(Mount& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  const json::Value destination = from["destination"];
  CGX_CHECK(json::need(to.destination, destination));
  if (to.destination.empty()) return destination.wrong("is empty");
  CGX_CHECK(json::fill(to.type, from["type"]));
  CGX_CHECK(json::fill(to.source, from["source"]));
  CGX_CHECK(json::fill(to.options, from["options"]));
  CGX_CHECK(json::fill(to.uid_mappings, from["uidMappings"]));
  CGX_CHECK(json::fill(to.gid_mappings, from["gidMappings"]));
  CGX_CHECK(check_mappings(to.uid_mappings, from.place() + ".uidMappings"));
  CGX_CHECK(check_mappings(to.gid_mappings, from.place() + ".gidMappings"));
  if (to.uid_mappings.empty() != to.gid_mappings.empty())
    return from.wrong("has one of uidMappings and gidMappings, but not the other");

  if (has_option(to, "bind") || has_option(to, "rbind")) to.type = "bind";
  if (to.type.empty() && !has_option(to, "remount")) return from["type"].missing();
  if (to.type == "bind" && to.source.empty()) return from["source"].missing();
  return {};
}

Result<> fill(Hook& to, const json::Value& from) {
  CGX_CHECK(from.expect(json::Kind::object));
  const json::Value path = from["path"];
  if (!path.there()) return path.missing();
  CGX_CHECK(fill_path(to.path, path));
  CGX_CHECK(json::fill(to.args, from["args"]));
  if (const json::Value env = from["env"]; env.there()) CGX_CHECK(json::fill(to.env.emplace(), env));
  if (const json::Value timeout = from["timeout"]; timeout.there()) {
    constexpr unsigned longest = 1U << 30U;  // seconds: longer than any host runs, and no overflow in milliseconds
    CGX_CHECK(json::fill_within(to.timeout.emplace(), timeout, 1U, longest));
  }
  return {};
}

Result<> fill(Hooks& to, const json::Value& from) {
  if (!from.there()) return {};
  CGX_CHECK(from.expect(json::Kind::object));
  CGX_CHECK(json::fill(to.prestart, from["prestart"]));
  CGX_CHECK(json::fill(to.create_runtime, from["createRuntime"]));
  CGX_CHECK(json::fill(to.create_container, from["createContainer"]));
  CGX_CHECK(json::fill(to.start_container, from["startContainer"]));
  CGX_CHECK(json::fill(to.poststart, from["poststart"]));
  return json::fill(to.poststop, from["poststop"]);
}

}  // namespace cgx::container
