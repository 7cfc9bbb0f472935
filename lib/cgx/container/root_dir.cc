// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/root_dir.h"

#include <array>
#include <cerrno>
#include <climits>
#include <deque>
#include <vector>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cgx/container/mount_calls.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

constexpr int most_links = 40;      // as the kernel's own walk
constexpr int most_attempts = 128;  // EAGAIN: somebody renames while `..` is resolved

std::string join(const std::vector<std::string>& parts) {
  std::string path = "/";
  for (const std::string& part : parts) {
    if (path.size() > 1) path += '/';
    path += part;
  }
  return path;
}

void push_front(std::deque<std::string>& parts, std::string_view path) {
  const auto words = sys::split(path, '/');
  for (auto word = words.rbegin(); word != words.rend(); ++word) parts.emplace_front(*word);
}

Result<std::string> read_link(int dir, const std::string& name) {
  std::array<char, PATH_MAX> text{};
  const ssize_t n = readlinkat(dir, name.c_str(), text.data(), text.size());
  if (n < 0) return fail_errno(errno, name);
  return std::string(text.data(), static_cast<std::size_t>(n));
}

// EEXIST is no error: the walk looks again at what is there now.
Result<bool> make_part(int dir, const std::string& name, NewKind kind) {
  CGX_CHECK(sys::mutation(kind == NewKind::directory ? "mkdir" : "create", name));
  if (kind == NewKind::directory) {
    if (mkdirat(dir, name.c_str(), 0755) == 0) return true;
  } else {
    const sys::Fd file(openat(dir, name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (file.valid()) return true;
  }
  if (errno == EEXIST) return false;
  return fail_errno(errno, "cannot make \"" + name + "\"");
}

// Component by component, from the root each time: a directory that is exchanged for a link meanwhile is an error.
Result<Target> make_slowly(int root, const std::string& path, NewKind kind, Links links) {
  std::vector<std::string> here;
  std::deque<std::string> rest;
  push_front(rest, path);
  Target target;
  for (int followed = 0; !rest.empty();) {
    const std::string name = std::move(rest.front());
    rest.pop_front();
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      if (!here.empty()) here.pop_back();
      continue;
    }
    bool last = true;
    for (const std::string& part : rest) last = last && (part.empty() || part == ".");
    const sys::Fd parent = CGX_TRY(open_in_root(root, join(here), O_PATH | O_DIRECTORY, Links::refuse));
    struct stat st{};
    if (fstatat(parent.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno != ENOENT) return fail_errno(errno, join(here) + "/" + name);
      const bool made = CGX_TRY(make_part(parent.get(), name, last ? kind : NewKind::directory));
      if (!made && ++followed > most_links) return fail(EAGAIN, "\"" + path + "\" is changed by somebody all the time");
      if (!made) rest.push_front(name);
      if (!made) continue;
      target.made = last;
      here.push_back(name);
    } else if (S_ISLNK(st.st_mode) && !(last && links == Links::last_not)) {
      if (links == Links::refuse || ++followed > most_links) return fail_errno(ELOOP, path);
      const std::string text = CGX_TRY(read_link(parent.get(), name));
      if (text.starts_with('/')) here.clear();
      push_front(rest, text);
    } else {
      here.push_back(name);
    }
  }
  const int flags = O_PATH | (kind == NewKind::directory ? O_DIRECTORY : 0);
  target.fd =
      CGX_TRY(open_in_root(root, join(here), flags, links == Links::last_not ? Links::last_not : Links::refuse));
  return target;
}

}  // namespace

Result<sys::Fd> open_in_root(int root, const std::string& path, int flags, Links links) {
  if (path.find('\0') != std::string::npos) return fail(EINVAL, "path has a NUL byte");
  open_how how{};
  how.flags = static_cast<unsigned>(flags) | O_CLOEXEC | (links == Links::last_not ? O_NOFOLLOW : 0U);
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (links == Links::refuse ? RESOLVE_NO_SYMLINKS : 0U);
  long fd = -1;
  for (int attempt = 0; attempt < most_attempts; ++attempt) {
    fd = syscall(SYS_openat2, root, path.empty() ? "/" : path.c_str(), &how, sizeof how);
    if (fd >= 0) return sys::Fd(static_cast<int>(fd));
    if (errno != EINTR && errno != EAGAIN) break;
  }
  if (errno == ENOSYS) return fail(ENOTSUP, "openat2(2), which resolves paths below the root, is not supported here");
  return fail_errno(errno, path);
}

Result<Target> make_in_root(int root, const std::string& path, NewKind kind, Links links) {
  const int flags = O_PATH | (kind == NewKind::directory ? O_DIRECTORY : 0);
  auto fd = open_in_root(root, path, flags, links);
  if (fd) return Target{*std::move(fd), false};
  if (fd.error().code != ENOENT) return std::unexpected(std::move(fd).error());
  return make_slowly(root, path, kind, links);
}

std::string clean_path(const std::string& path) {
  std::vector<std::string> parts;
  for (const std::string_view part : sys::split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..")
      parts.emplace_back(part);
    else if (!parts.empty())
      parts.pop_back();
  }
  return join(parts);
}

Result<Split> split_path(const std::string& path) {
  const std::size_t end = path.find_last_not_of('/');
  if (end == std::string::npos) return bad_value(path, "names the root");
  const std::size_t slash = path.rfind('/', end);
  const std::size_t begin = slash == std::string::npos ? 0 : slash + 1;
  Split split{begin == 0 ? "/" : path.substr(0, begin), path.substr(begin, end + 1 - begin)};
  if (split.name == "." || split.name == "..") return bad_value(path, "is no name of a file");
  return split;
}

Result<> attach(int root, int tree, int target, const std::string& path, Links links) {
  CGX_CHECK(move_tree(tree, target));
  const sys::Fd there = CGX_TRY(open_in_root(root, path, O_PATH, links));
  if (CGX_TRY(mount_id(there.get())) != CGX_TRY(mount_id(tree)))
    return fail(EXDEV, "\"" + path + "\" was exchanged: it is not mounted where it was meant");
  return {};
}

}  // namespace cgx::container
