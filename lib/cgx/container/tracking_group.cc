// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/tracking_group.h"

#include <cerrno>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgx/cgroupfs/presence.h"
#include "cgx/sys/fd.h"

namespace cgx::container {
namespace {

const Hierarchy* tracking(const Hierarchies& hierarchies) {
  for (const Hierarchy& h : hierarchies.named())
    if (h.mount().name == "systemd") return &h;
  return nullptr;
}

Result<> remove_below(int parent, const char* name) {
  const sys::Fd dir(openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!dir.valid()) return errno == ENOENT ? Result<>() : fail_errno(errno, name);
  const std::unique_ptr<DIR, int (*)(DIR*)> list(fdopendir(fcntl(dir.get(), F_DUPFD_CLOEXEC, 3)), &closedir);
  if (list == nullptr) return fail_errno(errno, name);
  while (const dirent* each = readdir(list.get()))
    if (each->d_type == DT_DIR && each->d_name[0] != '.') CGX_CHECK(remove_below(dir.get(), &each->d_name[0]));
  if (unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT) return fail_errno(errno, name);
  return {};
}

}  // namespace

Result<std::vector<std::string>> missing_tracking_groups(const Hierarchies& hierarchies, const std::string& group) {
  std::vector<std::string> missing;
  const Hierarchy* h = tracking(hierarchies);
  if (h == nullptr) return missing;
  for (std::string_view name = group; !name.empty() && !CGX_TRY(is_in(*h, name)); name = parent_of(name))
    missing.emplace_back(name);
  return missing;
}

Result<> make_tracking_group(const Hierarchies& hierarchies, const std::string& group) {
  const Hierarchy* h = tracking(hierarchies);
  if (h == nullptr) return {};
  const int root = CGX_TRY(h->root());
  for (std::size_t end = 0; end != std::string::npos;) {
    end = group.find('/', end + 1);
    const std::string part = group.substr(0, end);
    CGX_CHECK(sys::mutation("mkdir", part));
    if (mkdirat(root, part.c_str(), 0755) == 0 || errno == EEXIST) continue;
    if (errno == EACCES || errno == EPERM || errno == EROFS) return {};
    return fail_errno(errno, h->path(part));
  }
  return {};
}

Result<> remove_directory(const Hierarchy& h, const std::string& group) {
  return remove_below(CGX_TRY(h.root()), group.c_str());
}

Result<> remove_tracking_group(const Hierarchies& hierarchies, const std::string& group) {
  const Hierarchy* h = tracking(hierarchies);
  if (h == nullptr || group.empty()) return {};
  auto removed = remove_directory(*h, group);
  if (!removed && (removed.error().code == EACCES || removed.error().code == EROFS)) return {};
  return located(std::move(removed), shown(group), h->label());
}

void remove_empty_tracking_groups(const Hierarchies& hierarchies, const std::vector<std::string>& groups) {
  const Hierarchy* h = tracking(hierarchies);
  const auto root = h != nullptr ? h->root() : Result<int>(-1);
  if (h == nullptr || !root) return;
  for (const std::string& group : groups)
    if (unlinkat(*root, group.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) return;
}

}  // namespace cgx::container
