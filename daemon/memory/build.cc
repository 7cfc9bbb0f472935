// SPDX-License-Identifier: Apache-2.0
#include "daemon/memory/build.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include <sys/eventfd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/place.h"
#include "cgx/sys/count.h"
#include "cgx/sys/text.h"

#include "daemon/descriptors.h"

namespace cgx::daemon::memory {
namespace {

std::string text_of(const policy::Amount& a) {
  return a.percent != 0 ? fmt::format("{}%", a.percent) : std::to_string(a.bytes);
}

std::string list_text(const std::vector<policy::Action>& list) {
  std::string text;
  for (const policy::Action& a : list) text += memory::text_of(a) + "\n";
  return text;
}

constexpr std::size_t group_files = 9;

class Builder {
 public:
  Builder(const Hierarchies& hierarchies, const View& old, std::size_t most, std::vector<policy::Problem>& problems)
      : hierarchies_(&hierarchies), old_(&old), most_(most), problems_(&problems) {
    if (auto own = places_of(hierarchies, 0)) own_ = *std::move(own);
  }

  Built take() && { return std::move(built_); }

  void add_all(const policy::Policies& policies, std::span<const std::string> also) {
    for (const policy::GroupPolicy& g : policies.groups) wanted_[g.name] = &g;
    for (const std::string& name : also)
      if (!name.empty()) wanted_.try_emplace(name, nullptr);
    for (const policy::GroupPolicy& g : policies.groups) {
      want_targets(g.on_oom);
      for (const policy::PressureRule& rule : g.on_pressure) want_targets(rule.actions);
    }
    // In the order of names, parents are before children.
    for (const auto& [name, policy] : wanted_) {
      for (std::size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1))
        if (!wanted_.contains(name.substr(0, slash))) (void)node(name.substr(0, slash), false, {});
      const auto place = policy != nullptr ? policy->place : policy::Place{};
      if (node(name, true, place) == nullptr && !inode_of(*hierarchies_, name) && policy != nullptr)
        built_.view.missing.push_back(name);
    }
    for (const auto& [name, policy] : wanted_)
      if (const auto at = made_.find(name); at != made_.end() && at->second->registered) program(at->second, policy);
    link();
  }

 private:
  // Groups that are only frozen need open files as well.
  void want_targets(const std::vector<policy::Action>& list) {
    for (const policy::Action& a : list) {
      if (const auto* f = std::get_if<policy::Freeze>(&a.what); f != nullptr && !f->group.empty())
        wanted_.try_emplace(f->group, nullptr);
      if (const auto* t = std::get_if<policy::Thaw>(&a.what); t != nullptr && !t->group.empty())
        wanted_.try_emplace(t->group, nullptr);
    }
  }

  void problem(const policy::Place& place, const std::string& group, const Error& e, bool warning = false) {
    problems_->push_back(
        {.place = place, .path = "groups." + group, .what = e.text(), .hint = e.hint, .warning = warning});
  }

  // The rest of the program needs descriptors too: numbers from `most_` on are not for watching. The kernel gives the
  // lowest free one, so that it says how many there are.
  [[nodiscard]] bool full() const {
    const sys::Fd probe(eventfd(0, EFD_CLOEXEC));
    return !probe.valid() || static_cast<std::size_t>(probe.get()) + group_files > most_;
  }

  // The group, open; taken over from the old set where it is the same directory. nullptr: told, or not there.
  std::shared_ptr<Node> node(const std::string& name, bool registered, const policy::Place& place) {
    if (const auto at = made_.find(name); at != made_.end()) return at->second;
    if (const View::Entry* e = old_->find(name); e != nullptr && e->node->registered == registered && !e->node->gone &&
                                                 e->node->inode == inode_of(*hierarchies_, name)) {
      made_[name] = e->node;
      return e->node;
    }
    if (exhausted_) return nullptr;
    auto opened = full() ? fail(EMFILE, "") : open_node(*hierarchies_, name, registered);
    if (!opened) {
      const int code = opened.error().code;
      if (code == EMFILE || code == ENFILE) {
        exhausted_ = true;
        problem(place,
                name,
                Error{.code = code,
                      .what = fmt::format("memory events of this group and those after it are not watched: the limit "
                                          "of {} open files is reached ({} watched)",
                                          descriptor_limit(),
                                          sys::counted(made_.size(), "group is", "groups are")),
                      .hint = "raise LimitNOFILE= of cgxd.service; a group takes eight"});
      } else if (code != ENOENT) {
        problem(place, name, opened.error());
      }
      return nullptr;
    }
    fresh_.insert(opened->get());
    made_[name] = *opened;
    return *opened;
  }

  [[nodiscard]] bool holds_us(const std::string& group, const Hierarchy* h) const {
    return std::ranges::any_of(own_, [&](const Place& p) { return p.hierarchy == h && lies_in(p.group, group); });
  }
  [[nodiscard]] bool holds_us(const std::string& group) const {
    return std::ranges::any_of(own_, [&](const Place& p) { return lies_in(p.group, group) && !group.empty(); });
  }

  Actions actions(const std::shared_ptr<Node>& self,
                  const std::vector<policy::Action>& list,
                  const Program* old,
                  const std::vector<Actions>* old_lists) {
    Actions out;
    for (const policy::Action& a : list) {
      std::string named;
      if (const auto* freeze = std::get_if<policy::Freeze>(&a.what)) named = freeze->group;
      if (const auto* thaw = std::get_if<policy::Thaw>(&a.what)) named = thaw->group;
      const bool stops = std::holds_alternative<policy::Freeze>(a.what) || std::holds_alternative<policy::Kill>(a.what);
      if (stops && holds_us(named.empty() ? self->name : named)) {
        problem(
            a.place,
            self->name,
            Error{.code = EINVAL,
                  .what = fmt::format("{}: this daemon itself is in {}", a.name(), named.empty() ? self->name : named),
                  .hint = "run cgxd in a group that no such policy covers"});
        continue;
      }
      std::shared_ptr<Node> target;
      if (!named.empty() && named != self->name) {
        target = node(named, true, a.place);
        if (target == nullptr || !target->files.freezer.valid()) {
          problem(a.place,
                  self->name,
                  Error{.code = ENOENT,
                        .what = fmt::format("{}: there is no group {} that can be frozen", a.name(), named)},
                  true);
          if (target == nullptr) built_.view.missing.push_back(named);
          continue;
        }
      }
      out.list.push_back(a);
      out.targets.push_back(std::move(target));
    }
    out.text = list_text(out.list);
    if (old != nullptr && old->oom.text == out.text && old_lists == nullptr) out.allowances = old->oom.allowances;
    if (old_lists != nullptr)
      for (const Actions& o : *old_lists)
        if (o.text == out.text) out.allowances = o.allowances;
    if (out.allowances == nullptr) out.allowances = std::make_shared<std::vector<policy::Allowance>>(out.list.size());
    return out;
  }

  void program(const std::shared_ptr<Node>& self, const policy::GroupPolicy* policy) {
    const View::Entry* before = old_->find(self->name);
    const Program* old = before != nullptr ? before->program.get() : nullptr;
    auto p = std::make_shared<Program>();
    p->group = self->name;
    p->observed = policy == nullptr;
    if (policy != nullptr) {
      p->mode = policy->oom;
      p->pause_max = policy->pause_max;
      if (p->mode == policy::OomMode::pause && holds_us(self->name)) {
        p->mode = policy::OomMode::kernel;
        problem(policy->place,
                self->name,
                Error{.code = EINVAL,
                      .what = "memory.oom: pause would pause this daemon itself, which is in the group",
                      .hint = "run cgxd in a group that no such policy covers"});
      }
      p->oom = actions(self, policy->on_oom, old, nullptr);
      for (const policy::PressureRule& rule : policy->on_pressure) {
        p->rules.push_back(rule);
        p->pressure.push_back(actions(self, rule.actions, old, old != nullptr ? &old->pressure : nullptr));
      }
    } else {
      p->oom = actions(self, {}, old, nullptr);
    }
    const auto first = std::ranges::find_if(
        p->oom.list, [](const policy::Action& a) { return !std::holds_alternative<policy::Log>(a.what); });
    p->raise_first = first != p->oom.list.end() && std::holds_alternative<policy::Raise>(first->what);
    if (p->mode == policy::OomMode::pause) hold(*self, *p, policy->place);
    for (std::size_t i = 0; i < p->rules.size(); ++i) trigger(self, p, i);
    programs_[self.get()] = std::move(p);
  }

  // What is to be put back one day: as it was before us, by the state directory where an earlier start wrote it down.
  void hold(Node& node, Program& program, const policy::Place& place) {
    Held held{.inode = node.inode, .before = {}, .group = node.name};
    held.what = node.version == Version::v1 ? Held::What::oom : Held::What::high;
    const auto at = std::ranges::find_if(old_->held, [&](const Held& h) {
      return h.what == held.what && h.inode == held.inode && h.group == held.group;
    });
    if (node.version == Version::v1) {
      held.before = at != old_->held.end() ? at->before : read_oom(node).disabled ? "1" : "0";
    } else if (!node.files.high.valid()) {
      program.mode = policy::OomMode::kernel;
      problem(
          place, node.name, Error{.code = ENOTSUP, .what = "memory.oom: pause needs memory.high, which is not here"});
      return;
    } else {
      // What stands there now is ours only if it is where our tripwire would be.
      const Number high = read_number(node.files.high.get());
      const Number limit = read_number(node.files.limit.get());
      const bool ours =
          at != old_->held.end() && (high.value == node.wire || high.value == policy::early_mark(limit.value));
      held.before = ours ? at->before : high.value == sys::unlimited ? "max" : std::to_string(high.value);
    }
    built_.view.held.push_back(std::move(held));
  }

  void trigger(const std::shared_ptr<Node>& self, const std::shared_ptr<const Program>& program, std::size_t rule) {
    const policy::PressureRule& r = program->rules[rule];
    for (std::size_t i = 0; i < old_->pressures.size(); ++i) {
      const auto& p = old_->pressures[i];
      const policy::PressureRule& o = old_->pressure_programs[i]->rules[p->rule];
      if (p->node != self || o.resource != r.resource || o.full != r.full || o.stall != r.stall || o.window != r.window)
        continue;
      const bool taken = std::ranges::find(built_.view.pressures, p) != built_.view.pressures.end();
      if (!taken) return put(p, program, rule, false);
    }
    auto opened = full() ? fail(EMFILE, fmt::format("the limit of {} open files is reached", descriptor_limit()))
                         : open_pressure(*hierarchies_, self, r);
    if (!opened) return problem(r.place, self->name, opened.error());
    if ((*opened)->level)
      problem(r.place,
              self->name,
              Error{.code = ENOTSUP,
                    .what = "stalls are not counted for this group here; v1's memory.pressure_level is taken instead"},
              true);
    put(*opened, program, rule, true);
  }
  void put(const std::shared_ptr<Pressure>& p,
           const std::shared_ptr<const Program>& program,
           std::size_t rule,
           bool fresh) {
    built_.set.pressures.push_back({p, program, rule, fresh});
    built_.view.pressures.push_back(p);
    built_.view.pressure_programs.push_back(program);
  }

  void link() {
    std::map<const Node*, std::size_t> index;
    for (const auto& [name, node] : made_) {
      Set::Entry e{.node = node, .children = {}, .program = nullptr, .fresh = fresh_.contains(node.get())};
      // The nearest one above that there is; all above are there, unless one could not be opened.
      for (std::string_view above = parent_of(name); !above.empty() && e.parent == nullptr; above = parent_of(above))
        if (const auto at = made_.find(std::string(above)); at != made_.end()) e.parent = at->second.get();
      if (const auto at = programs_.find(node.get()); at != programs_.end()) e.program = at->second;
      if (e.parent != nullptr) built_.set.nodes[index[e.parent]].children.push_back(node.get());
      for (const Held& h : built_.view.held)
        if (h.what == Held::What::high && h.group == name)
          e.own_high = h.before == "max" ? sys::unlimited : sys::parse_u64(h.before).value_or(sys::unlimited);
      index[node.get()] = built_.set.nodes.size();
      built_.view.nodes.push_back({node, e.program});
      built_.set.nodes.push_back(std::move(e));
    }
    built_.set.busy.reserve(2 * made_.size() + 8);
    built_.set.busy_pressures.reserve(2 * built_.set.pressures.size() + 8);
  }

  const Hierarchies* hierarchies_;
  const View* old_;
  std::size_t most_;
  std::vector<policy::Problem>* problems_;
  std::vector<Place> own_;
  std::map<std::string, const policy::GroupPolicy*> wanted_;
  std::map<std::string, std::shared_ptr<Node>> made_;
  std::map<const Node*, std::shared_ptr<const Program>> programs_;
  std::set<const Node*> fresh_;
  bool exhausted_ = false;
  Built built_;
};

}  // namespace

const View::Entry* View::find(const std::string& group) const {
  const auto at = std::ranges::find_if(nodes, [&](const Entry& e) { return e.node->name == group; });
  return at == nodes.end() ? nullptr : &*at;
}

Built build(const Hierarchies& hierarchies,
            const policy::Policies& policies,
            std::span<const std::string> also,
            const View& old,
            std::size_t descriptors,
            std::vector<policy::Problem>& problems) {
  Builder builder(hierarchies, old, descriptors, problems);
  builder.add_all(policies, also);
  return std::move(builder).take();
}

std::string text_of(const policy::Action& action) {
  std::string text(action.name());
  if (const auto* a = std::get_if<policy::Raise>(&action.what))
    text += fmt::format(" by {} up to {} decay {}", text_of(a->by), a->up_to, a->decay_after);
  if (const auto* a = std::get_if<policy::Kill>(&action.what))
    text += fmt::format(" pick {} protect {} signal {} grace {}",
                        static_cast<int>(a->pick),
                        fmt::join(a->protect, ","),
                        a->signal,
                        a->grace);
  if (const auto* a = std::get_if<policy::Freeze>(&action.what))
    text += fmt::format(" {} for {}", a->group, a->duration);
  if (const auto* a = std::get_if<policy::Thaw>(&action.what)) text += " " + a->group;
  if (const auto* a = std::get_if<policy::Set>(&action.what)) {
    text += " " + a->group;
    for (const policy::PolicyLimit& l : a->limits) text += fmt::format(" {}={}", l.key, l.limit.given);
  }
  if (const auto* a = std::get_if<policy::Exec>(&action.what))
    text += fmt::format(" user '{}' '{}'", a->user, fmt::join(a->argv, "' '"));
  if (const auto* a = std::get_if<policy::Log>(&action.what)) text += " " + a->message;
  if (const auto* a = std::get_if<policy::Reclaim>(&action.what)) text += " " + text_of(a->amount);
  return text + fmt::format(" timeout {} limit {}/{}", action.timeout, action.limit.times, action.limit.within);
}

}  // namespace cgx::daemon::memory
