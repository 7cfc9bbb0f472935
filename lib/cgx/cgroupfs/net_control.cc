// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/net_control.h"

#include <array>
#include <cerrno>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/program.h"
#include "cgx/sys/text.h"
#include "cgx/sys/xattr.h"

namespace cgx {
namespace {

Result<std::string> run(std::vector<std::string> arguments, int dir, std::string_view input = {}) {
  CGX_CHECK(sys::mutation("net", arguments[0]));
  if (dir >= 0 && arguments[0] != "show") {
    arguments.emplace_back("--group-fd");
    arguments.emplace_back("3");
  }
  return sys::run_program(CGX_TRY(sys::helper_path("cgx-net")), arguments, dir, input);
}

// The text between the braces of `"name":{...}` in one line of cgx-net's own output, which nests no further there.
std::string_view object(std::string_view json, std::string_view name) {
  const std::string start = fmt::format("\"{}\":{{", name);
  const std::size_t at = json.find(start);
  if (at == std::string_view::npos) return {};
  const std::size_t from = at + start.size();
  return json.substr(from, json.find('}', from) - from);
}

std::string_view string_member(std::string_view json, std::string_view name) {
  const std::string start = fmt::format("\"{}\":\"", name);
  const std::size_t at = json.find(start);
  if (at == std::string_view::npos) return {};
  const std::size_t from = at + start.size();
  return json.substr(from, json.find('"', from) - from);
}

// `"eth0":5,"eth1":7` as lines `eth0 5`.
std::string rows(std::string_view members) {
  std::string out;
  for (const std::string_view member : sys::split(members, ',')) {
    const std::size_t colon = member.rfind(':');
    if (member.size() < 4 || colon == std::string_view::npos) continue;
    out += fmt::format("{} {}\n", member.substr(1, colon - 2), member.substr(colon + 1));
  }
  return out;
}

}  // namespace

bool attached_net(int dir) {
  if (access("/run/cgx/net", F_OK) != 0) return false;
  const auto mark = sys::get_xattr(dir, "trusted.cgx.net");
  return mark && *mark;
}

Result<std::string> set_net(int dir, std::string_view what, std::string_view text) {
  if (what == "@net.class") {
    const std::uint64_t id = CGX_TRY(sys::parse_u64(text, 0, 0xffffffff));
    return run({"set", "--class", fmt::format("{:x}:{:x}", id >> 16U, id & 0xffffU)}, dir);
  }
  const auto parts = sys::words(text);
  if (parts.size() != 2) return bad_value(text, "is not IF N");
  if (what == "@net.prio") return run({"set", "--prio", fmt::format("{}={}", parts[0], parts[1])}, dir);
  if (what == "@net.rate")
    return run({"set", "--rate", fmt::format("{}={}{}", parts[0], parts[1], parts[1] == "max" ? "" : "bit")}, dir);
  return fail(ENOTSUP, "is nothing that cgx-net sets");
}

Result<> restore_net(int dir, std::string_view undo) {
  const auto done = run({"restore"}, dir, undo);
  return done ? Result<>() : std::unexpected(done.error());
}

std::string net_key(int dir, Version version) {
  struct stat st{};
  return fmt::format("{}-{}", version == Version::v1 ? "v1" : "v2", fstat(dir, &st) == 0 ? st.st_ino : 0);
}

Result<> release_net(const std::string& key) {
  const auto done = run({"release", "--key", key}, -1);
  return done ? Result<>() : std::unexpected(done.error());
}

Result<std::string> read_net(int dir, std::string_view what) {
  if (!attached_net(dir)) return fail(ENODATA, "nothing of that name is attached");
  struct stat st{};
  if (fstat(dir, &st) != 0) return fail_errno(errno, "fstat");
  const std::string all = CGX_TRY(run({"show", "--json"}, dir));
  // Keys are `v1-INODE` and `v2-INODE`; a group of this inode with the mark is the one.
  for (const std::string_view version : {"v1", "v2"}) {
    const std::size_t at = all.find(fmt::format("\"key\":\"{}-{}\"", version, st.st_ino));
    if (at == std::string::npos) continue;
    const std::string_view record = std::string_view(all).substr(at);
    if (what == "@net.rate") return rows(object(record, "rates"));
    if (what == "@net.prio") return rows(object(record, "prios"));
    const std::string_view id = string_member(record, "class");
    const std::size_t colon = id.find(':');
    if (colon == std::string_view::npos) return std::string("0");
    const auto major = sys::parse_any_base(fmt::format("0x{}", id.substr(0, colon)), 0xffff);
    const auto minor = sys::parse_any_base(fmt::format("0x{}", id.substr(colon + 1)), 0xffff);
    if (major && minor) return std::to_string((*major << 16U) | *minor);
  }
  return fail(ENODATA, "nothing of that name is attached");
}

}  // namespace cgx
