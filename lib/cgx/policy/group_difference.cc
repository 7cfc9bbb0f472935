// SPDX-License-Identifier: Apache-2.0
#include "cgx/policy/group_difference.h"

#include <algorithm>
#include <cerrno>
#include <optional>

#include <fcntl.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/presence.h"
#include "cgx/change/capture.h"
#include "cgx/change/online.h"
#include "cgx/policy/adopted.h"
#include "cgx/policy/difference.h"
#include "cgx/sys/text.h"

namespace cgx::policy {
namespace {

using Sign = Change::Sign;

std::string ids_of(const Owner& owner) {
  const auto id = [](std::uint32_t n) { return n == static_cast<std::uint32_t>(-1) ? "-1" : std::to_string(n); };
  return fmt::format("{}:{}", id(owner.uid), id(owner.gid));
}

std::optional<Owner> owner_from(std::string_view ids) {
  const std::size_t colon = ids.find(':');
  if (colon == std::string_view::npos) return {};
  const auto id = [](std::string_view text) {
    return static_cast<std::uint32_t>(sys::parse_i64(text, -1, 0xfffffffeLL).value_or(-1));
  };
  return Owner{id(ids.substr(0, colon)), id(ids.substr(colon + 1))};
}

std::string key_of(const Limit& l) { return std::string(l.knob != nullptr ? l.knob->name : std::string_view(l.file)); }
std::string wanted_text(const Limit& l) { return l.knob != nullptr ? exact(*l.knob, l.value) : l.given; }
std::string shown_value(const Limit& l) {
  return l.knob != nullptr ? short_text(*l.knob, l.value) : std::string(sys::trim(l.given));
}

struct Pending {
  Limit limit;
  std::string key;
  std::string to;                      // as it is shown
  std::optional<std::string> reads{};  // of a raw limit: what its file says when it is in force, where that is known
  bool changed = false;
};

class One {
 public:
  One(const Hierarchies& hierarchies,
      const ApplyOptions& options,
      SetFlow& flows,
      const std::string& name,
      const WantedGroup& wanted,
      const ManagedGroup* old)
      : hierarchies_(hierarchies),
        options_(options),
        flows_(flows),
        wanted_(wanted),
        old_(old),
        adopts_(wanted.policy != nullptr && wanted.policy->adopt),
        here_(hierarchies, name) {}

  Result<GroupDifference> run() {
    there_ = CGX_TRY(is_there(here_));
    CGX_CHECK(begin());
    CGX_CHECK(named_limits());
    if (there_ && old_ != nullptr) CGX_CHECK(dropped_limits());
    inherit_sets();
    CGX_CHECK(there_ ? find_changes() : all_new());
    const bool limits = std::ranges::any_of(limits_, &Pending::changed);
    const bool owner = CGX_TRY(find_owner());
    take_limits();
    if (added_) g_.changes.assign(1, {Sign::add, here_.name(), {}, {}, {}});
    g_.todo = added_ || limits || owner;
    return std::move(g_);
  }

 private:
  Result<> begin() {
    const std::string& name = here_.name();
    const std::uint64_t inode = there_ ? CGX_TRY(inode_of(hierarchies_, name)) : 0;
    if (old_ != nullptr && !old_->adopted.empty())
      old_ = &of_adopted_.emplace(CGX_TRY(still_there(hierarchies_, *old_)));
    else if (old_ != nullptr && there_ && old_->inode != 0 && old_->inode != inode)
      old_ = nullptr;  // another of that name
    g_.desired.group = name;
    g_.desired.existing = adopts_ || !wanted_.recorded ? Existing::follow : Existing::allow;
    g_.managed = {.name = name, .source = wanted_.source, .named = wanted_.policy != nullptr, .inode = inode};
    std::string& made = g_.managed.made;
    made = !there_ ? "*" : old_ != nullptr ? old_->made : "-";
    added_ = !there_;
    if (adopts_) {
      made = "-";
      g_.managed.adopted = CGX_TRY(found_in(hierarchies_, name));
    }
    if (!there_ || !wanted_.recorded || adopts_) return {};
    for (const Hierarchy& h : hierarchies_.all()) {
      if (std::ranges::find(here_.present(), &h) != here_.present().end()) continue;
      added_ = true;
      if (made != "*") made = (made == "-" || made.empty() ? "" : made + " ") + h.label();
    }
    return {};
  }

  // ---- what is wanted -----------------------------------------------------------------------------------------------

  Result<> named_limits() {
    if (wanted_.policy == nullptr) return {};
    for (PolicyLimit p : wanted_.policy->limits) {
      if (!leave_out_offline(hierarchies_, p.limit)) continue;
      const bool raw = p.limit.knob == nullptr;
      const Knob* knob = raw ? raw_row(p.limit.file) : p.limit.knob;
      if (raw && knob != nullptr && knob->kind == Kind::command)
        return std::unexpected(Error{.code = EINVAL,
                                     .what = Problem{.place = p.place, .what = "is a command, not a setting"}.text(),
                                     .group = here_.name(),
                                     .knob = p.limit.file,
                                     .fault = Fault::usage});
      Pending pending{p.limit, p.key, shown_value(p.limit)};
      ManagedLimit m{.key = p.key, .knob = key_of(p.limit), .raw = raw, .wanted = wanted_text(p.limit)};
      if (adopts_ && (p.left || is_elsewhere(m))) continue;
      const ManagedLimit* was = old_ != nullptr ? old_->find(m.knob) : nullptr;
      if (was != nullptr) {
        m.before = was->before;
        // A period that a policy gave goes with it.
        if (auto* quota = std::get_if<sys::Quota>(&pending.limit.value); quota != nullptr && quota->period == 0)
          if (const auto gave = value_of(*knob, was->wanted); gave && std::get<sys::Quota>(*gave).period != 0)
            with_period(pending.limit.value);
        // What the kernel made of the same text is what is wanted.
        if (was->wanted == m.wanted) m.reads = was->reads;
        if (m.reads && raw) pending.reads = m.reads;
        if (m.reads && !raw)
          if (auto value = value_of(*knob, *m.reads)) pending.limit.value = *std::move(value);
      } else if (there_) {
        m.before = CGX_TRY(before_of(p.limit, m));
      }
      g_.managed.limits.push_back(std::move(m));
      limits_.push_back(std::move(pending));
    }
    return {};
  }

  // An adopted group is set in the hierarchies that its owner has made it in.
  bool is_elsewhere(const ManagedLimit& m) {
    const Hierarchy* h = files_of(hierarchies_, m).hierarchy;
    if (h == nullptr || here_.dir(*h)) return false;  // what is wrong is told by the plan
    g_.notes.push_back(
        fmt::format("{}: {} is left out: the group is not in the {} hierarchy", here_.name(), m.key, h->label()));
    return true;
  }

  bool left_to_owner(const ManagedLimit& was) const {
    return adopts_ && std::ranges::any_of(wanted_.policy->limits,
                                          [&](const PolicyLimit& p) { return p.left && key_of(p.limit) == was.knob; });
  }

  // `50%` is a share of the period; 100 ms is the kernel's.
  static void with_period(Value& value) {
    if (auto* quota = std::get_if<sys::Quota>(&value); quota != nullptr && quota->period == 0) quota->period = 100'000;
  }

  const Knob* raw_row(std::string_view file) const {
    const auto c = controller_of_file(file);
    const Hierarchy* h = c ? hierarchies_.of(*c) : nullptr;
    return h != nullptr ? knob_of_file(file, h->version()) : nullptr;
  }

  // What is to be put back one day; none where that is what a new group has, or where the same file was managed under
  // another name.
  Result<std::optional<std::string>> before_of(const Limit& l, const ManagedLimit& m) const {
    using Text = Result<std::optional<std::string>>;
    if (old_ != nullptr && std::ranges::any_of(old_->limits, [&](const ManagedLimit& other) {
          return share_a_file(hierarchies_, other, m);
        }))
      return Text();
    if (l.knob == nullptr) return current_text(here_, l);
    // What is read of an idle group's weight is not what it had.
    const bool weight = l.knob->kind == Kind::weight && l.knob->name != "cpu.idle";
    if (weight && home_of(hierarchies_, *l.knob).value_or(Home{}).hierarchy == hierarchies_.of(Controller::cpu) &&
        CGX_TRY(current_text(here_, {find_knob("cpu.idle"), {}, {}, {}})) == "1")
      return Text();
    auto now = CGX_TRY(current_text(here_, l));
    if (now && !adopts_)  // what its owner has given it is not the kernel's to change
      if (const auto initial = CGX_TRY(initial_value_in(here_, *l.knob)); initial && exact(*l.knob, *initial) == *now)
        return Text();
    return now;
  }

  // Limits that are managed and no longer named go back.
  Result<> dropped_limits() {
    for (const ManagedLimit& was : old_->limits) {
      if (g_.managed.find(was.knob) != nullptr || left_to_owner(was)) continue;
      if (options_.keep) {
        g_.managed.limits.push_back(was);
        continue;
      }
      if (set_by_another(was)) continue;
      if (was.raw) {
        if (was.before)
          limits_.push_back({{nullptr, std::string(), *was.before, was.knob}, was.key, *was.before});
        else
          cannot_go_back(was);
        continue;
      }
      const Knob* knob = find_knob(was.knob);
      if (knob == nullptr) continue;
      std::optional<Value> before = was.before ? value_of(*knob, *was.before) : CGX_TRY(start_of(*knob));
      if (before) with_period(*before);
      const auto wrote = value_of(*knob, was.wanted);
      if (!before || !wrote) {
        cannot_go_back(was);
        continue;
      }
      Value back = going_back(*knob, *wrote, *before);
      std::string given = exact(*knob, back);
      Limit limit{knob, std::move(back), std::move(given), {}};
      if (leave_out_offline(hierarchies_, limit))
        limits_.push_back({std::move(limit), was.key, short_text(*knob, *before)});
      else
        cannot_go_back(was);
    }
    return {};
  }

  bool set_by_another(const ManagedLimit& was) const {
    return std::ranges::any_of(g_.managed.limits,
                               [&](const ManagedLimit& l) { return share_a_file(hierarchies_, l, was); });
  }

  // What a new group would have: of its parent's, what that is about to get.
  Result<std::optional<Value>> start_of(const Knob& knob) const {
    const auto flow = flows_.find({std::string(parent_of(here_.name())), knob.name});
    return flow != flows_.end() ? std::optional<Value>(flow->second.value) : initial_value_in(here_, knob);
  }

  void cannot_go_back(const ManagedLimit& was) {
    g_.notes.push_back(fmt::format("{}: {} stays as it is: what it was before is not known", here_.name(), was.knob));
  }

  // v1: a group that was given its parent's CPUs and nodes follows them, since it can have no others.
  void inherit_sets() {
    const Hierarchy* h = hierarchies_.of(Controller::cpuset);
    if (h == nullptr || h->version() != Version::v1) return;
    const std::string above(parent_of(here_.name()));
    for (const std::string_view file : {"cpuset.cpus", "cpuset.mems"}) {
      const auto own = std::ranges::find_if(
          limits_, [&](const Pending& p) { return p.limit.knob != nullptr && p.limit.knob->name == file; });
      if (own != limits_.end()) {
        flows_[{here_.name(), file}] = own->limit;
        continue;
      }
      const auto flow = flows_.find({above, file});
      if (flow == flows_.end() || g_.managed.made == "-") continue;
      const Limit limit = flow->second;
      if (there_ && !follows(above, file, limit)) continue;
      flows_[{here_.name(), file}] = limit;
      limits_.push_back({limit, std::string(file), short_text(*limit.knob, limit.value)});
    }
  }

  // A group that somebody gave other CPUs to keeps them, where they are among its parent's.
  bool follows(const std::string& above, std::string_view file, const Limit& flow) const {
    const auto text = [&](const Cgroup& g) {
      const auto read = g.read(Controller::cpuset, file);
      return sys::IdSet::parse(read ? sys::trim(*read) : std::string_view());
    };
    const auto now = text(here_);
    const auto outer = text(Cgroup(hierarchies_, above));
    const auto* list = std::get_if<std::string>(&flow.value);
    const auto set = sys::IdSet::parse(list != nullptr ? *list : std::string());
    return now && outer && set && (*now == *outer || !now->within(*set));
  }

  // ---- what differs -------------------------------------------------------------------------------------------------

  // Values and the host are judged before anything is written.
  Result<> all_new() {
    for (Pending& p : limits_) {
      p.changed = true;
      if (p.limit.knob != nullptr)
        CGX_CHECK(located(home_of(hierarchies_, *p.limit.knob), here_.name(), "", p.limit.given));
    }
    return {};
  }

  Result<> find_changes() {
    Desired probe{.group = here_.name()};
    for (Pending& p : limits_) {
      if (!CGX_TRY(available(p.limit))) {
        p.changed = true;
      } else if (p.limit.knob == nullptr) {
        const auto now = CGX_TRY(current_text(here_, p.limit));
        p.changed = !now || (p.reads != now && !same_raw(p.limit.given, *now));
      } else {
        probe.limits.push_back(p.limit);
      }
    }
    const Plan plan = CGX_TRY(Plan::make_values(here_, probe));
    for (Pending& p : limits_) {
      if (p.limit.knob != nullptr && !p.changed)
        p.changed = std::ranges::any_of(plan.steps(), [&](const Step& s) { return s.knob == p.limit.knob; });
      if (!p.changed || added_) continue;
      const auto now = CGX_TRY(current_text(here_, p.limit));
      std::string from = now.value_or("none");
      if (p.limit.knob != nullptr && now)
        if (const auto value = value_of(*p.limit.knob, *now)) from = short_text(*p.limit.knob, *value);
      g_.changes.push_back({Sign::modify, here_.name(), p.key, std::move(from), p.to});
    }
    return {};
  }

  // Whether the group has the files of the limit's controller yet: on v2 the groups above may have to give it first.
  Result<bool> available(const Limit& l) {
    std::optional<Controller> c = controller_of_file(l.file);
    if (l.knob != nullptr)
      c = CGX_TRY(located(home_of(hierarchies_, *l.knob), here_.name(), "", l.given)).backing->controller;
    const Hierarchy* h = c ? hierarchies_.of(*c) : nullptr;
    if (h == nullptr) return true;  // what is wrong is told by the plan
    if (const auto dir = here_.dir(*h); !dir && says_absent(dir.error()))
      return false;
    else if (!dir)
      return located(Result<bool>(std::unexpected(dir.error())), here_.name());
    const std::string_view name = row(*c).v2_name;
    if (h->version() == Version::v1 || name.empty()) return true;
    if (!given_) given_ = CGX_TRY(here_.read(*h, "cgroup.controllers"));
    const auto words = sys::words(sys::trim(*given_));
    return std::ranges::find(words, name) != words.end();
  }

  Result<bool> find_owner() {
    ManagedGroup& next = g_.managed;
    const bool named = wanted_.policy != nullptr && wanted_.policy->owner;
    const bool was = old_ != nullptr && !old_->owner.empty();
    std::string to;
    if (named) {
      next.owner = ids_of(*wanted_.policy->owner);
      g_.desired.owner = wanted_.policy->owner;
      to = wanted_.policy->owner_text.empty() ? next.owner : wanted_.policy->owner_text;
    } else if (was && options_.keep) {
      next.owner = old_->owner;
      next.owner_before = old_->owner_before;
      return false;
    } else if (was) {
      to = old_->owner_before;
      g_.desired.owner = owner_from(to);
    }
    if (!g_.desired.owner) return false;
    std::string now = "0:0";
    struct stat st{};
    if (there_ && fstat(CGX_TRY(here_.dir(*here_.present().front())), &st) == 0)
      now = fmt::format("{}:{}", st.st_uid, st.st_gid);
    if (named) next.owner_before = was ? old_->owner_before : now;
    if (!there_) return true;
    const Plan plan = CGX_TRY(Plan::make_structure(
        hierarchies_, {.group = here_.name(), .existing = Existing::allow, .owner = g_.desired.owner}));
    if (std::ranges::none_of(plan.steps(), [](const Step& s) { return s.verb == Verb::own; })) {
      g_.desired.owner.reset();
      return false;
    }
    g_.changes.push_back({Sign::modify, here_.name(), "owner", now, to});
    return true;
  }

  void take_limits() {
    std::vector<Limit>& limits = g_.desired.limits;
    for (Pending& p : limits_)
      if (p.limit.knob != nullptr || p.changed) limits.push_back(std::move(p.limit));
    // An idle group takes no weight: it is to be idle no more before others, and idle after them.
    const auto idle = [](const Limit& l) { return l.knob != nullptr && l.knob->name == "cpu.idle"; };
    const auto at = std::ranges::find_if(limits, idle);
    if (at == limits.end()) return;
    if (at->value == Value(std::uint64_t{0}))
      std::rotate(limits.begin(), at, at + 1);
    else
      std::rotate(at, at + 1, limits.end());
  }

  const Hierarchies& hierarchies_;
  const ApplyOptions& options_;
  SetFlow& flows_;
  const WantedGroup& wanted_;
  const ManagedGroup* old_;
  const bool adopts_;                       // a policy, now
  std::optional<ManagedGroup> of_adopted_;  // what `old_` is then
  const Cgroup here_;
  bool there_ = false;
  bool added_ = false;
  std::optional<std::string> given_;  // v2: the controllers of the group
  std::vector<Pending> limits_;
  GroupDifference g_;
};

}  // namespace

Result<GroupDifference> GroupDiffer::run(const std::string& name, const WantedGroup& wanted, const ManagedGroup* old) {
  return One(hierarchies_, options_, flows_, name, wanted, old).run();
}

}  // namespace cgx::policy
