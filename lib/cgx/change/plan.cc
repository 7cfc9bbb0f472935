// SPDX-License-Identifier: Apache-2.0
// Structure: groups, controllers, owners. Values are in values.cc.
#include "cgx/change/plan.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "cgx/change/explain.h"
#include "cgx/change/owner.h"
#include "cgx/change/thread_root.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

// "a", "a/b", "a/b/c" of "a/b/c".
std::vector<std::string_view> prefixes(std::string_view group) {
  std::vector<std::string_view> found;
  for (std::size_t at = group.find('/'); at != std::string_view::npos; at = group.find('/', at + 1))
    found.push_back(group.substr(0, at));
  if (!group.empty()) found.push_back(group);
  return found;
}

class StructurePlanner {
 public:
  StructurePlanner(const Hierarchies& hierarchies, const Desired& desired, std::vector<Step>& steps)
      : hierarchies_(hierarchies), desired_(desired), steps_(steps) {}

  Result<> run() {
    CGX_CHECK(leave_to_systemd(hierarchies_, desired_));
    CGX_CHECK(find_homes());
    CGX_CHECK(check_only());
    bool found = false;
    // Where limits alone change, the hierarchies that they live in are enough, if the group is there.
    const bool homes_only = made_before() && !desired_.owner && !homes_.empty();
    const auto at_home = [&](const Hierarchy& h) { return std::ranges::find(homes_, &h) != homes_.end(); };
    for (const bool home : {true, false}) {
      if (!home && homes_only && found) break;
      for (const Hierarchy& h : hierarchies_.all()) {
        if (!wanted(h) || at_home(h) != home) continue;
        const bool there = desired_.group.empty() || exists(h, desired_.group);
        if (there) there_.push_back(&h);
        found = found || there;
        if (there && desired_.existing == Existing::refuse)
          return std::unexpected(Error{.code = EEXIST,
                                       .what = fmt::format("is already there ({})", h.path(desired_.group)),
                                       .group = desired_.group,
                                       .hint = "cgx set changes its limits; --exist-ok takes it as it is"});
      }
    }
    if (!found && made_before()) CGX_CHECK(Cgroup(hierarchies_, desired_.group).require());
    for (const Hierarchy& h : hierarchies_.all())
      if (wanted(h) && (!homes_only || at_home(h))) CGX_CHECK(plan_in(h));
    return {};
  }

 private:
  [[nodiscard]] bool made_before() const {
    return desired_.existing == Existing::require || desired_.existing == Existing::follow;
  }

  bool exists(const Hierarchy& h, std::string_view group) const {
    const auto root = h.root();
    return root && sys::exists(*root, group);
  }

  // Hierarchies that the limits live in, before anything is decided: a limit that this host cannot honour stops all.
  Result<> find_homes() {
    for (const Limit& limit : desired_.limits) {
      if (limit.knob == nullptr) {
        const auto c = controller_of_file(limit.file);
        if (!c)
          return std::unexpected(Error{.code = EINVAL,
                                       .what = "is not the name of a cgroup file (CONTROLLER.NAME)",
                                       .group = desired_.group,
                                       .value = limit.file,
                                       .fault = Fault::usage});
        const Hierarchy* h = hierarchies_.of(*c);
        if (h == nullptr)
          return std::unexpected(
              Error{.code = ENOTSUP,
                    .what = fmt::format("the {} controller is not mounted on this host", row(*c).name),
                    .group = desired_.group,
                    .knob = limit.file});
        add_home(*h, *c);
        continue;
      }
      const Home home = CGX_TRY(cannot_set(home_of(hierarchies_, *limit.knob), limit));
      if (auto bad = foresee(limit, home)) {
        bad->group = shown(desired_.group);
        return std::unexpected(*std::move(bad));
      }
      add_home(*home.hierarchy, home.backing->controller);
    }
    for (const ControllerRow& r : controllers())
      if (desired_.need.has(r.id))
        if (const Hierarchy* h = hierarchies_.of(r.id)) add_home(*h, r.id);
    return {};
  }

  Result<Home> cannot_set(Result<Home> home, const Limit& limit) const {
    if (!home) home.error().what = "cannot be set: " + home.error().what;
    return located(std::move(home), shown(desired_.group), "", limit.given);
  }

  void add_home(const Hierarchy& h, Controller c) {
    if (std::ranges::find(homes_, &h) == homes_.end()) homes_.push_back(&h);
    if (h.version() == Version::v2 && !row(c).v2_name.empty()) enable_.add(c);
  }

  Result<> check_only() const {
    if (!desired_.only) return {};
    for (const ControllerRow& r : controllers())
      if (desired_.only->has(r.id) && hierarchies_.of(r.id) == nullptr)
        return std::unexpected(Error{.code = ENOTSUP,
                                     .what = fmt::format("the {} controller is not mounted on this host", r.name),
                                     .group = desired_.group,
                                     .hint = "cgx controllers lists what there is"});
    return {};
  }

  bool wanted(const Hierarchy& h) const {
    if (std::ranges::find(homes_, &h) != homes_.end() || !desired_.only) return true;
    for (const ControllerRow& r : controllers())
      if (desired_.only->has(r.id) && hierarchies_.of(r.id) == &h) return true;
    return false;
  }

  Result<> plan_in(const Hierarchy& h) {
    if (h.version() == Version::v2) CGX_CHECK(plan_enable(h, ""));
    const bool fills = h.version() == Version::v1 && h.controllers().has(Controller::cpuset);
    std::string cpus;
    std::string mems;
    for (const std::string_view group : prefixes(desired_.group)) {
      const bool last = group == desired_.group;
      const bool there = last ? std::ranges::find(there_, &h) != there_.end() : exists(h, group);
      // `set` on a group that is missing in this hierarchy alone: made only where a limit lives there.
      if (!there && made_before() && std::ranges::find(homes_, &h) == homes_.end()) return {};
      if (!there && desired_.existing == Existing::follow)
        return std::unexpected(Error{
            .code = ENOENT, .what = fmt::format("is not in the {} hierarchy", h.label()), .group = desired_.group});
      if (!there)
        steps_.push_back({.verb = Verb::create,
                          .hierarchy = &h,
                          .group = std::string(group),
                          .tolerant = !last || desired_.existing != Existing::refuse});
      if (fills && (!there || !made_before())) CGX_CHECK(fill_cpuset(h, group, there, cpus, mems));
      if (last && desired_.owner) plan_owner(h);
      if (!last && h.version() == Version::v2) CGX_CHECK(plan_enable(h, group));
    }
    return {};
  }

  // v1: a new cpuset has no CPUs and no nodes, and no process can join it (ENOSPC): it gets its parent's. So does one
  // that somebody made and never filled. `cpus` and `mems` are the parent's, and the group's afterwards.
  Result<> fill_cpuset(const Hierarchy& h, std::string_view group, bool there, std::string& cpus, std::string& mems) {
    const bool last = group == desired_.group;
    const auto given = [&](std::string_view name) {
      return last && std::ranges::any_of(desired_.limits, [&](const Limit& l) {
               return l.knob != nullptr ? l.knob->name == name : l.file == name;
             });
    };
    const Cgroup self(hierarchies_, std::string(group));
    const Cgroup parent(hierarchies_, std::string(parent_of(group)));
    const auto text_in = [&](const Cgroup& g, std::string_view file) -> Result<std::string> {
      return std::string(sys::trim(CGX_TRY(g.read(h, file))));
    };
    for (const auto& [file, outer] : {std::pair{"cpuset.cpus", &cpus}, std::pair{"cpuset.mems", &mems}}) {
      std::string own = there ? CGX_TRY(text_in(self, file)) : std::string();
      if (own.empty()) {
        if (outer->empty()) *outer = CGX_TRY(text_in(parent, file));
        own = *outer;
        if (!given(file) && !own.empty())
          steps_.push_back({.verb = Verb::write,
                            .hierarchy = &h,
                            .group = std::string(group),
                            .file = file,
                            .text = own,
                            .knob = find_knob(file),
                            .fresh = !there,
                            .tolerant = true});
      }
      *outer = std::move(own);
    }
    return {};
  }

  Result<> plan_enable(const Hierarchy& h, std::string_view group) {
    if (enable_.empty() || desired_.group.empty()) return {};
    const Cgroup above(hierarchies_, std::string(group));
    const auto given = above.read(h, "cgroup.subtree_control");
    if (!given && given.error().code != ENOENT) return std::unexpected(given.error());  // ENOENT: it is to be made
    ControllerSet now;
    if (given)
      for (const std::string_view name : sys::words(*given))
        if (const auto c = find_controller(name)) now.add(*c);
    std::string text;
    for (const ControllerRow& r : controllers())
      if (enable_.has(r.id) && !now.has(r.id)) text += fmt::format("{}+{}", text.empty() ? "" : " ", r.v2_name);
    if (text.empty()) return {};
    Step step{.verb = Verb::enable,
              .hierarchy = &h,
              .group = std::string(group),
              .file = "cgroup.subtree_control",
              .text = text};
    if (given) CGX_CHECK(check_no_processes(above, step));
    steps_.push_back(std::move(step));
    return {};
  }

  // Whether it belongs to the owner already, or is not there at all.
  bool owned(int dir, const std::string& file) const {
    struct stat st{};
    if (fstatat(dir, file.c_str(), &st, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) return errno == ENOENT;
    const auto same = [](std::uint32_t wanted, std::uint32_t now) {
      return wanted == static_cast<std::uint32_t>(-1) || wanted == now;
    };
    return same(desired_.owner->uid, st.st_uid) && same(desired_.owner->gid, st.st_gid);
  }

  // The directory and the files by which a user makes groups below and moves processes; the limits stay root's.
  void plan_owner(const Hierarchy& h) {
    const auto id = [](std::uint32_t n) {
      return n == static_cast<std::uint32_t>(-1) ? std::string("-1") : std::to_string(n);
    };
    const std::string ids = id(desired_.owner->uid) + ':' + id(desired_.owner->gid);
    const Cgroup self(hierarchies_, desired_.group);
    const auto dir = self.dir(h);
    const auto own = [&](std::string_view file) {
      if (dir && owned(*dir, std::string(file))) return;
      steps_.push_back({.verb = Verb::own,
                        .hierarchy = &h,
                        .group = desired_.group,
                        .file = std::string(file),
                        .text = ids,
                        .tolerant = !file.empty()});
    };
    own("");
    if (h.version() == Version::v1) {
      for (const std::string_view file : {"cgroup.procs", "tasks"}) own(file);
      return;
    }
    // The kernel lists what may be delegated; older ones have no list.
    const auto list = sys::read_path("/sys/kernel/cgroup/delegate");
    for (const std::string_view file :
         sys::lines(list ? std::string_view(*list) : "cgroup.procs\ncgroup.threads\ncgroup.subtree_control"))
      own(file);
  }

  const Hierarchies& hierarchies_;
  const Desired& desired_;
  std::vector<Step>& steps_;
  std::vector<const Hierarchy*> homes_;
  std::vector<const Hierarchy*> there_;  // where the group is already
  ControllerSet enable_;
};

}  // namespace

Result<Plan> Plan::make_structure(const Hierarchies& hierarchies, const Desired& desired) {
  Plan plan;
  CGX_CHECK(StructurePlanner(hierarchies, desired, plan.steps_).run());
  return plan;
}

Result<Plan> Plan::make(const Hierarchies& hierarchies, const Desired& desired) {
  Plan plan = CGX_TRY(make_structure(hierarchies, desired));
  Plan values = CGX_TRY(make_values(Cgroup(hierarchies, desired.group), desired));
  std::ranges::move(values.steps_, std::back_inserter(plan.steps_));
  return plan;
}

std::string Plan::text() const {
  std::string out;
  for (const Step& s : steps_) {
    const std::string path = s.hierarchy->path(s.group, s.file);
    switch (s.verb) {
      case Verb::create:
        out += fmt::format("mkdir {}\n", path);
        break;
      case Verb::remove:
        out += fmt::format("rmdir {}\n", path);
        break;
      case Verb::own:
        out += fmt::format("chown {} {}\n", s.text, path);
        break;
      case Verb::enable:
      case Verb::write:
        out += path + " <- ";
        // A note that is kept with the group may have lines: still one write.
        for (const char c : sys::trim(s.text)) out += c == '\n' ? ';' : c;
        out += '\n';
        break;
    }
  }
  return out;
}

}  // namespace cgx
