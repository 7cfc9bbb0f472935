// SPDX-License-Identifier: Apache-2.0
// Opening of groups and triggers, and registering with the kernel.
#include <cerrno>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/event.h"
#include "cgx/cgroupfs/tasks.h"
#include "cgx/sys/text.h"

#include "daemon/memory/build.h"

namespace cgx::daemon::memory {
namespace {

// A file that every such group has.
Result<sys::Fd> must(const Node& node, const char* file, int flags) {
  sys::Fd fd(sys::open_part(node.files.dir.get(), file, flags | O_NOCTTY));
  if (fd.get() >= 0) return fd;
  const int code = -fd.release();
  return located(Result<sys::Fd>(fail(code, errno_text(code))), node.name, file);
}

// One that it may have; only running out of descriptors is an error.
Result<sys::Fd> may(const Node& node, const char* file, int flags) {
  auto fd = must(node, file, flags);
  if (fd || (fd.error().code != EMFILE && fd.error().code != ENFILE)) return fd ? std::move(fd) : sys::Fd();
  return fd;
}

Result<> register_eventfd(const Node& node, int event, int file, std::string_view argument) {
  const sys::Fd control = CGX_TRY(must(node, "cgroup.event_control", O_WRONLY));
  const std::string order = fmt::format("{} {}{}{}", event, file, argument.empty() ? "" : " ", argument);
  return located(sys::write_fd(control.get(), order), node.name, "cgroup.event_control", order);
}

Result<sys::Fd> new_eventfd(const Node& node) {
  sys::Fd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.valid()) return located(Result<sys::Fd>(fail(errno, errno_text(errno))), node.name, "eventfd");
  return fd;
}

Result<> open_v1(Node& node) {
  Files& f = node.files;
  const int writing = node.registered ? O_RDWR : O_RDONLY;
  f.events = CGX_TRY(must(node, "memory.oom_control", writing));
  f.limit = CGX_TRY(must(node, "memory.limit_in_bytes", writing));
  f.usage = CGX_TRY(must(node, "memory.usage_in_bytes", O_RDONLY));
  f.failcnt = CGX_TRY(must(node, "memory.failcnt", O_RDONLY));
  f.memsw_failcnt = CGX_TRY(may(node, "memory.memsw.failcnt", O_RDONLY));
  if (node.registered) f.memsw = CGX_TRY(may(node, "memory.memsw.limit_in_bytes", O_RDWR));
  // What counts as having happened before is read first: what comes in between is then told of once more, not never.
  node.oom_kill = read_oom(node).oom_kill;
  node.failcnt = node.failcnt_told = node.failcnt_next = read_failures(node).value;
  if (!node.registered) return {};
  node.event = CGX_TRY(new_eventfd(node));
  return register_eventfd(node, node.event.get(), f.events.get(), "");
}

Result<> open_v2(Node& node) {
  Files& f = node.files;
  const int writing = node.registered ? O_RDWR : O_RDONLY;
  f.events = CGX_TRY(must(node, "memory.events", O_RDONLY));
  f.local = CGX_TRY(may(node, "memory.events.local", O_RDONLY));
  f.limit = CGX_TRY(must(node, "memory.max", writing));
  f.usage = CGX_TRY(must(node, "memory.current", O_RDONLY));
  f.high = CGX_TRY(may(node, "memory.high", writing));
  const Counts local = read_counts((f.local.valid() ? f.local : f.events).get());
  node.high_local = local.high;
  node.max_local = local.max;
  node.oom_local = local.oom;
  // Read, which is what later wakes are counted from.
  node.oom_kill = read_counts(f.events.get()).oom_kill;
  return {};
}

ino_t inode(int fd) {
  struct stat st{};
  return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

Result<> open_freezer(const Hierarchies& hierarchies, Node& node) {
  const Cgroup group(hierarchies, node.name);
  const Hierarchy* h = freezer_of(group);
  if (h == nullptr) return {};
  const auto dir = group.dir(*h);
  if (!dir) return {};
  node.freezer_version = h->version();
  node.freezer_inode = inode(*dir);
  auto fd = sys::open_beneath(*dir, h->version() == Version::v1 ? "freezer.state" : "cgroup.freeze", O_RDWR);
  if (fd)
    node.files.freezer = *std::move(fd);
  else if (fd.error().code == EMFILE || fd.error().code == ENFILE)
    return located(Result<>(std::unexpected(fd.error())), node.name, "freezer");
  return {};
}

}  // namespace

ino_t inode_of(const Hierarchies& hierarchies, const std::string& name) {
  const Hierarchy* h = hierarchies.of(Controller::memory);
  if (h == nullptr) return 0;
  const Cgroup group(hierarchies, name);
  const auto dir = group.dir(*h);
  return dir ? inode(*dir) : 0;
}

Result<std::shared_ptr<Node>> open_node(const Hierarchies& hierarchies, const std::string& name, bool registered) {
  const Hierarchy* h = hierarchies.of(Controller::memory);
  if (h == nullptr)
    return located(Result<std::shared_ptr<Node>>(fail(ENOTSUP, "no hierarchy has the memory controller")), name);
  auto node = std::make_shared<Node>();
  node->name = name;
  node->version = h->version();
  node->registered = registered;
  const std::string root = h->mount().root == "/" ? "" : h->mount().root;
  node->place = fmt::format("{}:{}/{}", h->version() == Version::v1 ? "memory" : "", root, name);
  node->files.dir = CGX_TRY(located(sys::open_beneath(CGX_TRY(h->root()), name, O_RDONLY | O_DIRECTORY), name));
  node->inode = inode(node->files.dir.get());
  CGX_CHECK(h->version() == Version::v1 ? open_v1(*node) : open_v2(*node));
  if (registered) CGX_CHECK(open_freezer(hierarchies, *node));
  return node;
}

Result<std::shared_ptr<Pressure>> open_pressure(const Hierarchies& hierarchies,
                                                const std::shared_ptr<Node>& node,
                                                const policy::PressureRule& rule) {
  auto pressure = std::make_shared<Pressure>();
  pressure->node = node;
  pressure->source.node = node.get();
  pressure->run.pressure = pressure.get();
  // Stalls are counted where the processes are in the v2 tree, on a hybrid host too.
  Error first{
      .code = ENOTSUP, .what = "the group is not in the v2 tree, where stalls are counted", .group = node->name};
  if (const Hierarchy* h = hierarchies.unified(); h != nullptr) {
    const Cgroup group(hierarchies, node->name);
    if (const auto dir = group.dir(*h); dir) {
      const std::string file = rule.resource + ".pressure";
      auto fd = sys::open_beneath(*dir, file, O_RDWR);
      const std::string order = fmt::format("{} {} {}", rule.full ? "full" : "some", rule.stall, rule.window);
      auto done = fd ? sys::write_fd(fd->get(), order) : Result<>(std::unexpected(fd.error()));
      if (done) {
        pressure->fd = *std::move(fd);
        return pressure;
      }
      first = done.error();
      if (first.code == EINVAL && rule.window % 2'000'000 != 0)
        first.hint = "without CAP_SYS_RESOURCE the window has to be a multiple of 2 s";
      first.group = node->name;
      first.knob = file;
      first.value = order;
    }
  }
  if (node->version == Version::v2 || rule.resource != "memory") return std::unexpected(first);
  // v1's own signal: reclaim has become hard (medium), or memory is about to run out (critical).
  const std::string_view level = rule.full ? "critical" : "medium";
  const sys::Fd file = CGX_TRY(must(*node, "memory.pressure_level", O_RDONLY));
  pressure->fd = CGX_TRY(new_eventfd(*node));
  pressure->level = true;
  CGX_CHECK(register_eventfd(*node, pressure->fd.get(), file.get(), level));
  return pressure;
}

}  // namespace cgx::daemon::memory
