// SPDX-License-Identifier: Apache-2.0
// The hierarchies that are mounted, and which of them owns a controller now. Selection is by controller, so a
// hybrid host is not a mode and has no branch anywhere.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/cgroupfs/mount.h"
#include "cgx/model/controller.h"
#include "cgx/sys/fd.h"

namespace cgx {

class Hierarchy {
 public:
  Hierarchy(Mount mount, std::size_t index) : mount_(std::move(mount)), index_(index) {}

  [[nodiscard]] Version version() const { return mount_.version; }
  [[nodiscard]] const std::string& dir() const { return mount_.dir; }
  [[nodiscard]] const Mount& mount() const { return mount_; }
  // dir(), but where the hierarchies are nested: there it is above it.
  [[nodiscard]] const std::string& mount_point() const { return mount_.top.empty() ? mount_.dir : mount_.top; }
  [[nodiscard]] std::size_t index() const { return index_; }  // in all(), behind those in named()
  // v1: the controllers mounted together here. v2: those in the root's cgroup.controllers, read once; none as long as
  // they cannot be read.
  [[nodiscard]] const ControllerSet& controllers() const;
  // Reads them where that was not done. What has no such file has none; else the error says why not.
  [[nodiscard]] Result<> read_controllers() const;
  // An O_PATH descriptor of the mount point, opened once and owned by this object.
  [[nodiscard]] Result<int> root() const;
  // For messages: `cpu,cpuacct`, `unified`, `name=systemd`.
  [[nodiscard]] std::string label() const;
  // The absolute path of a file of a group, for people; files are opened beneath root() instead.
  [[nodiscard]] std::string path(std::string_view group, std::string_view file = {}) const;

 private:
  Mount mount_;
  std::size_t index_;
  mutable sys::Fd root_;
  mutable std::optional<ControllerSet> v2_controllers_;
};

// A group of one hierarchy that is taken for its root.
struct Base {
  std::string hierarchy;  // its label()
  std::string group;
  bool operator==(const Base&) const = default;
};

class Hierarchies {
 public:
  // Reads /proc/self/mountinfo. ENOENT where no cgroup file system is mounted at all, or none that can be seen.
  [[nodiscard]] static Result<Hierarchies> discover();
  // The same for mounts that the caller has (tests: directories that stand in for hierarchies).
  [[nodiscard]] static Hierarchies of_mounts(const std::vector<Mount>& mounts);

  // The same hierarchies, with names of groups counted from `bases` on, as if only what is below those were mounted: a
  // group of one name can so be in another place in each of them.
  [[nodiscard]] Hierarchies nested(const std::vector<Base>& bases) const;

  // Those with controllers, and cgroup2; not the v1 ones that have only a name.
  [[nodiscard]] std::span<const Hierarchy> all() const { return all_; }
  [[nodiscard]] std::span<const Hierarchy> named() const { return named_; }
  // Who owns `controller` now: a v1 mount of that name, else cgroup2 where it has it (for devices, freezer,
  // net_cls, net_prio, perf_event and cpuacct: where it is mounted), else nullptr. `core` is cgroup2, else the first.
  [[nodiscard]] const Hierarchy* of(Controller controller) const;
  [[nodiscard]] const Hierarchy* unified() const;
  // "v1", "v2" or "hybrid".
  [[nodiscard]] std::string_view layout() const;

 private:
  std::vector<Hierarchy> all_;
  std::vector<Hierarchy> named_;
};

// `web/api` of a name that a user gave: one leading or trailing slash dropped, `.` and `/` are the root (empty).
// Refused (Fault::usage): empty, `..`, `.` or empty parts, NUL, newline, parts over 255 bytes, all over 4095.
[[nodiscard]] Result<std::string> parse_group_name(std::string_view text);
// The name for people: "/" for the root.
[[nodiscard]] std::string_view shown(std::string_view group);
[[nodiscard]] std::string_view parent_of(std::string_view group);  // of the root: the root
// `group/child`, also of a file; below the root `child` alone.
[[nodiscard]] std::string child_of(std::string_view group, std::string_view child);

}  // namespace cgx
