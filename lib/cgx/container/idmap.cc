// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/idmap.h"

#include <cerrno>
#include <limits>
#include <string>

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

constexpr std::uint64_t most_id = std::numeric_limits<std::uint32_t>::max();

// A process that does nothing, in a user namespace of its own. Ends with this object.
class Sleeper {
 public:
  Sleeper() {
    // As fork(), with the namespace. The child has a copy of the memory and makes system calls only.
    clone_args args{};
    args.flags = CLONE_NEWUSER;
    args.exit_signal = SIGCHLD;
    const pid_t parent = getpid();
    pid_ = static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
    if (pid_ != 0) return;
    sys::close_all_but({});
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0);  // it has ended before that
    while (true) (void)pause();
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  ~Sleeper() {
    if (pid_ <= 0) return;
    (void)kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

std::string map_text(const std::vector<IdMapping>& mappings) {
  std::string text;
  for (const IdMapping& m : mappings)
    text += std::to_string(m.container_id) + " " + std::to_string(m.host_id) + " " + std::to_string(m.size) + "\n";
  return text;
}

Result<IdMapping> parse_range(std::string_view text, const std::vector<IdMapping>& container) {
  const bool relative = text.starts_with('@');
  const auto parts = sys::split(relative ? text.substr(1) : text, '-');
  if (parts.size() != 3) return bad_value(text, "is not FROM-TO-SIZE");
  IdMapping range;
  range.container_id = static_cast<std::uint32_t>(CGX_TRY(sys::parse_u64(parts[0], 0, most_id)));
  range.host_id = static_cast<std::uint32_t>(CGX_TRY(sys::parse_u64(parts[1], 0, most_id)));
  range.size = static_cast<std::uint32_t>(CGX_TRY(sys::parse_u64(parts[2], 1, most_id)));
  if (!relative) return range;
  for (const IdMapping& m : container) {
    if (range.host_id < m.container_id || range.host_id - m.container_id >= m.size) continue;
    const std::uint32_t offset = range.host_id - m.container_id;
    if (m.size - offset < range.size) break;
    range.host_id = m.host_id + offset;
    return range;
  }
  return bad_value(text, "is not within one mapping of the container");
}

}  // namespace

Result<sys::Fd> mapping_namespace(const IdMaps& maps) {
  if (maps.uids.empty() || maps.gids.empty())
    return fail(EINVAL, "an idmapped mount needs mappings of users and of groups, of the mount or of the container");
  const Sleeper sleeper;
  if (sleeper.pid() < 0) return fail_errno(errno, "cannot make a user namespace");
  // The process is this one's child and not waited for, so the number is its.
  const sys::Fd proc = CGX_TRY(sys::open_path("/proc/" + std::to_string(sleeper.pid()), O_PATH | O_DIRECTORY));
  CGX_CHECK(located(sys::write_file(proc.get(), "uid_map", map_text(maps.uids)), "", "uidMappings"));
  CGX_CHECK(located(sys::write_file(proc.get(), "gid_map", map_text(maps.gids)), "", "gidMappings"));
  sys::Fd ns(openat(proc.get(), "ns/user", O_RDONLY | O_CLOEXEC));
  if (!ns.valid()) return fail_errno(errno, "ns/user");
  return ns;
}

Result<IdMaps> parse_id_map(std::string_view text, const IdMaps& container) {
  IdMaps maps;
  for (const std::string_view part : sys::split(text, ';')) {
    const auto [key, ranges] = CGX_TRY(sys::parse_pair(part));
    if (key != "uids" && key != "gids") return bad_value(part, "is neither uids=... nor gids=...");
    for (const std::string_view range : sys::split(ranges, '#')) {
      if (range.empty()) continue;
      if (key == "uids")
        maps.uids.push_back(CGX_TRY(parse_range(range, container.uids)));
      else
        maps.gids.push_back(CGX_TRY(parse_range(range, container.gids)));
    }
  }
  return maps;
}

}  // namespace cgx::container
