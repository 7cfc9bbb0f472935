// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/hierarchy.h"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/presence.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

// v2 has these without a controller of that name.
bool implicit_on_v2(Controller c) {
  switch (c) {
    case Controller::core:
    case Controller::cpuacct:
    case Controller::devices:
    case Controller::freezer:
    case Controller::net_cls:
    case Controller::net_prio:
    case Controller::perf_event:
      return true;
    default:
      return false;
  }
}

}  // namespace

Result<> Hierarchy::read_controllers() const {
  if (mount_.version == Version::v1 || v2_controllers_) return {};
  const auto fd = root();
  const auto text = fd ? sys::read_file(*fd, "cgroup.controllers") : std::unexpected(fd.error());
  if (!text && !says_absent(text.error()))
    return located(Result<>(std::unexpected(text.error())), mount_.dir, "cgroup.controllers");
  v2_controllers_.emplace();
  if (text)
    for (const std::string_view name : sys::words(*text))
      if (const auto c = find_controller(name)) v2_controllers_->add(*c);
  return {};
}

const ControllerSet& Hierarchy::controllers() const {
  if (mount_.version == Version::v1) return mount_.controllers;
  // What could not be read is asked for again the next time.
  static const ControllerSet none;
  return read_controllers() ? *v2_controllers_ : none;
}

Result<int> Hierarchy::root() const {
  if (!root_.valid()) root_ = CGX_TRY(sys::open_path(mount_.dir, O_PATH | O_DIRECTORY));
  return root_.get();
}

std::string Hierarchy::label() const {
  if (version() == Version::v2) return "unified";
  if (mount_.controllers.empty()) return "name=" + mount_.name;
  return mount_.controllers.text(Version::v1);
}

std::string Hierarchy::path(std::string_view group, std::string_view file) const {
  std::string path = mount_.dir;
  for (const std::string_view part : {group, file})
    if (!part.empty()) path.append("/").append(part);
  return path;
}

Result<Hierarchies> Hierarchies::discover() {
  const auto text = sys::read_path("/proc/self/mountinfo");
  if (!text) {
    Error e = text.error();
    if (e.code == ENOENT) e.hint = "mount -t proc proc /proc";
    return std::unexpected(std::move(e));
  }
  std::vector<Mount> mounts = parse_mountinfo(*text);
  const std::string first = mounts.empty() ? std::string() : mounts[0].dir;
  std::erase_if(mounts, is_hidden);
  if (mounts.empty() && !first.empty()) {
    auto error = fail(ENOENT, "the cgroup file systems are hidden: something else is mounted over them");
    error.error().hint = fmt::format("umount what lies over {}, or mount cgroup file systems on top of it", first);
    return error;
  }
  if (mounts.empty()) {
    auto error = fail(ENOENT, "no cgroup file system is mounted");
    error.error().hint = "mount one: cgx mount --v2 /sys/fs/cgroup";
    return error;
  }
  Hierarchies found = of_mounts(mounts);
  // Who may not look at it (EACCES) works without it.
  if (const Hierarchy* const v2 = found.unified())
    if (auto read = v2->read_controllers(); !read && read.error().code != EACCES) return std::unexpected(read.error());
  return found;
}

Hierarchies Hierarchies::of_mounts(const std::vector<Mount>& mounts) {
  Hierarchies h;
  std::vector<unsigned> seen;
  for (const Mount& m : mounts) {
    // A hierarchy may be mounted many times; the first mount of its whole tree serves, else the first of all.
    bool known = false;
    for (std::vector<Hierarchy>* list : {&h.all_, &h.named_})
      for (Hierarchy& other : *list)
        if (m.device != 0 && other.mount().device == m.device && other.version() == m.version &&
            other.mount().controllers == m.controllers && other.mount().name == m.name) {
          known = true;
          if (other.mount().root != "/" && m.root == "/") other = Hierarchy(m, other.index());
        }
    if (known) continue;
    std::vector<Hierarchy>& list = m.version == Version::v1 && m.controllers.empty() ? h.named_ : h.all_;
    list.emplace_back(m, list.size());
  }
  for (std::size_t i = 0; i < h.named_.size(); ++i)
    h.named_[i] = Hierarchy(Mount(h.named_[i].mount()), h.all_.size() + i);
  return h;
}

Hierarchies Hierarchies::nested(const std::vector<Base>& bases) const {
  std::vector<Mount> mounts;
  for (const auto& list : {all(), named()})
    for (const Hierarchy& h : list) {
      Mount& m = mounts.emplace_back(h.mount());
      const auto base = std::ranges::find(bases, h.label(), &Base::hierarchy);
      if (base == bases.end()) continue;
      if (m.top.empty()) m.top = m.dir;
      m.dir = h.path(base->group);
      m.root = (m.root == "/" ? "/" : m.root + "/") + base->group;
    }
  return of_mounts(mounts);
}

const Hierarchy* Hierarchies::unified() const {
  for (const Hierarchy& h : all_)
    if (h.version() == Version::v2) return &h;
  return nullptr;
}

const Hierarchy* Hierarchies::of(Controller controller) const {
  if (controller == Controller::core) {
    if (const Hierarchy* u = unified()) return u;
    return all_.empty() ? nullptr : &all_.front();
  }
  for (const Hierarchy& h : all_)
    if (h.version() == Version::v1 && h.controllers().has(controller)) return &h;
  const Hierarchy* u = unified();
  if (u == nullptr) return nullptr;
  if (implicit_on_v2(controller) || u->controllers().has(controller)) return u;
  return nullptr;
}

std::string_view Hierarchies::layout() const {
  bool v1 = false;
  for (const Hierarchy& h : all_) v1 = v1 || h.version() == Version::v1;
  if (unified() == nullptr) return "v1";
  return v1 ? "hybrid" : "v2";
}

Result<std::string> parse_group_name(std::string_view text) {
  const auto wrong = [&](std::string what) {
    return bad_value(text.size() > 80 ? std::string(text.substr(0, 77)) + "..." : std::string(text), std::move(what));
  };
  if (text.empty()) return wrong("a group name is empty");
  if (text == "." || text == "/") return std::string();
  if (text.size() > 4095) return wrong("is longer than 4095 bytes");
  std::string_view rest = text;
  if (rest.starts_with('/')) rest.remove_prefix(1);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  for (const std::string_view part : sys::split(rest, '/')) {
    if (part.empty()) return wrong("is not a group name: it has an empty part");
    if (part == "." || part == "..") return wrong("is not a group name: it has a part that is . or ..");
    if (part.size() > 255) return wrong("is not a group name: it has a part over 255 bytes");
    if (part.find('\0') != std::string_view::npos || part.find('\n') != std::string_view::npos)
      return wrong("is not a group name: it has a NUL or a newline");
  }
  return std::string(rest);
}

std::string_view shown(std::string_view group) { return group.empty() ? "/" : group; }

std::string_view parent_of(std::string_view group) {
  const std::size_t slash = group.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : group.substr(0, slash);
}

std::string child_of(std::string_view group, std::string_view child) {
  std::string name;
  name.reserve(group.size() + child.size() + 1);
  name.append(group);
  if (!group.empty()) name += '/';
  return name.append(child);
}

}  // namespace cgx
