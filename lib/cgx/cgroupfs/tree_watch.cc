// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/tree_watch.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ranges>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/presence.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

using Change = TreeEvent::Change;

// v2 directories are not watched for IN_MODIFY: what it means there, POLLPRI on the file tells earlier.
std::uint32_t mask_of(const Hierarchy& h) {
  const std::uint32_t mask = IN_CREATE | IN_DELETE | IN_ONLYDIR;
  return h.version() == Version::v1 ? mask | IN_MODIFY : mask;
}

// Whether no usable group has this name. EXDEV: something else is mounted over its directory.
bool no_group(const Error& error) { return says_absent(error) || error.code == EXDEV; }

std::string no_nul(const char* name, std::size_t length) { return {name, strnlen(name, length)}; }

}  // namespace

Result<TreeWatch> TreeWatch::open(const Hierarchies& hierarchies) {
  sys::Fd fd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (fd.valid()) return TreeWatch(hierarchies, std::move(fd));
  auto error = fail_errno(errno, "inotify");
  if (error.error().code == EMFILE) error.error().hint = "see the sysctl fs.inotify.max_user_instances, and ulimit -n";
  return error;
}

short TreeWatch::poll_events() const { return POLLIN; }

// 0: it is not there.
Result<ino_t> TreeWatch::inode(const Hierarchy& h, std::string_view group) const {
  const auto dir = sys::open_beneath(CGX_TRY(h.root()), group, O_PATH | O_DIRECTORY);
  if (!dir) return no_group(dir.error()) ? Result<ino_t>(0) : std::unexpected(dir.error());
  struct stat st{};
  if (fstat(dir->get(), &st) != 0) return fail_errno(errno, "fstat");
  return st.st_ino;
}

void TreeWatch::note(const Error& error) {
  if (!trouble_) trouble_ = error;
}

Result<int> TreeWatch::add_inotify(const std::string& group, const std::string& path, std::uint32_t mask) {
  const int wd = inotify_add_watch(inotify_.get(), path.c_str(), mask | IN_MASK_ADD);
  if (wd >= 0) return wd;
  const int code = errno;
  auto error = fail_errno(code, "inotify");
  error.error().group = shown(group);
  if (code == ENOSPC) {
    error.error().what = "inotify takes no more directories";
    error.error().hint = "raise the sysctl fs.inotify.max_user_watches";
  }
  return error;
}

Result<> TreeWatch::watch_dir(const Hierarchy& h, const std::string& group, int dir, bool below) {
  // By the descriptor, so that it is the directory that was looked at, whatever its name means now.
  const std::string path = fmt::format("/proc/self/fd/{}", dir);
  const int wd = CGX_TRY(add_inotify(group, path, mask_of(h)));
  Directory& directory = directories_.try_emplace(wd, Directory{&h, group}).first->second;
  directory.below = directory.below || below;
  if (h.version() == Version::v1) return {};
  // On v2 a write to this file makes files like memory.events come and go in the groups below.
  const auto control = add_inotify(group, path + "/cgroup.subtree_control", IN_MODIFY);
  if (!control) return control.error().code == ENOENT ? Result<>{} : Result<>(std::unexpected(control.error()));
  directories_.try_emplace(*control, Directory{.hierarchy = &h, .group = group, .control = true});
  return {};
}

// The parent's directory shows the removal. The v1 freezer shows in its own file alone that a group is told to freeze,
// and all below it freeze.
std::vector<std::string_view> TreeWatch::above(const Hierarchy& h, std::string_view group) {
  const bool freezer = h.version() == Version::v1 && h.controllers().has(Controller::freezer);
  std::vector<std::string_view> names;
  while (!group.empty() && (freezer || names.empty())) names.push_back(group = parent_of(group));
  return names;
}

// Watches the groups above; their inodes, 0 where there is none.
Result<std::vector<ino_t>> TreeWatch::watch_above(const Hierarchy& h, std::string_view group) {
  std::vector<ino_t> inodes;
  for (const std::string_view name : above(h, group)) {
    const auto dir = sys::open_beneath(CGX_TRY(h.root()), name, O_PATH | O_DIRECTORY);
    if (!dir && !no_group(dir.error()))
      return located(Result<std::vector<ino_t>>(std::unexpected(dir.error())), shown(name));
    struct stat st{};
    if (dir) CGX_CHECK(watch_dir(h, std::string(name), dir->get(), false));
    if (dir && fstat(dir->get(), &st) != 0) return fail_errno(errno, "fstat");
    inodes.push_back(st.st_ino);
  }
  return inodes;
}

// Notes the group's directory in `h` and watches it; its children too for Depth::below. False: it is not there. After
// an error it goes on with the others. The length of names bounds how deep it goes.
Result<bool> TreeWatch::enter(const Hierarchy& h,
                              const std::string& group,
                              Depth depth,
                              std::vector<TreeEvent>* events) {
  if (group.size() >= PATH_MAX) return false;
  const auto dir = sys::open_beneath(CGX_TRY(h.root()), group, O_RDONLY | O_DIRECTORY);
  if (!dir)
    return no_group(dir.error()) ? Result<bool>(false)
                                 : located(Result<bool>(std::unexpected(dir.error())), shown(group));
  struct stat st{};
  if (fstat(dir->get(), &st) != 0) return located(Result<bool>(fail_errno(errno, "fstat")), shown(group));
  if (const auto known = groups_.find(group); known != groups_.end() && events != nullptr) {
    const ino_t old = known->second.inodes[h.index()];
    if (old == st.st_ino) return true;
    if (old != 0) leave(h, known, *events);  // another one has taken its place
  }
  // Children may come at any time: watch first, then list.
  Result<bool> done = true;
  if (depth == Depth::below || h.version() == Version::v1)
    if (auto watched = watch_dir(h, group, dir->get(), depth == Depth::below); !watched)
      done = std::unexpected(std::move(watched).error());
  auto [entry, fresh] = groups_.try_emplace(group);
  entry->second.inodes.resize(hierarchies_->all().size());
  entry->second.inodes[h.index()] = st.st_ino;
  if (fresh || depth == Depth::below) entry->second.depth = depth;
  if (events != nullptr) events->push_back({std::chrono::system_clock::now(), entry->first, Change::appeared, fresh});
  // kernfs counts subdirectories: 2 is none. Counted anew, since one may have come before the watch.
  if (depth != Depth::below || (st.st_nlink == 2 && fstat(dir->get(), &st) == 0 && st.st_nlink == 2)) return done;
  const auto children = sys::list_dir(dir->get(), "", sys::Entries::directories);
  if (!children)
    return no_group(children.error()) ? done : located(Result<bool>(std::unexpected(children.error())), shown(group));
  for (const std::string& child : *children)
    if (auto entered = enter(h, child_of(group, child), depth, events); !entered && done)
      done = std::unexpected(std::move(entered).error());
  return done;
}

Result<> TreeWatch::add_in(const Hierarchy& h, const std::string& group, Depth depth) {
  constexpr int most_tries = 100;
  for (int tries = 0; tries < most_tries; ++tries) {
    // Above before the look, so that a removal in between is in the queue.
    const auto watched = watch_above(h, group);
    const auto entered = enter(h, group, depth, nullptr);
    if (!watched) return std::unexpected(watched.error());
    if (!entered) return std::unexpected(entered.error());
    // Unless another one has taken the place of what is watched above.
    std::vector<ino_t> now;
    for (const std::string_view name : above(h, group)) now.push_back(CGX_TRY(inode(h, name)));
    if (now == *watched) return {};
  }
  return located(Result<>(fail(EAGAIN, "the groups above it are made anew all the time")), shown(group));
}

Result<> TreeWatch::add(const std::string& group, Depth depth) {
  Result<> done;
  for (const Hierarchy& h : hierarchies_->all())
    if (auto added = add_in(h, group, depth); !added && done) done = std::move(added);
  return done;
}

Result<> TreeWatch::await(const std::string& group) {
  awaited_.insert(group);
  std::vector<std::string_view> chain;
  for (std::string_view above = group; !above.empty(); chain.push_back(above)) above = parent_of(above);
  for (const Hierarchy& h : hierarchies_->all())
    // From the root down: a group that is not there yet when it is looked for is made below one that is watched.
    for (const std::string_view above : chain | std::views::reverse) {
      const auto dir = sys::open_beneath(CGX_TRY(h.root()), above, O_PATH | O_DIRECTORY);
      if (!dir && no_group(dir.error())) break;
      if (!dir) return located(Result<>(std::unexpected(dir.error())), shown(above));
      const std::string path = fmt::format("/proc/self/fd/{}", dir->get());
      const int wd = CGX_TRY(add_inotify(std::string(above), path, IN_CREATE | IN_DELETE | IN_ONLYDIR));
      directories_.try_emplace(wd, Directory{&h, std::string(above)});
    }
  return {};
}

// The name of the event is part of the awaited one, which stays.
void TreeWatch::note_made(const std::string& group, std::vector<TreeEvent>& events) const {
  auto at = awaited_.find(group);
  if (at == awaited_.end()) {
    at = awaited_.lower_bound(group + '/');
    if (at == awaited_.end() || !at->starts_with(group + '/')) return;
  }
  events.push_back(
      {std::chrono::system_clock::now(), std::string_view(*at).substr(0, group.size()), Change::appeared, true});
}

std::vector<std::string> TreeWatch::groups() const {
  std::vector<std::string> names;
  names.reserve(groups_.size());
  for (const auto& [name, group] : groups_) names.push_back(name);
  return names;
}

void TreeWatch::leave(const Hierarchy& h, Groups::iterator group, std::vector<TreeEvent>& events) {
  std::vector<ino_t>& inodes = group->second.inodes;
  inodes[h.index()] = 0;
  if (std::ranges::any_of(inodes, [](ino_t i) { return i != 0; })) return;
  events.push_back({std::chrono::system_clock::now(), group->first, Change::removed, false});
  left_.push_back(groups_.extract(group));
}

// A write to one of the files that matter. Freezing reaches the groups below. A process that comes into a group counts
// for those above, and may have come from one below. Where the group is in a v2 tree too, that tree tells of its
// processes.
void TreeWatch::note_write(const Directory& directory, std::string_view file) {
  if (directory.control) {
    for (auto& [name, group] : groups_)
      if (!name.empty() && parent_of(name) == directory.group) group.enabled = true;
    return;
  }
  const bool freezer = file == "freezer.state";
  if (!freezer && file != "cgroup.procs" && file != "tasks") return;
  const Hierarchy* v2 = hierarchies_->unified();
  const std::string& at = directory.group;
  for (auto& [name, group] : groups_) {
    const bool within = at.empty() || name == at || (name.starts_with(at) && name[at.size()] == '/');
    const bool around = at.starts_with(name) && at.size() > name.size() && at[name.size()] == '/';
    const bool counted = freezer || v2 == nullptr || group.inodes[v2->index()] == 0;
    if ((within || around) && counted) group.written = true;
  }
}

void TreeWatch::look_again(std::vector<TreeEvent>& events) {
  for (const std::string& name : groups())
    for (const Hierarchy& h : hierarchies_->all()) {
      const auto group = groups_.find(name);
      if (group == groups_.end()) break;
      const ino_t known = group->second.inodes[h.index()];
      if (known == 0) continue;
      const auto now = inode(h, name);
      if (!now)
        note(now.error());
      else if (*now != known)
        leave(h, group, events);
    }
  std::vector<Directory> parents;
  for (const auto& [wd, directory] : directories_)
    if (directory.below) parents.push_back(directory);
  for (const Directory& p : parents) {
    const auto root = p.hierarchy->root();
    const auto dir = root ? sys::open_beneath(*root, p.group, O_RDONLY | O_DIRECTORY) : std::unexpected(root.error());
    const auto children = dir ? sys::list_dir(dir->get(), "", sys::Entries::directories) : std::unexpected(dir.error());
    if (!children && !no_group(children.error())) note(children.error());
    if (!children) continue;  // went meanwhile; its parent tells
    for (const std::string& child : *children)
      if (const auto entered = enter(*p.hierarchy, child_of(p.group, child), Depth::below, &events); !entered)
        note(entered.error());
  }
  for (const std::string& name : awaited_) note_made(name, events);
  for (auto& [name, group] : groups_) group.written = group.enabled = true;
}

Result<std::vector<TreeEvent>> TreeWatch::read() {
  std::vector<TreeEvent> events;
  left_.clear();
  trouble_.reset();
  alignas(inotify_event) std::array<char, 16384> buffer;
  while (true) {
    const ssize_t size = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN) break;
    if (size < 0) return fail_errno(errno, "inotify");
    for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(size);) {
      inotify_event e;
      std::memcpy(&e, buffer.data() + at, sizeof e);
      const std::string name = no_nul(buffer.data() + at + sizeof e, e.len);
      at += sizeof e + e.len;
      if ((e.mask & IN_Q_OVERFLOW) != 0) {
        look_again(events);
        continue;
      }
      const auto found = directories_.find(e.wd);
      if (found == directories_.end()) continue;
      if ((e.mask & IN_IGNORED) != 0) {
        directories_.erase(found);
        continue;
      }
      const Directory directory = found->second;  // entering adds directories
      const Hierarchy& h = *directory.hierarchy;
      if ((e.mask & IN_MODIFY) != 0) {
        note_write(directory, name);
        continue;
      }
      if ((e.mask & IN_ISDIR) == 0) continue;
      const std::string group = child_of(directory.group, name);
      const auto known = groups_.find(group);
      if ((e.mask & IN_CREATE) != 0 && (directory.below || known != groups_.end())) {
        const auto entered = enter(h, group, directory.below ? Depth::below : known->second.depth, &events);
        if (!entered) note(entered.error());
      } else if ((e.mask & IN_CREATE) != 0) {
        note_made(group, events);
      } else if ((e.mask & IN_DELETE) != 0 && known != groups_.end() && known->second.inodes[h.index()] != 0) {
        // An event of an earlier group of that name finds the present one in its place. What cannot be looked at is
        // gone, as the event says.
        const auto now = inode(h, group);
        if (!now || *now != known->second.inodes[h.index()]) leave(h, known, events);
      }
    }
  }
  for (auto& [name, group] : groups_) {
    const auto now = std::chrono::system_clock::now();
    if (std::exchange(group.enabled, false)) events.push_back({now, name, Change::appeared, false});
    if (std::exchange(group.written, false)) events.push_back({now, name, Change::written, false});
  }
  return events;
}

}  // namespace cgx
