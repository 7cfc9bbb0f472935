// SPDX-License-Identifier: Apache-2.0
#include "cgx/image/paths.h"

#include <array>
#include <cerrno>
#include <climits>
#include <deque>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cgx/sys/text.h"

namespace cgx::image {
namespace {

constexpr int most_links_followed = 40;  // as the kernel's own walk

bool is_link(int parent, const std::string& name) {
  struct stat st{};
  return fstatat(parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

Result<std::string> link_text(int parent, const std::string& name) {
  std::array<char, PATH_MAX> text{};
  const ssize_t n = readlinkat(parent, name.c_str(), text.data(), text.size());
  if (n < 0) return fail_errno(errno, "cannot read the link " + name);
  return std::string(text.data(), static_cast<std::size_t>(n));
}

}  // namespace

Result<std::vector<std::string>> path_parts(std::string_view path) {
  if (path.empty()) return fail(EINVAL, "is empty");
  if (path.size() > PATH_MAX) return fail(EINVAL, "is longer than 4096 bytes");
  std::vector<std::string> parts;
  for (const std::string_view part : sys::split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return fail(EINVAL, "has a part \"..\"");
    if (part.size() > NAME_MAX) return fail(EINVAL, "has a part that is longer than 255 bytes");
    parts.emplace_back(part);
  }
  return parts;
}

std::string joined(const std::vector<std::string>& parts, std::size_t count) {
  std::string path;
  for (std::size_t i = 0; i < count; ++i) {
    if (i != 0) path += '/';
    path += parts[i];
  }
  return path;
}

Result<sys::Fd> open_directory_in(int root, const std::string& path) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(O_PATH | O_DIRECTORY | O_CLOEXEC);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  long fd = -1;
  do fd = syscall(SYS_openat2, root, path.empty() ? "." : path.c_str(), &how, sizeof how);
  while (fd < 0 && (errno == EINTR || errno == EAGAIN));
  if (fd >= 0) return sys::Fd(static_cast<int>(fd));
  if (errno == ENOSYS) return fail(ENOTSUP, "openat2(2), which keeps paths below a root, is not supported here");
  return fail(errno, errno_text(errno));
}

// Part by part, each opened from the one above it. Where a link is in the way, its text takes its place; an absolute
// one, and "..", begin at the root again, as nothing may be above it.
Result<sys::Fd> make_directory_in(int root, const std::vector<std::string>& parts, const Making& making) {
  auto there = open_directory_in(root, joined(parts, parts.size()));
  if (there || (there.error().code != ENOENT && there.error().code != ENOTDIR)) return there;
  std::vector<std::string> here;
  std::deque<std::string> rest(parts.begin(), parts.end());
  sys::Fd at = CGX_TRY(open_directory_in(root, ""));
  for (int followed = 0; !rest.empty();) {
    const std::string name = std::move(rest.front());
    rest.pop_front();
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      if (!here.empty()) here.pop_back();
      at = CGX_TRY(open_directory_in(root, joined(here, here.size())));
      continue;
    }
    if (is_link(at.get(), name)) {
      if (++followed > most_links_followed) return fail(ELOOP, "leads through too many symbolic links");
      const std::string text = CGX_TRY(link_text(at.get(), name));
      const auto words = sys::split(text, '/');
      for (auto word = words.rbegin(); word != words.rend(); ++word) rest.emplace_front(*word);
      if (text.starts_with('/')) {
        here.clear();
        at = CGX_TRY(open_directory_in(root, ""));
      }
      continue;
    }
    sys::Fd next(openat(at.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next.valid()) {
      if (errno == ENOTDIR && !CGX_TRY(making.replace(at.get(), name)))
        return fail(ENOTDIR, "leads through \"" + name + "\", which is no directory");
      if (mkdirat(at.get(), name.c_str(), 0755) != 0) return fail_errno(errno, "cannot make the directory " + name);
      if (fchmodat(at.get(), name.c_str(), 0755, 0) != 0) return fail_errno(errno, name);  // whatever the umask is
      CGX_CHECK(making.made(at.get(), name));
      next.reset(openat(at.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!next.valid()) return fail_errno(errno, name);
    }
    at = std::move(next);
    here.push_back(name);
  }
  return at;
}

}  // namespace cgx::image
