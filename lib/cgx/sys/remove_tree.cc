// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/remove_tree.h"

#include <cerrno>
#include <memory>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgx/sys/fd.h"

namespace cgx::sys {
namespace {

struct CloseDir {
  void operator()(DIR* dir) const { (void)closedir(dir); }
};

// Removes what it can of the directory's entries. Returns the name of a directory that is not empty, else an empty one.
Result<std::string> remove_entries(int dir) {
  const int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return fail_errno(errno, "cannot open a directory to remove it");
  const std::unique_ptr<DIR, CloseDir> list(fdopendir(copy));
  if (!list) {
    const int code = errno;
    (void)close(copy);
    return fail_errno(code, "cannot read a directory to remove it");
  }
  for (errno = 0; const dirent* entry = readdir(list.get()); errno = 0) {  // NOLINT(concurrency-mt-unsafe): its own
    std::string name = static_cast<const char*>(entry->d_name);
    if (name == "." || name == "..") continue;
    if (unlinkat(dir, name.c_str(), 0) == 0 || errno == ENOENT) continue;
    if (errno != EISDIR) return fail_errno(errno, "cannot remove " + name);
    if (unlinkat(dir, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) continue;
    if (errno != ENOTEMPTY && errno != EEXIST) return fail_errno(errno, "cannot remove " + name);
    return name;
  }
  if (errno != 0) return fail_errno(errno, "cannot read a directory to remove it");
  return std::string();
}

struct Step {
  std::string name;
  dev_t device = 0;  // of the directory that `name` is in
  ino_t inode = 0;
};

}  // namespace

Result<> remove_tree(int parent, const std::string& name) {
  if (unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR) return fail_errno(errno, "cannot remove " + name);
  if (unlinkat(parent, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return {};
  if (errno != ENOTEMPTY && errno != EEXIST) return fail_errno(errno, "cannot remove " + name);
  std::vector<Step> way;
  Fd at;  // the directory that the last step leads to
  const auto descend = [&](const std::string& into) -> Result<> {
    const int from = way.empty() ? parent : at.get();
    struct stat st{};
    if (fstat(from, &st) != 0) return fail_errno(errno, "stat");
    const int next = open_part(from, into.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (next < 0) return fail_errno(-next, "cannot open " + into);
    way.push_back({.name = into, .device = st.st_dev, .inode = st.st_ino});
    at.reset(next);
    return {};
  };
  CGX_CHECK(descend(name));
  while (true) {
    if (const std::string deeper = CGX_TRY(remove_entries(at.get())); !deeper.empty()) {
      CGX_CHECK(descend(deeper));
      continue;
    }
    const Step done = std::move(way.back());
    way.pop_back();
    Fd up;
    if (!way.empty()) {
      up.reset(openat(at.get(), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      struct stat st{};
      if (!up.valid() || fstat(up.get(), &st) != 0) return fail_errno(errno, "cannot open what is above " + done.name);
      if (st.st_dev != done.device || st.st_ino != done.inode) return fail_errno(ESTALE, done.name + " was moved");
    }
    if (unlinkat(way.empty() ? parent : up.get(), done.name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
      return fail_errno(errno, "cannot remove " + done.name);
    if (way.empty()) return {};
    at = std::move(up);
  }
}

Result<> remove_tree(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string above = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const auto parent = open_path(above, O_RDONLY | O_DIRECTORY);
  if (!parent && parent.error().code == ENOENT) return {};
  if (!parent) return fail_errno(parent.error().code, above);
  auto done = remove_tree(parent->get(), slash == std::string::npos ? path : path.substr(slash + 1));
  if (!done) done.error().what = path + ": " + done.error().text();
  return done;
}

}  // namespace cgx::sys
