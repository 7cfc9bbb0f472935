// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/cgroup.h"

#include <cerrno>

#include <fcntl.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/attached.h"
#include "cgx/cgroupfs/presence.h"

namespace cgx {

Cgroup::Cgroup(const Hierarchies& hierarchies, std::string name)
    : hierarchies_(&hierarchies),
      name_(std::move(name)),
      dirs_(hierarchies.all().size() + hierarchies.named().size()) {}

Result<int> Cgroup::dir(const Hierarchy& h) const {
  sys::Fd& fd = dirs_[h.index()];
  if (!fd.valid()) {
    auto opened = sys::open_beneath(CGX_TRY(h.root()), name_, O_RDONLY | O_DIRECTORY);
    if (!opened && opened.error().code == EXDEV) return std::unexpected(hidden_by_mount(h, name_));
    fd = CGX_TRY(std::move(opened));
  }
  return fd.get();
}

void Cgroup::forget() {
  for (sys::Fd& fd : dirs_) fd.reset(-1);
  present_.reset();
  unseen_.reset();
}

const std::vector<const Hierarchy*>& Cgroup::present() const {
  if (!present_) {
    present_.emplace();
    for (const Hierarchy& h : hierarchies_->all())
      if (const auto fd = dir(h); fd)
        present_->push_back(&h);
      else if (fd.error().code != ENOENT)
        unseen_ = fd.error();
  }
  return *present_;
}

Result<> Cgroup::require() const {
  if (present().size() == hierarchies_->all().size()) return {};
  Error e = unseen_.value_or(Error{.code = ENOENT, .what = "there is no such group"});
  // In some hierarchies is enough, but not where one cannot be looked into (EMFILE, EACCES): a process that joins the
  // others alone would be outside of limits without a word.
  if (!present().empty() && (e.code == ENOENT || e.code == ENOTDIR)) return {};
  if (e.code == ENOENT && name_.empty())
    e.what = "the mount points of the hierarchies are not to be seen: something else is mounted over them";
  else if (e.code == ENOENT)
    e.hint = "cgx ls shows what there is";
  e.group = shown(name_);
  return std::unexpected(std::move(e));
}

const Hierarchy* Cgroup::home(Controller controller, std::string_view file) const {
  const Hierarchy* h = hierarchies_->of(controller);
  if (controller != Controller::core || h == nullptr) return h;
  // cgroup2 has most core files; notify_on_release and tasks are in v1 hierarchies only.
  if (const auto fd = dir(*h); fd && sys::exists(*fd, file)) return h;
  for (const Hierarchy& other : hierarchies_->all())
    if (const auto fd = dir(other); fd && sys::exists(*fd, file)) return &other;
  return h;
}

Result<std::string> Cgroup::read(const Hierarchy& h, std::string_view file) const {
  const int fd = CGX_TRY(located(dir(h), shown(name_), file));
  return located(file.starts_with('@') ? read_attached(fd, file) : sys::read_file(fd, file), shown(name_), file);
}

Result<std::string> Cgroup::read(Controller controller, std::string_view file) const {
  const Hierarchy* h = home(controller, file);
  if (h == nullptr)
    return std::unexpected(Error{.code = ENOENT,
                                 .what = fmt::format("the {} controller is not mounted", row(controller).name),
                                 .group = std::string(shown(name_)),
                                 .knob = std::string(file)});
  return read(*h, file);
}

Result<> Cgroup::write(const Hierarchy& h, std::string_view file, std::string_view text) const {
  const int fd = CGX_TRY(located(dir(h), shown(name_), file, text));
  return located(file.starts_with('@') ? write_attached(fd, file, text) : sys::write_file(fd, file, text),
                 shown(name_),
                 file,
                 text);
}

GroupView::GroupView(const Cgroup& group, std::vector<Wanted> wanted) : group_(&group), wanted_(std::move(wanted)) {}

Result<std::string> GroupView::read(Controller controller, std::string_view file) const {
  return group_->read(controller, file);
}

std::vector<std::string> GroupView::files(Controller controller) const {
  const Hierarchy* h = group_->hierarchies().of(controller);
  const auto fd = h != nullptr ? group_->dir(*h) : Result<int>(fail(ENOENT, ""));
  auto names =
      fd ? sys::list_dir(*fd, "", sys::Entries::files) : Result<std::vector<std::string>>(std::unexpected(fd.error()));
  if (names) return *std::move(names);
  errno = names.error().code;  // why there are none
  return {};
}

const Value* GroupView::wanted(std::string_view knob) const {
  for (const Wanted& w : wanted_)
    if (w.knob->name == knob) return w.value;
  return nullptr;
}

Result<Home> home_of(const Hierarchies& hierarchies, const Knob& knob) {
  const Backing* other = nullptr;
  Controller missing = Controller::core;
  for (const Backing* b : {&knob.v2, &knob.v1}) {
    if (!b->present()) {
      other = b;
      continue;
    }
    const Version version = b == &knob.v2 ? Version::v2 : Version::v1;
    if (b->controller == Controller::core) {
      for (const Hierarchy& h : hierarchies.all())
        if (h.version() == version) return Home{b, &h};
      continue;
    }
    const Hierarchy* h = hierarchies.of(b->controller);
    if (h != nullptr && h->version() == version) return Home{b, h};
    if (h == nullptr) missing = b->controller;
  }
  Error e{.code = ENOTSUP, .knob = std::string(knob.name)};
  if (missing != Controller::core) {
    e.what = fmt::format("the {} controller is not mounted on this host", row(missing).name);
    e.hint = "cgx controllers lists what this kernel has; cgx mount mounts a hierarchy";
  } else {
    e.what = other != nullptr ? std::string(other->missing) : "not on this host";
  }
  return std::unexpected(std::move(e));
}

Result<std::optional<Value>> read_knob(const Cgroup& group, const Knob& knob) {
  const Home home = CGX_TRY(home_of(group.hierarchies(), knob));
  if (home.backing->decode == nullptr) return std::optional<Value>{};
  return home.backing->decode(knob, *home.backing, GroupView(group));
}

}  // namespace cgx
