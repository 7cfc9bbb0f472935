// SPDX-License-Identifier: Apache-2.0
// Listing, moving and removing; freezing and killing are in control.cc.
#include "cgx/cgroupfs/tasks.h"

#include <algorithm>
#include <cerrno>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/lock.h"
#include "cgx/cgroupfs/net_control.h"
#include "cgx/cgroupfs/place.h"
#include "cgx/cgroupfs/presence.h"
#include "cgx/cgroupfs/walk.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

// Ids of one group in one hierarchy. Opened by the whole name: one open, not one of the directory and one of the file.
Result<> append_ids(const Hierarchy& h, std::string_view group, Tasks which, std::vector<pid_t>& ids) {
  const int root = CGX_TRY(h.root());
  const std::string_view threads = h.version() == Version::v2 ? "cgroup.threads" : "tasks";
  auto text = sys::read_file(root, child_of(group, which == Tasks::processes ? "cgroup.procs" : threads));
  // A threaded group answers EOPNOTSUPP for processes.
  if (!text && text.error().code == EOPNOTSUPP) text = sys::read_file(root, child_of(group, threads));
  if (!text) {
    // Removed while being read.
    if (text.error().code == ENOENT || text.error().code == ENODEV) return {};
    return located(Result<>(std::unexpected(text.error())), shown(group), "cgroup.procs");
  }
  for (const std::string_view line : sys::lines(*text))
    if (const auto id = sys::parse_u64(line); id && *id != 0) ids.push_back(static_cast<pid_t>(*id));
  return {};
}

Result<> append_ids(const Hierarchies& hierarchies, const Listed& group, Tasks which, std::vector<pid_t>& ids) {
  for (const Hierarchy& h : hierarchies.all())
    if (group.in(h)) CGX_CHECK(append_ids(h, group.name, which, ids));
  return {};
}

void sort_unique(std::vector<pid_t>& ids) {
  std::ranges::sort(ids);
  const auto rest = std::ranges::unique(ids);
  ids.erase(rest.begin(), rest.end());
}

// What is in the way of rmdir, as a sentence.
std::string occupants(const Cgroup& group) {
  const auto children = children_of(group);
  if (children && !children->empty()) {
    std::string names = children->front();
    for (std::size_t i = 1; i < children->size() && i < 5; ++i) names += ", " + (*children)[i];
    if (children->size() > 5) names += fmt::format(" and {} more", children->size() - 5);
    return fmt::format("has groups below it: {}", names);
  }
  const auto ids = tasks_of(group);
  if (ids && !ids->empty()) {
    std::string list;
    for (std::size_t i = 0; i < ids->size() && i < 5; ++i) {
      auto comm = sys::read_path(fmt::format("/proc/{}/comm", (*ids)[i])).value_or("?");
      list += fmt::format("{}{} ({})", i == 0 ? "" : ", ", (*ids)[i], sys::trim(comm));
    }
    if (ids->size() > 5) list += fmt::format(" and {} more", ids->size() - 5);
    return fmt::format("has processes in it: {}", list);
  }
  if (const auto mounts = mounts_in(group); mounts && !mounts->empty())
    return fmt::format("another file system is mounted on {}", mounts->front());
  return "is busy";
}

// One try. Directories go in the order in which spawn_in() joins them, cgroup2 first: a process that comes in meanwhile
// either holds the first of them, and nothing is removed, or fails to join.
Result<> remove_once(const Cgroup& group, const std::function<Result<>()>& still) {
  TreeLock lock;
  CGX_CHECK(lock.take(group.hierarchies(), TreeLock::How::alone));
  if (still) CGX_CHECK(still());
  for (const Version version : {Version::v2, Version::v1})
    for (const Hierarchy& h : group.hierarchies().all()) {
      if (h.version() != version) continue;
      const auto done = sys::remove_dir(CGX_TRY(h.root()), group.name());
      if (done || done.error().code == ENOENT) continue;
      Error e = done.error();
      e.group = shown(group.name());
      e.what = fmt::format("rmdir in {}: {}", h.label(), e.what);
      return std::unexpected(std::move(e));
    }
  return {};
}

// After an rmdir that failed, what of the group is gone already: nothing brings it back, and the next try goes on.
std::string gone_of(const Cgroup& group) {
  std::string gone;
  for (const Hierarchy* h : group.present())
    if (const auto root = h->root(); root && !sys::exists(*root, group.name()))
      gone += (gone.empty() ? "" : ", ") + h->label();
  if (gone.empty()) return {};
  return fmt::format("it is removed from {} already; cgx delete {} removes the rest", gone, shown(group.name()));
}

Result<> attach_in(const Cgroup& group, const Hierarchy& h, pid_t pid, Tasks which) {
  return group.write(h, tasks_file(h, which), std::to_string(pid));
}

}  // namespace

std::string_view tasks_file(const Hierarchy& h, Tasks which) {
  if (which == Tasks::processes) return "cgroup.procs";
  return h.version() == Version::v2 ? "cgroup.threads" : "tasks";
}

Result<std::vector<pid_t>> tasks_of(const Cgroup& group, Tasks which) {
  CGX_CHECK(group.require());
  std::vector<pid_t> ids;
  for (const Hierarchy* h : group.present()) CGX_CHECK(append_ids(*h, group.name(), which, ids));
  sort_unique(ids);
  return ids;
}

Result<std::vector<pid_t>> tasks_of(const Hierarchies& hierarchies, const Listed& group, Tasks which) {
  std::vector<pid_t> ids;
  CGX_CHECK(append_ids(hierarchies, group, which, ids));
  sort_unique(ids);
  return ids;
}

Result<std::vector<pid_t>> tasks_below(const Cgroup& group, Tasks which) {
  std::vector<pid_t> ids = CGX_TRY(tasks_of(group, which));
  for (const Listed& inner : CGX_TRY(walk(group, Depth::all)))
    CGX_CHECK(append_ids(group.hierarchies(), inner, which, ids));
  sort_unique(ids);
  return ids;
}

Result<std::vector<std::string>> children_of(const Cgroup& group) {
  std::vector<std::string> names;
  for (const Listed& child : CGX_TRY(walk(group, Depth::children)))
    names.push_back(group.name().empty() ? child.name : child.name.substr(group.name().size() + 1));
  return names;
}

Result<std::vector<std::string>> groups_below(const Cgroup& group) {
  std::vector<std::string> names;
  for (Listed& inner : CGX_TRY(walk(group, Depth::all))) names.push_back(std::move(inner.name));
  return names;
}

Result<> attach(const Cgroup& group, pid_t pid, Tasks which) { return attach_all(group, std::span(&pid, 1), which); }

Result<> attach_all(const Cgroup& group, std::span<const pid_t> ids, Tasks which) {
  CGX_CHECK(group.require());
  struct Done {
    pid_t pid;
    Place from;
  };
  std::vector<Done> done;
  const std::vector<const Hierarchy*>& hierarchies = group.present();
  const auto move_one = [&](pid_t pid) -> Result<> {
    const std::vector<Place> places =
        CGX_TRY(located(places_of(group.hierarchies(), pid), shown(group.name()), "", std::to_string(pid)));
    for (const Hierarchy* h : hierarchies) {
      const auto from = std::ranges::find(places, h, &Place::hierarchy);
      // Being there already is no move, and writing would wait for the global lock. (Of a process other threads may be
      // elsewhere.)
      if (from != places.end() && from->group == group.name() && which == Tasks::threads) continue;
      CGX_CHECK(attach_in(group, *h, pid, which));
      done.push_back({pid, from != places.end() ? *from : Place{.hierarchy = h, .group = ".."}});
    }
    return {};
  };
  for (const pid_t pid : ids) {
    auto moved = move_one(pid);
    if (moved) continue;
    std::string stuck;
    for (auto d = done.rbegin(); d != done.rend(); ++d)
      // Going back may fail where the process has gone meanwhile: the first error is the one to tell.
      if (is_outside(d->from.group))
        stuck += fmt::format("{}{} ({})", stuck.empty() ? "" : ", ", d->pid, d->from.hierarchy->label());
      else
        (void)attach_in(Cgroup(group.hierarchies(), d->from.group), *d->from.hierarchy, d->pid, which);
    if (!stuck.empty())
      moved.error().hint = fmt::format("{}{} stay in {}: where they were cannot be named in this cgroup namespace",
                                       moved.error().hint.empty() ? "" : moved.error().hint + "; ",
                                       stuck,
                                       shown(group.name()));
    return moved;
  }
  return {};
}

Result<std::vector<sys::Fd>> open_v1_tasks(const Cgroup& group) {
  std::vector<sys::Fd> files;
  for (const Hierarchy* h : group.present()) {
    if (h->version() != Version::v1) continue;
    auto file = sys::open_beneath(CGX_TRY(group.dir(*h)), "tasks", O_WRONLY);
    if (!file) {
      Error e = file.error();
      e.group = shown(group.name());
      e.knob = "tasks";
      return std::unexpected(std::move(e));
    }
    files.push_back(*std::move(file));
  }
  return files;
}

int join(const std::vector<sys::Fd>& tasks_files) noexcept {
  for (const sys::Fd& fd : tasks_files)
    if (write(fd.get(), "0", 1) != 1) return errno;
  return 0;
}

namespace {

// A group without groups below has no mount below it; a mount on the group itself fails the opening of its directory.
// The kernel counts directories as links.
Result<bool> has_directories(const Cgroup& group) {
  for (const Hierarchy* h : group.present()) {
    struct stat st{};
    if (fstat(CGX_TRY(group.dir(*h)), &st) != 0) return fail_errno(errno, h->path(group.name()));
    if (st.st_nlink > 2) return true;
  }
  return false;
}

Result<> refuse_mounts(const Cgroup& group) {
  if (!CGX_TRY(has_directories(group))) return {};
  const auto mounts = CGX_TRY(mounts_in(group));
  if (mounts.empty()) return {};
  return std::unexpected(Error{.code = EBUSY,
                               .what = fmt::format("another file system is mounted on {}", mounts.front()),
                               .group = std::string(shown(group.name())),
                               .hint = fmt::format("umount {}", mounts.front())});
}

}  // namespace

Result<> remove_group(const Cgroup& group, Below what, const std::function<Result<>()>& still) {
  if (group.name().empty()) return fail(EBUSY, "the root cannot be removed");
  if (what == Below::remove) {
    CGX_CHECK(refuse_mounts(group));  // asked before the first rmdir as well
    std::vector<std::string> names = CGX_TRY(groups_below(group));
    for (auto name = names.rbegin(); name != names.rend(); ++name)
      CGX_CHECK(remove_group(Cgroup(group.hierarchies(), *name), Below::keep));
  } else if (const auto children = children_of(group); !children && !says_absent(children.error())) {
    return std::unexpected(children.error());
  } else if (children && !children->empty()) {
    // Asked before the first rmdir, so that nothing is removed in one hierarchy and kept in another.
    return std::unexpected(Error{.code = EBUSY,
                                 .what = occupants(group),
                                 .group = std::string(shown(group.name())),
                                 .hint = fmt::format("cgx delete -r {} removes them too", group.name())});
  }
  // Classes and filters on interfaces do not go with the group by themselves: they go after it, by its key.
  std::vector<std::string> shaped;
  for (const Hierarchy* h : group.present())
    if (const bool shapes = h->version() == Version::v2 || h->controllers().has(Controller::net_cls); shapes)
      if (const auto dir = group.dir(*h); dir && attached_net(*dir)) shaped.push_back(net_key(*dir, h->version()));
  // The kernel needs some time after the last process is gone: 1 ms, doubling, about a second in all.
  for (int pause_ms = 1;; pause_ms *= 2) {
    auto done = remove_once(group, still);
    if (done)
      for (const std::string& key : shaped) CGX_CHECK(located(release_net(key), shown(group.name()), "net.rate"));
    if (!done) done.error().hint = gone_of(group);
    if (done || done.error().code != EBUSY) return done;
    const Cgroup now(group.hierarchies(), group.name());
    const auto children = children_of(now);
    const auto ids = tasks_of(now);
    const bool occupied = (children && !children->empty()) || (ids && !ids->empty() && pause_ms > 64);
    if (occupied || pause_ms > 512) {
      done.error().what = occupants(now);
      done.error().hint = "cgx delete -r removes the groups below, --kill the processes";
      return done;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
  }
}

}  // namespace cgx
