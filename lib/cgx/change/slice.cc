// SPDX-License-Identifier: Apache-2.0
#include "cgx/change/slice.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"
#include "cgx/sys/xattr.h"

namespace cgx {
namespace {

constexpr const char* note = "slice";
constexpr std::size_t longest_unit = 255;  // UNIT_NAME_MAX of systemd

// As unit_name_escape() of systemd.
std::string escape(std::string_view part) {
  std::string out;
  for (std::size_t i = 0; i < part.size(); ++i) {
    const char c = part[i];
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' ||
                       c == '_' || (c == '.' && i > 0);
    out += plain ? std::string{c} : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  return out;
}

std::unexpected<Error> refused(std::string_view group, std::string what, std::string hint = {}) {
  Error e{.code = EINVAL, .what = std::move(what), .group = std::string(group), .hint = std::move(hint)};
  e.fault = Fault::usage;
  return std::unexpected(std::move(e));
}

// The directories of `group` in the trees that systemd may have made it in.
template <class Each>
void each_dir(const Hierarchies& hierarchies, const std::string& group, Each each) {
  for (const Hierarchy& h : hierarchies.all()) {
    const auto root = h.root();
    if (!root) continue;
    if (const auto dir = sys::open_beneath(*root, group, O_RDONLY | O_DIRECTORY))
      if (each(dir->get())) return;
  }
}

}  // namespace

bool systemd_is_manager() { return access("/run/systemd/system", F_OK) == 0; }

Result<Slice> slice_of(std::string_view group) {
  constexpr std::array<std::string_view, 4> own{"system", "user", "machine", "init"};
  if (group.empty()) return refused(group, "is the root, which is no slice that can be made");
  Slice slice;
  std::string joined;
  bool first = true;
  for (const std::string_view part : sys::split(group, '/')) {
    if (first && std::ranges::find(own, part) != own.end())
      return refused(
          group, fmt::format("would be {}.slice, which is systemd's own", part), "give the group another name");
    if (part.ends_with(".slice") || part.ends_with(".service") || part.ends_with(".scope"))
      return refused(group,
                     fmt::format("\"{}\" is the name of a unit of systemd", part),
                     "a group is named without .slice: web is web.slice");
    joined += (first ? "" : "-") + escape(part);
    slice.unit = joined + ".slice";
    slice.group += (first ? "" : "/") + slice.unit;
    first = false;
  }
  if (slice.unit.size() > longest_unit)
    return refused(group,
                   fmt::format("makes a name of {} bytes, and systemd takes {}", slice.unit.size(), longest_unit));
  return slice;
}

bool systemd_sets(const Knob& knob, Version version) {
  if (knob.flag.empty()) return false;
  if (version == Version::v1) {
    // With v1 controllers systemd has no cpuset, no memory.low and the like, and weights of disks of its own.
    constexpr std::array<std::string_view, 7> flags{
        "mem", "cpu-shares", "cpu-weight", "cpu-quota", "pids", "io-max", "device"};
    return std::ranges::find(flags, knob.flag) != flags.end();
  }
  // Device rules of both are programs on the group, of which all must allow. systemd has no rules with `deny`.
  if (knob.flag == "device") return false;
  return !knob.property.empty() || knob.flag == "io-max" || knob.flag == "io-latency" || knob.flag == "memsw" ||
         knob.flag == "mem-soft";
}

Result<> mark_slice(const Hierarchies& hierarchies, const std::string& group) {
  Result<> done = fail(ENOENT, "there is no such group");
  each_dir(hierarchies, group, [&](int dir) {
    done = sys::set_note(dir, note, "1");
    return done.has_value();
  });
  return located(std::move(done), group);
}

bool is_marked_slice(const Hierarchies& hierarchies, const std::string& group) {
  bool marked = false;
  each_dir(hierarchies, group, [&](int dir) {
    const auto text = sys::get_note(dir, note);
    marked = text && *text;
    return marked;
  });
  return marked;
}

}  // namespace cgx
