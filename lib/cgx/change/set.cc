// SPDX-License-Identifier: Apache-2.0
// Many groups as one change: structure from the top down, then values in an order over all groups, removals at the end.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <set>
#include <thread>
#include <tuple>

#include <fmt/format.h>

#include "cgx/cgroupfs/net_control.h"
#include "cgx/cgroupfs/presence.h"
#include "cgx/cgroupfs/tasks.h"
#include "cgx/change/capture.h"
#include "cgx/change/explain.h"
#include "cgx/change/order.h"
#include "cgx/change/plan.h"
#include "cgx/sys/text.h"

namespace cgx {
namespace {

Result<std::vector<pid_t>> ids_in(const Cgroup& group, const Hierarchy& h) {
  std::vector<pid_t> ids;
  const auto text = group.read(h, "cgroup.procs");
  if (!text && says_absent(text.error())) return ids;
  if (!text) return std::unexpected(text.error());
  for (const std::string_view line : sys::lines(*text))
    if (const auto id = sys::parse_u64(line); id && *id != 0) ids.push_back(static_cast<pid_t>(*id));
  return ids;
}

// cgroup2 first, as remove_group() does it: who comes in meanwhile holds the first of the directories.
std::vector<const Hierarchy*> removal_order(const Cgroup& group) {
  std::vector<const Hierarchy*> order = group.present();
  std::ranges::stable_partition(order, [](const Hierarchy* h) { return h->version() == Version::v2; });
  return order;
}

Result<> check_below(const Cgroup& group, const std::set<std::string_view>& going) {
  const auto children = children_of(group);
  if (!children && says_absent(children.error())) return {};
  if (!children) return std::unexpected(children.error());
  std::string names;
  for (const std::string& child : *children)
    if (!going.contains(fmt::format("{}/{}", group.name(), child))) names += (names.empty() ? "" : ", ") + child;
  if (names.empty()) return {};
  return std::unexpected(Error{.code = EBUSY,
                               .what = fmt::format("cannot go: has groups below it: {}", names),
                               .group = group.name(),
                               .hint = fmt::format("cgx delete -r {} removes them too", group.name())});
}

}  // namespace

Result<Plan> Plan::make(const Hierarchies& hierarchies, const ChangeSet& set) {
  Plan plan;
  std::set<std::tuple<Verb, const Hierarchy*, std::string, std::string>> known;
  std::vector<Step> values;
  for (const Desired& d : set.groups) {
    Plan structure = CGX_TRY(make_structure(hierarchies, d));
    for (Step& s : structure.steps_) {
      // Two groups that need the same of a third one each plan it.
      if (s.verb == Verb::enable) {
        std::string text;
        for (const std::string_view word : sys::words(s.text))
          if (known.emplace(s.verb, s.hierarchy, s.group, std::string(word)).second)
            text += (text.empty() ? "" : " ") + std::string(word);
        if (text.empty()) continue;
        s.text = std::move(text);
      } else if (!known.emplace(s.verb, s.hierarchy, s.group, s.file).second) {
        continue;
      }
      plan.steps_.push_back(std::move(s));
    }
    Plan more = CGX_TRY(make_values(Cgroup(hierarchies, d.group), d));
    std::ranges::move(more.steps_, std::back_inserter(values));
  }
  std::ranges::move(yielding_steps(hierarchies, values, set), std::back_inserter(values));
  const ReadNow now = [&](const Step& s, std::string_view file) -> std::optional<std::string> {
    const auto text = Cgroup(hierarchies, s.group).read(*s.hierarchy, file);
    return text ? std::optional(*text) : std::nullopt;
  };
  std::ranges::move(in_order(std::move(values), now), std::back_inserter(plan.steps_));
  const std::set<std::string_view> going(set.removals.begin(), set.removals.end());
  for (const std::string& name : set.removals) {
    const Cgroup group(hierarchies, name);
    CGX_CHECK(check_below(group, going));
    const std::string heir = heir_of(name, going);
    for (const Hierarchy* h : removal_order(group)) {
      for (const pid_t id : CGX_TRY(ids_in(group, *h)))
        plan.steps_.push_back({.hierarchy = h, .group = heir, .file = "cgroup.procs", .text = std::to_string(id)});
      plan.steps_.push_back({.verb = Verb::remove, .hierarchy = h, .group = name});
    }
  }
  return plan;
}

Cgroup& Transaction::group(const std::string& name) {
  if (const auto at = index_.find(name); at != index_.end()) {
    Cgroup& known = groups_[at->second];
    // What was let go is opened again on demand; the last few are those in use.
    if (at->second + most_open_ < groups_.size()) keep_open(known);
    return known;
  }
  if (groups_.size() >= most_open_) groups_[groups_.size() - most_open_].forget();
  Cgroup& added = groups_.emplace_back(*hierarchies_, name);
  index_.emplace(added.name(), groups_.size() - 1);
  return added;
}

// Each holds a descriptor a hierarchy, of which a process has a thousand: of those that are used again only a few stay
// open.
void Transaction::keep_open(Cgroup& known) {
  if (std::ranges::find(reopened_, &known) != reopened_.end()) return;
  if (reopened_.size() >= most_open_) {
    reopened_.front()->forget();
    reopened_.erase(reopened_.begin());
  }
  reopened_.push_back(&known);
}

Result<> Transaction::apply(const ChangeSet& set, const std::function<Result<>()>& made) {
  for (Cgroup& g : groups_) g.forget();
  if (auto done = change(set, made); !done) return failed(done.error());
  return {};
}

Result<> Transaction::change(const ChangeSet& set, const std::function<Result<>()>& made) {
  if (!set.removals.empty()) CGX_CHECK(lock_.take(*hierarchies_, TreeLock::How::alone));
  const std::set<std::string_view> going(set.removals.begin(), set.removals.end());
  for (const std::string& name : set.removals) CGX_CHECK(check_below(Cgroup(*hierarchies_, name), going));
  const Hierarchy* devices = hierarchies_->of(Controller::devices);
  for (const Desired& d : set.groups) {
    CGX_CHECK(run(CGX_TRY(plan_structure(d)), d.force));
    // v1: the default of a device list cannot change once there are groups below.
    const auto at = made_.find(d.group);
    if (at == made_.end() || devices == nullptr || devices->version() != Version::v1 ||
        std::ranges::find(at->second, devices) == at->second.end())
      continue;
    Desired rules{.group = d.group};
    for (const Limit& l : d.limits)
      if (l.knob != nullptr && l.knob->format == Format::device_rules) rules.limits.push_back(l);
    if (!rules.limits.empty()) CGX_CHECK(run(CGX_TRY(plan_values(rules)), d.force));
  }
  if (made) CGX_CHECK(made());
  Plan values;
  std::set<const Knob*> changed;
  for (const Desired& d : set.groups) {
    Plan more = CGX_TRY(plan_values(d));
    for (const Step& s : more.steps_) changed.insert(s.knob);
    std::ranges::move(more.steps_, std::back_inserter(values.steps_));
  }
  std::ranges::move(yielding_steps(*hierarchies_, values.steps_, set), std::back_inserter(values.steps_));
  values.steps_ =
      in_order(std::move(values.steps_), [&](const Step& s, std::string_view file) -> std::optional<std::string> {
        if (s.fresh) return {};
        const auto text = group(s.group).read(*s.hierarchy, file);
        return text ? std::optional(*text) : std::nullopt;
      });
  CGX_CHECK(run(values, std::ranges::any_of(set.groups, &Desired::force)));
  std::vector<Limit> lossy;
  for (const Knob* knob : changed) lossy.push_back({knob, {}, {}, {}});
  note_losses(lossy);
  if (set.removals.empty()) return {};
  const Capture capture(*hierarchies_);
  for (const std::string& name : set.removals) CGX_CHECK(remove(name, heir_of(name, going), capture));
  return {};
}

Result<> Transaction::remove(const std::string& name, const std::string& heir, const Capture& capture) {
  if (stop_ != nullptr && *stop_) return fail(EINTR, "was interrupted");
  Cgroup& g = group(name);
  g.forget();
  if (!CGX_TRY(is_there(g))) return {};  // somebody else was quicker
  auto removed = std::make_unique<Removed>();
  removed->heir = heir;
  removed->before = CGX_TRY(capture.of(g));
  const std::vector<const Hierarchy*> order = removal_order(g);
  std::vector<std::string> shaped;
  for (const Hierarchy* h : order) {
    const int dir = CGX_TRY(g.dir(*h));
    if (h->version() == Version::v2) {
      const auto given = g.read(*h, "cgroup.subtree_control");
      if (!given && !says_absent(given.error())) return std::unexpected(given.error());
      if (given) removed->subtree = *given;
    }
    // Classes and filters on interfaces do not go with the group by themselves: they go after it, by its key.
    if ((h->version() == Version::v2 || h->controllers().has(Controller::net_cls)) && attached_net(dir))
      shaped.push_back(net_key(dir, h->version()));
  }
  done_.push_back({Verb::remove, nullptr, name, {}, std::move(removed)});
  Removed& back = *done_.back().removed;
  for (const Hierarchy* h : order) {
    // The kernel needs some time after the last process is gone: 1 ms, doubling, about a second in all.
    for (int pause_ms = 1;; pause_ms *= 2) {
      CGX_CHECK(move_out(g, heir, back));
      const auto gone = sys::remove_dir(CGX_TRY(h->root()), name);
      if (gone || gone.error().code == ENOENT) break;
      if (gone.error().code != EBUSY || pause_ms > 512) {
        Error e = gone.error();
        e.group = name;
        e.what = fmt::format("rmdir in {}: {}", h->label(), e.what);
        return std::unexpected(explain_remove(g, std::move(e)));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
    }
  }
  for (const std::string& key : shaped) CGX_CHECK(located(release_net(key), name, "net.rate"));
  g.forget();
  return {};
}

// Each hierarchy for itself: where a process is elsewhere in one of them, there it stays.
Result<> Transaction::move_out(const Cgroup& g, const std::string& heir, Removed& removed) {
  const Cgroup target(*hierarchies_, heir);
  for (int round = 0; round < 100; ++round) {
    bool found = false;
    for (const Hierarchy* h : g.present())
      for (const pid_t id : CGX_TRY(ids_in(g, *h))) {
        found = true;
        const auto moved = target.write(*h, "cgroup.procs", std::to_string(id));
        if (moved) {
          removed.moved.push_back({h, id});
          continue;
        }
        if (moved.error().code == ESRCH) continue;
        Error e = explain_attach(target, moved.error(), id);
        e.what = fmt::format("cannot go: process {} is in it, and {}, where it would go: {}", id, shown(heir), e.what);
        e.group = g.name();
        e.knob.clear();
        e.value.clear();
        e.hint = fmt::format("cgx kill {} ends what runs there, cgx move NAME {} moves it", g.name(), id);
        return std::unexpected(std::move(e));
      }
    if (!found) return {};
  }
  return std::unexpected(Error{.code = EBUSY,
                               .what = "cannot go: processes come faster than they can be moved out",
                               .group = g.name(),
                               .hint = fmt::format("cgx kill {} ends them", g.name())});
}

void Transaction::make_again(const std::string& name, const Removed& removed, std::vector<std::string>& left) {
  group(name).forget();
  if (const auto again = change(removed.before); !again)
    left.push_back(fmt::format("{} could not be made again: {}", name, again.error().text()));
  const Cgroup g(*hierarchies_, name);
  if (const Hierarchy* h = hierarchies_->unified(); h != nullptr && g.dir(*h)) {
    std::string words;
    for (const std::string_view word : sys::words(sys::trim(removed.subtree)))
      words += fmt::format("{}+{}", words.empty() ? "" : " ", word);
    if (!words.empty())
      if (const auto given = g.write(*h, "cgroup.subtree_control", words); !given)
        left.push_back(fmt::format(
            "{} could not be put back to {}: {}", h->path(name, "cgroup.subtree_control"), words, given.error().what));
  }
  const Cgroup heir(*hierarchies_, removed.heir);
  for (const Removed::Moved& m : removed.moved) {
    const auto there = ids_in(heir, *m.hierarchy);
    if (there && std::ranges::find(*there, m.pid) == there->end()) continue;  // it ended, or went on by itself
    if (const auto back = g.write(*m.hierarchy, "cgroup.procs", std::to_string(m.pid));
        !back && back.error().code != ESRCH)
      left.push_back(fmt::format("process {} could not be moved back to {}: {}", m.pid, name, back.error().what));
  }
}

}  // namespace cgx
