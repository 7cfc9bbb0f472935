// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/user_namespace.h"

#include <algorithm>
#include <cerrno>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/launch.h"
#include "cgx/sys/accounts.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

constexpr std::size_t most_ranges = 340;  // UID_GID_MAP_MAX_EXTENTS

// newuidmap PID CONTAINER HOST SIZE ...
Result<> by_program(const char* program, pid_t pid, const std::vector<IdMapping>& mappings) {
  std::vector<std::string> words{program, std::to_string(pid)};
  for (const IdMapping& m : mappings)
    for (const std::uint32_t n : {m.container_id, m.host_id, m.size}) words.push_back(std::to_string(n));
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& w : words) argv.push_back(w.data());
  argv.push_back(nullptr);
  pid_t child = -1;
  if (const int rc = posix_spawnp(&child, program, nullptr, nullptr, argv.data(), environ); rc != 0)
    return fail_errno(rc, program);
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return fail_errno(errno, "waitpid");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return fail(EPERM,
                fmt::format("{} refused: /etc/subuid and /etc/subgid do not give these ids to this user", program));
  return {};
}

Result<> write_map(int proc,
                   pid_t pid,
                   const char* file,
                   const char* program,
                   const std::vector<IdMapping>& mappings,
                   std::string_view what) {
  const std::string text = CGX_TRY(idmap_text(mappings, what));
  const auto written = sys::write_file(proc, fmt::format("{}/{}", pid, file), text);
  if (written) return {};
  if (written.error().code == EPERM && geteuid() != 0) return by_program(program, pid, mappings);
  return fail_errno(written.error().code, fmt::format("{} \"{}\"", file, text.substr(0, text.find('\n'))));
}

// A map of one's own id alone is what the kernel takes from everybody.
bool is_own(const std::vector<IdMapping>& mappings, std::uint32_t id) {
  return mappings.size() == 1 && mappings[0].size == 1 && mappings[0].host_id == id;
}

}  // namespace

std::string account_of(uid_t uid) {
  const std::string passwd = sys::read_path("/etc/passwd").value_or("");
  for (const std::string_view line : sys::lines(passwd))
    if (const auto account = sys::parse_passwd_line(line); account && account->uid == uid)
      return std::string(account->name);
  return {};
}

std::vector<IdMapping> default_mappings(const char* file, uid_t uid, std::uint32_t own, std::uint32_t inside) {
  constexpr std::uint64_t last = 0xfffffffe;
  std::vector<IdMapping> all;
  std::uint64_t next = 0;
  const auto add = [&](std::uint64_t host, std::uint64_t count) {
    all.push_back({.container_id = static_cast<std::uint32_t>(next),
                   .host_id = static_cast<std::uint32_t>(host),
                   .size = static_cast<std::uint32_t>(count)});
    next += count;
    if (next != inside) return;
    all.push_back({.container_id = inside, .host_id = own, .size = 1});
    ++next;
  };
  if (inside == 0) {
    all.push_back({.container_id = 0, .host_id = own, .size = 1});
    next = 1;
  }
  const std::string name = account_of(uid), number = std::to_string(uid);
  const std::string text = sys::read_path(file).value_or(std::string());
  for (const std::string_view line : sys::lines(text)) {
    const auto fields = sys::split(line, ':');
    if (fields.size() != 3 || (fields[0] != number && (name.empty() || fields[0] != name))) continue;
    const auto first = sys::parse_u64(fields[1], 0, last), count = sys::parse_u64(fields[2], 1, last);
    if (!first || !count) continue;
    for (std::uint64_t host = *first, left = std::min(*count, last - *first); left > 0;) {
      const std::uint64_t size = std::min(left, next < inside ? inside - next : last - next);
      if (size == 0 || all.size() + 2 > most_ranges) break;
      add(host, size);
      host += size;
      left -= size;
    }
  }
  if (next <= inside) all.push_back({.container_id = inside, .host_id = own, .size = 1});
  return all;
}

Result<std::string> idmap_text(const std::vector<IdMapping>& mappings, std::string_view what) {
  if (mappings.empty()) return fail(EINVAL, fmt::format("{}: a new user namespace needs some", what));
  if (mappings.size() > most_ranges) return fail(EINVAL, fmt::format("{}: are more than {}", what, most_ranges));
  std::string text;
  for (const IdMapping& m : mappings) {
    if (m.size == 0) return fail(EINVAL, fmt::format("{}: a range of no ids", what));
    text += fmt::format("{} {} {}\n", m.container_id, m.host_id, m.size);
  }
  return text;
}

bool in_user_namespace() {
  const auto map = sys::read_path("/proc/self/uid_map");
  // Where it cannot be read, nothing is left out: what a user namespace may not do fails then, and is told.
  return map && sys::words(sys::trim(*map)) != std::vector<std::string_view>{"0", "0", "4294967295"};
}

Result<> write_idmaps(int proc, pid_t pid, const std::vector<IdMapping>& uids, const std::vector<IdMapping>& gids) {
  if (geteuid() != 0 && is_own(gids, getegid()))
    if (auto denied = sys::write_file(proc, fmt::format("{}/setgroups", pid), "deny"); !denied)
      return fail_errno(denied.error().code, "setgroups");
  CGX_CHECK(write_map(proc, pid, "gid_map", "newgidmap", gids, "linux.gidMappings"));
  return write_map(proc, pid, "uid_map", "newuidmap", uids, "linux.uidMappings");
}

}  // namespace cgx::container
