// SPDX-License-Identifier: Apache-2.0
#include "isolation.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/sys/text.h"

#include "bad_flag.h"
#include "mount_points.h"

namespace cgx::tool {
namespace {

constexpr std::array<std::string_view, 8> all_namespaces{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"};

Result<> add_namespaces(std::string_view list, Isolation& out) {
  for (const std::string_view name : sys::split(list, ',')) {
    if (std::ranges::find(all_namespaces, name) == all_namespaces.end())
      return bad_flag("ns",
                      list,
                      fmt::format("has \"{}\", which is no namespace", name.substr(0, 40)),
                      "namespaces are pid, net, ipc, mnt, uts, user, cgroup and time");
    if (!out.has(name)) out.namespaces.emplace_back(name);
  }
  return {};
}

Result<> add_bind(std::string_view text, Isolation& out) {
  const auto parts = sys::split(text, ':');
  if (parts.size() < 2 || parts.size() > 3 || (parts.size() == 3 && parts[2] != "ro" && parts[2] != "rw"))
    return bad_flag("bind", text, "is not SRC:DST or SRC:DST:ro");
  for (const std::string_view path : {parts[0], parts[1]})
    if (!path.starts_with('/')) return bad_flag("bind", text, "has a path that does not start with /");
  out.binds.push_back({std::string(parts[0]), std::string(parts[1]), parts.size() == 3 && parts[2] == "ro"});
  return {};
}

Result<> set_user(std::string_view text, Isolation& out) {
  const std::size_t colon = text.find(':');
  const auto uid = sys::parse_u64(text.substr(0, colon));
  const auto gid = colon == std::string_view::npos ? uid : sys::parse_u64(text.substr(colon + 1));
  // The highest number is the kernel's word for "as it is".
  if (!uid || !gid || *uid >= UINT32_MAX || *gid >= UINT32_MAX)
    return bad_flag("user", text, "is not UID or UID:GID, in numbers below 4294967295");
  out.user = {static_cast<std::uint32_t>(*uid), static_cast<std::uint32_t>(*gid)};
  return {};
}

Result<> take(std::string_view flag, const std::string& text, Isolation& out) {
  const auto absolute = [&]() -> Result<> {
    if (!text.starts_with('/')) return bad_flag(flag, text, "does not start with /");
    return {};
  };
  if (flag == "isolate") return add_namespaces("pid,ipc,mnt,uts,cgroup", out);
  if (flag == "ns") return add_namespaces(text, out);
  if (flag == "bind") return add_bind(text, out);
  if (flag == "user") return set_user(text, out);
  if (flag == "ro") return out.readonly = true, Result<>();
  if (flag == "no-new-privs") return out.no_new_privs = true, Result<>();
  if (flag == "tmpfs") {
    CGX_CHECK(absolute());
    return out.tmpfs.push_back(text), Result<>();
  }
  if (flag == "rootfs") {
    if (text.empty()) return bad_flag(flag, text, "is empty");
    return out.rootfs = text, Result<>();
  }
  if (flag == "seccomp") {
    if (text.empty()) return bad_flag(flag, text, "is not default, off or a FILE");
    return out.seccomp = text == "off" ? "" : text, Result<>();
  }
  if (flag == "hostname") {
    if (text.empty() || text.size() > 64) return bad_flag(flag, text, "is not of 1 to 64 bytes");
    if (!is_host_word(text)) return bad_flag(flag, text, "has a blank, a control character or a #");
    CGX_CHECK(add_namespaces("uts", out));
    return out.hostname = text, Result<>();
  }
  if (flag == "cap-drop") {
    for (const std::string_view name : sys::split(text, ',')) {
      if (name == "all" || name == "ALL")
        out.drop_all = true;
      else
        out.drop.emplace_back(name);
    }
    return {};
  }
  return bad_flag(flag, text, "is not known");
}

bool is_about_it(std::string_view option) {
  return std::ranges::find(isolation_options, option, &Option::name) != std::end(isolation_options);
}

}  // namespace

bool Isolation::has(std::string_view ns) const { return std::ranges::find(namespaces, ns) != namespaces.end(); }

bool is_host_word(std::string_view text) {
  return !text.empty() && text.size() <= 255 && std::ranges::none_of(text, [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '#';
  });
}

bool isolates(const Call& call) {
  return std::ranges::any_of(call.options, [](const auto& o) { return is_about_it(o.first); });
}

Result<Isolation> parse_isolation(const std::vector<std::pair<std::string, std::string>>& words) {
  Isolation out;
  for (const auto& [flag, text] : words) CGX_CHECK(take(flag, text, out));
  // All of it is done in a mount namespace: what is mounted for the command is nobody else's.
  CGX_CHECK(add_namespaces("mnt", out));
  std::vector<std::string> destinations = out.tmpfs;
  for (const Isolation::Bind& b : out.binds) destinations.push_back(b.destination);
  auto once = check_mount_points(destinations);
  if (!once) {
    once.error().fault = Fault::usage;
    const bool bound =
        std::ranges::find(out.binds, once.error().value, &Isolation::Bind::destination) != out.binds.end();
    once.error().knob = bound ? "--bind" : "--tmpfs";
  }
  CGX_CHECK(once);
  std::ranges::sort(out.namespaces, {}, [](const std::string& n) {
    return std::ranges::find(all_namespaces, n) - all_namespaces.begin();
  });
  return out;
}

Result<std::vector<std::string>> isolation_words(const Call& call) {
  std::vector<std::pair<std::string, std::string>> given;
  for (const auto& option : call.options)
    if (is_about_it(option.first)) given.push_back(option);
  CGX_CHECK(parse_isolation(given));
  std::vector<std::string> words;
  for (auto& [flag, text] : given) {
    words.push_back(std::move(flag));
    words.push_back(std::move(text));
  }
  return words;
}

}  // namespace cgx::tool
