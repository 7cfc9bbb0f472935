// SPDX-License-Identifier: Apache-2.0
#include "daemon/files_watch.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

namespace cgx::daemon {
namespace {

// Entries that come, go or are written. Of the entries on the way only coming and going counts.
constexpr std::uint32_t coming = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;
constexpr std::uint32_t writing = IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB;

constexpr int most_links = 40;  // as the kernel follows

// Of a directory of policies: its policies, and what Kubernetes renames when a mounted ConfigMap changes.
bool is_policy(std::string_view name) { return name.ends_with(".yaml") || name.ends_with(".yml") || name == "..data"; }

}  // namespace

Result<FilesWatch> FilesWatch::open(std::vector<std::string> paths) {
  sys::Fd inotify(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!inotify.valid()) return fail_errno(errno, "inotify");
  FilesWatch watch(std::move(paths), std::move(inotify));
  watch.look();
  return watch;
}

void FilesWatch::add(const std::string& dir, const std::string& name) {
  const std::uint32_t mask = coming | writing | IN_ONLYDIR;
  const int wd = inotify_add_watch(inotify_.get(), dir.c_str(), mask);
  if (wd < 0) {
    if (errno != ENOENT && errno != ENOTDIR && lacks_.empty())
      lacks_ = fmt::format("{} is not watched: {}{}",
                           dir,
                           errno_text(errno),
                           errno == ENOSPC ? " (raise fs.inotify.max_user_watches)" : "");
    return;
  }
  Directory& directory = directories_[wd];
  if (name.empty())
    directory.policies = true;
  else if (std::find(directory.names.begin(), directory.names.end(), name) == directory.names.end())
    directory.names.push_back(name);
}

// Adding a watch twice is adding it once, so everything is gone through every time: a directory that was made again has
// another inode and gets another watch.
void FilesWatch::look() {
  lacks_.clear();
  for (const std::string& path : paths_) {
    add_way(path);
    add_links(path);
    struct stat status{};
    if (stat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) continue;
    add(path, "");
    std::error_code failed;
    for (const auto& entry : std::filesystem::directory_iterator(path, failed))
      if (is_policy(entry.path().filename().string()) && entry.is_symlink(failed)) add_links(entry.path().string());
  }
}

void FilesWatch::add_way(const std::string& path) {
  for (std::size_t slash = 0; slash != std::string::npos && slash + 1 < path.size();) {
    const std::size_t next = path.find('/', slash + 1);
    add(slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1, next - slash - 1));
    slash = next;
  }
}

// A change of the file that a link names is an event of that file's directory, not of the link's.
void FilesWatch::add_links(std::string path) {
  for (int links = 0; links < most_links; ++links) {
    std::error_code failed;
    const std::filesystem::path target = std::filesystem::read_symlink(path, failed);
    if (failed) return;
    path = (std::filesystem::path(path).parent_path() / target).lexically_normal().string();
    add_way(path);
  }
}

bool FilesWatch::read() {
  bool concerned = false;
  alignas(inotify_event) std::array<char, 16384> buffer{};
  for (;;) {
    const ssize_t n = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (n <= 0) break;
    for (std::size_t at = 0; at < static_cast<std::size_t>(n);) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      const char* const text = buffer.data() + at + sizeof event;
      const std::string name(text, strnlen(text, event.len));
      at += sizeof event + event.len;
      if ((event.mask & IN_Q_OVERFLOW) != 0) concerned = true;
      const auto found = directories_.find(event.wd);
      if (found == directories_.end()) continue;
      if ((event.mask & IN_IGNORED) != 0) {
        directories_.erase(found);
        continue;
      }
      const Directory& directory = found->second;
      // A directory on the way is told of all that happens in it, /tmp of very much.
      concerned = concerned || (directory.policies && is_policy(name)) ||
                  std::find(directory.names.begin(), directory.names.end(), name) != directory.names.end();
    }
  }
  if (concerned) look();
  return concerned;
}

}  // namespace cgx::daemon
