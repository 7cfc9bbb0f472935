// SPDX-License-Identifier: Apache-2.0
#include "layer.h"

#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/boot.h"
#include "cgx/sys/file_lock.h"
#include "cgx/sys/own_dir.h"
#include "cgx/sys/remove_tree.h"
#include "cgx/sys/text.h"

namespace cgx::launcher {
namespace {

constexpr const char* user_file = "user";

// DATA/containers, locked: nobody else takes or removes a layer meanwhile.
Result<sys::Fd> lock_all(const Layer& layer, Result<sys::Fd> all) {
  if (!all) return all;
  if (auto locked = sys::lock_file(all->get(), LOCK_EX, "taking or removing layers"); !locked) {
    locked.error().what = fmt::format("{}/containers: {}", layer.data_root, locked.error().what);
    return std::unexpected(std::move(locked).error());
  }
  return all;
}

std::unexpected<Error> in_use(const Layer& layer, std::string reason, std::string hint = {}) {
  Error e{.code = EBUSY, .what = fmt::format("layer {} is in use: {}", layer.path(), reason)};
  e.hint = std::move(hint);
  return std::unexpected(std::move(e));
}

Result<> check_in(int all, const Layer& layer, bool own_lock) {
  const sys::Fd dir(openat(all, layer.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!dir.valid())
    return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? Result<>() : fail_errno(errno, layer.path());
  const sys::Fd file(openat(dir.get(), user_file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.valid()) return errno == ENOENT ? Result<>() : fail_errno(errno, layer.path() + "/" + user_file);
  const std::string text = CGX_TRY(sys::read_all(file.get(), 16384));
  const auto lines = sys::lines(text);
  const std::string theirs(lines.empty() ? std::string_view() : lines[0]);
  if (!own_lock && flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return fail_errno(errno, "lock " + layer.path() + "/" + user_file);
    return in_use(layer, fmt::format("the monitor of container {} with its record in {} runs", layer.name, theirs));
  }
  struct stat here{};
  struct stat there{};
  if (stat(layer.run_root.c_str(), &here) != 0) return fail_errno(errno, layer.run_root);
  const std::string hint = fmt::format("CGX_RUN={} names that directory", theirs.substr(0, theirs.rfind('/')));
  if (stat(theirs.c_str(), &there) == 0) {
    if (here.st_dev == there.st_dev && here.st_ino == there.st_ino) return {};
    if (fstatat(AT_FDCWD, (theirs + "/" + layer.name).c_str(), &there, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
      return {};
    return in_use(layer, fmt::format("container {} has its record in {}", layer.name, theirs), hint);
  }
  if (errno != ENOENT) return in_use(layer, fmt::format("its record is in {}: {}", theirs, errno_text(errno)));
  // Another mount namespace may have that directory, such as a service with a /tmp of its own; not after a boot.
  if (lines.size() > 1 && theirs != layer.run_root && lines[1] == CGX_TRY(sys::boot_id()))
    return in_use(layer, fmt::format("its record is in {}, which does not exist here, since this boot", theirs));
  return {};
}

}  // namespace

Result<sys::Fd> claim_layer(const Layer& layer) {
  const sys::Fd all = CGX_TRY(lock_all(layer, sys::open_own_dir(layer.data_root + "/containers")));
  if (auto unused = check_in(all.get(), layer, false); !unused) {
    if (unused.error().code == EBUSY) unused.error().code = EEXIST;
    return std::unexpected(std::move(unused).error());
  }
  const std::string boot = CGX_TRY(sys::boot_id());
  CGX_CHECK(sys::remove_tree(all.get(), layer.name));
  if (mkdirat(all.get(), layer.name.c_str(), 0700) != 0) return fail_errno(errno, "mkdir " + layer.path());
  sys::Fd file(openat(all.get(),
                      fmt::format("{}/{}", layer.name, user_file).c_str(),
                      O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                      0600));
  Result<> noted = file.valid() ? sys::write_fd(file.get(), fmt::format("{}\n{}\n", layer.run_root, boot))
                                : fail_errno(errno, "open");
  if (noted && flock(file.get(), LOCK_EX | LOCK_NB) != 0) noted = fail_errno(errno, "flock");
  if (noted) return file;
  (void)sys::remove_tree(all.get(), layer.name);  // such as on a full disk: nobody else would
  return fail(noted.error().code, fmt::format("{}/{}: {}", layer.path(), user_file, noted.error().text()));
}

Result<> check_unused(const Layer& layer, bool own_lock) {
  const auto all = sys::find_own_dir(layer.data_root + "/containers");
  if (!all) return all.error().code == ENOENT ? Result<>() : std::unexpected(all.error());
  return check_in(all->get(), layer, own_lock);
}

Result<> remove_layer(const Layer& layer, bool own_lock) {
  const auto all = lock_all(layer, sys::find_own_dir(layer.data_root + "/containers"));
  if (!all) return all.error().code == ENOENT ? Result<>() : std::unexpected(all.error());
  CGX_CHECK(check_in(all->get(), layer, own_lock));
  auto done = sys::remove_tree(all->get(), layer.name);
  if (!done) done.error().what = fmt::format("{}: {}", layer.path(), done.error().text());
  return done;
}

}  // namespace cgx::launcher
