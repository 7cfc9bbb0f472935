// SPDX-License-Identifier: Apache-2.0
#include "daemon/state_dir.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/file_lock.h"
#include "cgx/sys/own_dir.h"
#include "cgx/sys/text.h"

namespace cgx::daemon {
Result<StateDir> StateDir::open(const std::string& path) {
  auto dir = sys::open_own_dir(path, 0755);
  if (!dir) return std::unexpected(std::move(dir).error());
  // Beneath the directory, whose owner is known now.
  auto opened = sys::open_lock_file(dir->get(), "cgxd.lock");
  if (!opened) return fail_errno(opened.error().code, path + "/cgxd.lock");
  sys::Fd lock = std::move(*opened);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail_errno(errno, path + "/cgxd.lock");
    const auto holder = sys::read_all(lock.get(), 64);
    Error error{.code = EBUSY, .what = fmt::format("{} is in use by another cgxd", path)};
    if (holder && !holder->empty()) error.what += fmt::format(", pid {}", sys::trim(*holder));
    error.hint = "give this one another directory with --state";
    return std::unexpected(std::move(error));
  }
  const std::string pid = fmt::format("{}\n", getpid());
  if (ftruncate(lock.get(), 0) != 0 || pwrite(lock.get(), pid.data(), pid.size(), 0) < 0)
    return fail_errno(errno, path + "/cgxd.lock");
  return StateDir(path, std::move(*dir), std::move(lock));
}

Result<> StateDir::write(std::string_view name, std::string_view text) const {
  const std::string file(name);
  const std::string aside = file + ".new";
  const auto done = sys::replace_file(dir_.get(), file, text, {.mode = 0644, .aside = aside});
  if (!done) return fail_errno(done.error().code, path_ + "/" + file);
  return {};
}

Result<std::string> StateDir::read(std::string_view name) const {
  auto text = sys::read_file(dir_.get(), name);
  if (!text && text.error().code == ENOENT) return std::string();
  if (!text) return fail_errno(text.error().code, fmt::format("{}/{}", path_, name));
  return text;
}

void StateDir::remove(std::string_view name) const { (void)unlinkat(dir_.get(), std::string(name).c_str(), 0); }

}  // namespace cgx::daemon
