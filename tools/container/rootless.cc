// SPDX-License-Identifier: Apache-2.0
#include "rootless.h"

#include <array>
#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/supervise.h"
#include "cgx/container/user_namespace.h"
#include "cgx/sys/own_dir.h"
#include "cgx/sys/text.h"

namespace cgx::launcher {
namespace {

using Mappings = std::vector<container::IdMapping>;

// Programs that map ids for who may not are not there everywhere, and only the range of the caller itself needs none.
Result<> map_ids_of(pid_t pid, uid_t uid, gid_t gid) {
  const sys::Fd proc = CGX_TRY(container::host_proc());
  const Mappings uids = container::default_mappings("/etc/subuid", uid, uid, 0);
  const Mappings gids = container::default_mappings("/etc/subgid", uid, gid, 0);
  if (uids.size() > 1 && gids.size() > 1) {
    const auto mapped = container::write_idmaps(proc.get(), pid, uids, gids);
    if (mapped) return mapped;
    if (mapped.error().code != ENOENT) return mapped;
  }
  return container::write_idmaps(proc.get(), pid, {uids[0]}, {gids[0]});
}

Result<> keep_directories() {
  const std::string run = CGX_TRY(run_root()), data = CGX_TRY(data_root());
  // Whose they are is seen here: in the user namespace most owners have the same id.
  (void)CGX_TRY(sys::open_own_dir(run));
  (void)CGX_TRY(sys::open_own_dir(data));
  (void)setenv("CGX_RUN", run.substr(0, run.rfind('/')).c_str(), 1);
  (void)setenv("CGX_DATA", data.c_str(), 1);
  return {};
}

Result<> become_root_here() {
  if (setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0) return fail_errno(errno, "the ids of the user namespace");
  // What is mounted, and what is come back to, has to be of this user namespace.
  if (unshare(CLONE_NEWNS) != 0) return fail_errno(errno, "a mount namespace");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
    return fail_errno(errno, "the propagation of mounts");
  return {};
}

}  // namespace

Result<> enter_own_namespace() {
  if (geteuid() == 0) return {};
  CGX_CHECK(keep_directories());
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  sys::Fd from(ends[0]), to(ends[1]);
  // Only a process outside can map more than the caller's own id: a child that stays there.
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return fail_errno(errno, "fork");
  if (child == 0) {
    sys::close_all_but({STDERR_FILENO, from.get()});
    char byte = 0;
    if (read(from.get(), &byte, 1) != 1) _exit(0);
    const auto mapped = map_ids_of(parent, uid, gid);
    if (!mapped) {
      const std::string line = fmt::format("cgx: user namespace: {}\n", mapped.error().text());
      (void)!write(STDERR_FILENO, line.data(), line.size());
    }
    _exit(mapped ? 0 : 1);
  }
  const bool made = unshare(CLONE_NEWUSER) == 0;
  const int code = errno;
  if (made) (void)!write(to.get(), "x", 1);
  to.reset(-1);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  if (!made) {
    Error e = fail_errno(code, "a user namespace").error();
    e.hint = "without root a container needs one: sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone";
    return std::unexpected(std::move(e));
  }
  if (status != 0) return fail(EPERM, "the ids of the user namespace could not be mapped");
  CGX_CHECK(become_root_here());
  // Mounts need a mount namespace of that user namespace.
  if (unshare(CLONE_NEWNS) != 0) return fail_errno(errno, "a mount namespace");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
    return fail_errno(errno, "the propagation of mounts");
  return {};
}

Result<> enter_namespace_of(const Known& known) {
  if (geteuid() == 0) return {};
  CGX_CHECK(keep_directories());
  const Record& r = known.record;
  auto ns = container::open_in_proc(r.monitor, r.monitor_start, "ns/user", O_RDONLY);
  if (!ns) ns = container::open_in_proc(known.state.pid, known.state.pid_start, "ns/user", O_RDONLY);
  if (!ns) return enter_own_namespace();
  if (setns(ns->get(), CLONE_NEWUSER) != 0) return fail_errno(errno, "the user namespace of the container");
  return become_root_here();
}

}  // namespace cgx::launcher
