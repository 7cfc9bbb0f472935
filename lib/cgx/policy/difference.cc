// SPDX-License-Identifier: Apache-2.0
#include "cgx/policy/difference.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <map>
#include <set>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/presence.h"
#include "cgx/cgroupfs/tasks.h"
#include "cgx/policy/adopted.h"
#include "cgx/policy/group_difference.h"

namespace cgx::policy {
namespace {

using Sign = Change::Sign;

bool source_is_there(const std::string& source) { return source != "-" && access(source.c_str(), F_OK) == 0; }

class Differ {
 public:
  Differ(const Hierarchies& hierarchies,
         std::span<const Source> sources,
         const ApplyOptions& options,
         Record record,
         const Stuck& stuck)
      : hierarchies_(hierarchies), sources_(sources), options_(options), stuck_(stuck) {
    d_.before = std::move(record);
  }

  Result<Difference> run() {
    CGX_CHECK(collect());
    CGX_CHECK(check_adopted());
    CGX_CHECK(add_above());
    CGX_CHECK(find_leftovers());
    GroupDiffer groups(hierarchies_, options_);
    for (const auto& [name, wanted] : wanted_) {
      const bool adopted = is_adopted(name, wanted);
      if (adopted && CGX_TRY(passed_over(name, wanted))) continue;
      auto found = groups.run(name, wanted, recorded(name));
      if (!found && options_.lenient && (adopted || is_hidden(found.error()))) {
        leave(name, found.error());
        continue;
      }
      add(CGX_TRY(std::move(found)), wanted);
      if (adopted) d_.adopted.push_back(name);
    }
    for (const std::string& name : leaving_) d_.changes.push_back({Sign::remove, name, {}, {}, {}});
    std::ranges::reverse(leaving_);  // children before parents
    d_.set.removals = std::move(leaving_);
    CGX_CHECK(finish_records());
    return std::move(d_);
  }

 private:
  const ManagedGroup* recorded(std::string_view name) const { return d_.before.find(name); }
  bool given(std::string_view source) const {
    return std::ranges::find(sources_, source, &Source::name) != sources_.end();
  }

  static std::unexpected<Error> twice(const GroupPolicy& group, std::string what, std::string hint) {
    Problem at{.place = group.place, .what = std::move(what)};
    Error e{.code = EEXIST, .what = at.text(), .hint = std::move(hint), .fault = Fault::usage};
    return std::unexpected(std::move(e));
  }

  Result<> collect() {
    for (const Source& s : sources_)
      for (const GroupPolicy& g : s.policies.groups) {
        const auto [at, added] = wanted_.try_emplace(g.name, WantedGroup{&g, s.name});
        if (!added)
          return twice(g,
                       fmt::format("{} is also in {}", g.name, at->second.policy->place.file),
                       "a group belongs to one file or directory");
        const ManagedGroup* old = recorded(g.name);
        if (old != nullptr && old->named && old->source != s.name && !given(old->source) &&
            source_is_there(old->source))
          return twice(g,
                       fmt::format("{} is managed by {}, which was applied before", g.name, old->source),
                       fmt::format("take it out there and apply that again, or remove {}", old->source));
      }
    return {};
  }

  // A group that cgx made below somebody else's would keep its owner from removing that.
  Result<> check_adopted() const {
    for (const auto& [name, wanted] : wanted_) {
      if (wanted.policy->adopt) continue;
      for (std::string_view above = parent_of(name); !above.empty(); above = parent_of(above)) {
        const auto named = wanted_.find(above);
        const ManagedGroup* old = recorded(above);
        const bool adopted = named != wanted_.end() ? named->second.policy->adopt
                                                    : old != nullptr && !old->adopted.empty() && !given(old->source);
        if (!adopted) continue;
        Problem at{.place = wanted.policy->place, .what = below_adopted(name, above)};
        return std::unexpected(
            Error{.code = EINVAL, .what = at.text(), .hint = std::string(adopt_too), .fault = Fault::usage});
      }
    }
    return {};
  }

  // Also one that no policy names any more.
  bool is_adopted(const std::string& name, const WantedGroup& wanted) const {
    if (wanted.policy != nullptr) return wanted.policy->adopt;
    const ManagedGroup* old = recorded(name);
    return !wanted.recorded && old != nullptr && !old->adopted.empty();
  }

  // Whether there is nothing to do about an adopted group: its owner has not made it, or it could not be set.
  Result<bool> passed_over(const std::string& name, const WantedGroup& wanted) {
    const auto there = is_there(Cgroup(hierarchies_, name));
    if (!there && options_.lenient && is_hidden(there.error())) {
      leave(name, there.error());
      return true;
    }
    if (!CGX_TRY(there)) {
      if (wanted.policy != nullptr) d_.notes.push_back(fmt::format("{}: adopted, not there: nothing to do", name));
      return true;
    }
    const auto stuck = stuck_.find(name);
    if (stuck == stuck_.end()) return false;
    leave(name, stuck->second);
    return true;
  }

  // Something is mounted over the group, by root of this host: no reason to do without the other groups.
  static bool is_hidden(const Error& error) { return error.code == EXDEV; }

  void leave(const std::string& name, Error why) {
    const std::string_view how = is_hidden(why) ? "is left as it is" : "is adopted, and stays as its owner has it";
    why.group.clear();
    std::string text = fmt::format("{} {}: {}", name, how, why.text());
    why.group = name;
    d_.stays.push_back({.text = std::move(text), .why = std::move(why)});
    d_.unset.push_back(name);
    if (const ManagedGroup* old = recorded(name)) d_.after.groups.push_back(*old);
  }

  // Groups above those named that are made for them, and those that were.
  Result<> add_above() {
    std::vector<std::pair<std::string, std::string>> found;
    for (const auto& [name, wanted] : wanted_) {
      if (wanted.policy->adopt) continue;  // its owner makes them
      for (std::string_view above = parent_of(name); !above.empty(); above = parent_of(above))
        found.emplace_back(above, wanted.source);
    }
    for (auto& [name, source] : found) {
      if (wanted_.contains(name)) continue;
      const ManagedGroup* old = recorded(name);
      // Another source has it, unless that is gone.
      if (old != nullptr && !given(old->source) && source_is_there(old->source)) continue;
      const auto there = old == nullptr ? is_there(Cgroup(hierarchies_, name)) : Result<bool>(false);
      if (!there && !is_hidden(there.error())) return std::unexpected(there.error());
      if (!there || *there) continue;  // somebody else's
      wanted_.emplace(name, WantedGroup{nullptr, source});
    }
    return {};
  }

  // What these sources managed and no longer name.
  Result<> find_leftovers() {
    std::set<std::string_view> going;
    for (const ManagedGroup& old : d_.before.groups) {
      if (!given(old.source) || wanted_.contains(old.name)) continue;
      const auto there = is_there(Cgroup(hierarchies_, old.name));
      if (!there && options_.lenient && is_hidden(there.error())) {
        leave(old.name, there.error());
        d_.after.groups.back().named = false;  // another source may name it meanwhile
        continue;
      }
      if (!CGX_TRY(there)) continue;  // gone already
      if (old.adopted.empty() && old.inode != 0 && old.inode != CGX_TRY(inode_of(hierarchies_, old.name))) {
        d_.notes.push_back(
            fmt::format("{} was removed and made again by somebody else, and is left to them", old.name));
        continue;
      }
      if (options_.keep) {
        d_.after.groups.push_back(old);
        continue;
      }
      if (old.made == "*")
        going.insert(old.name);
      else
        wanted_.emplace(old.name, WantedGroup{nullptr, old.source, false});
    }
    // From the bottom up: what is below decides.
    for (auto name = going.rbegin(); name != going.rend();) {
      const ManagedGroup& old = *recorded(*name);
      std::string foreign;
      std::string heir;   // the source of what is below
      bool held = false;  // by a group that cannot go either
      for (const std::string& child : CGX_TRY(children_of(Cgroup(hierarchies_, old.name)))) {
        const std::string full = fmt::format("{}/{}", old.name, child);
        if (going.contains(full)) continue;
        const ManagedGroup* below = recorded(full);
        const auto kept = wanted_.find(full);
        const bool stays = kept != wanted_.end() ? kept->second.recorded : below != nullptr && !given(below->source);
        if (stays)
          heir = kept != wanted_.end() ? kept->second.source : below->source;
        else
          foreign += (foreign.empty() ? "" : ", ") + child;
        held = held || std::ranges::find(d_.set.yielding, full) != d_.set.yielding.end();
      }
      const auto stuck = stuck_.find(old.name);
      if (foreign.empty() && heir.empty() && stuck == stuck_.end()) {
        ++name;
        continue;
      }
      // What a group that is given away has below it is its owner's to make: that forbids nothing but its removal.
      if (heir.empty() && options_.lenient && (wanted_still(old) || held || stuck != stuck_.end())) {
        stay(old,
             stuck != stuck_.end()
                 ? stuck->second
                 : Error{.code = EBUSY, .what = "has groups below it that no policy manages: " + foreign});
        name = std::reverse_iterator(going.erase(std::next(name).base()));
        continue;
      }
      if (heir.empty() && old.named)
        return std::unexpected(
            Error{.code = EBUSY,
                  .what = fmt::format(
                      "is no longer in {}, but has groups below it that no policy manages: {}", old.source, foreign),
                  .group = old.name,
                  .hint = fmt::format("cgx delete -r {} removes it with them; --keep leaves it", old.name)});
      wanted_.emplace(old.name, WantedGroup{nullptr, heir.empty() ? old.source : heir, !heir.empty()});
      name = std::reverse_iterator(going.erase(std::next(name).base()));
    }
    for (const std::string_view name : going) leaving_.emplace_back(name);
    return {};
  }

  // Whether a policy has named it, and it has not been given back since.
  static bool wanted_still(const ManagedGroup& g) { return g.named || !g.limits.empty() || !g.owner.empty(); }

  // It stays as it is until it can go. Another source may name it meanwhile.
  void stay(const ManagedGroup& old, Error why) {
    why.group = old.name;
    std::string text = fmt::format("{} is no longer in {}, and stays: {}", old.name, old.source, why.what);
    d_.stays.push_back({.text = std::move(text), .why = std::move(why)});
    d_.set.yielding.push_back(old.name);
    d_.after.groups.push_back(old);
    d_.after.groups.back().named = false;
  }

  void add(GroupDifference&& g, const WantedGroup& wanted) {
    std::ranges::move(g.changes, std::back_inserter(d_.changes));
    std::ranges::move(g.notes, std::back_inserter(d_.notes));
    if (g.todo) d_.set.groups.push_back(std::move(g.desired));
    if (wanted.recorded) d_.after.groups.push_back(std::move(g.managed));
  }

  // ---- records ------------------------------------------------------------------------------------------------------

  Result<> finish_records() {
    for (const ManagedGroup& old : d_.before.groups)
      if (!given(old.source) &&
          std::ranges::find(d_.after.groups, old.name, &ManagedGroup::name) == d_.after.groups.end())
        d_.after.groups.push_back(old);
    std::ranges::sort(d_.after.groups, {}, &ManagedGroup::name);
    for (const std::string& source : d_.before.unfinished)
      if (!given(source)) d_.after.unfinished.push_back(source);
    d_.intent = d_.after;
    for (ManagedGroup& g : d_.intent.groups) {
      const ManagedGroup* old = recorded(g.name);
      if (old == nullptr) continue;
      const bool another = old->adopted.empty() && old->inode != 0 && g.inode != 0 && old->inode != g.inode;
      if (another) continue;  // nothing of it is given back
      auto there = old->adopted.empty() ? Result<ManagedGroup>(*old) : still_there(hierarchies_, *old);
      if (!there && options_.lenient && is_hidden(there.error())) continue;  // its record is kept as it was
      const ManagedGroup had = CGX_TRY(std::move(there));
      for (const ManagedLimit& l : had.limits)
        if (g.find(l.knob) == nullptr) g.limits.push_back(l);
      if (g.owner.empty()) {
        g.owner = had.owner;
        g.owner_before = had.owner_before;
      }
    }
    for (const ManagedGroup& old : d_.before.groups)
      if (d_.after.find(old.name) == nullptr) {
        d_.intent.groups.push_back(old);
        d_.intent.groups.back().inode = 0;  // where its removal is taken back, it is made again
      }
    std::ranges::sort(d_.intent.groups, {}, &ManagedGroup::name);
    for (const Source& s : sources_)
      if (std::ranges::find(d_.intent.unfinished, s.name) == d_.intent.unfinished.end())
        d_.intent.unfinished.push_back(s.name);
    return {};
  }

  const Hierarchies& hierarchies_;
  std::span<const Source> sources_;
  const ApplyOptions& options_;
  const Stuck& stuck_;
  Difference d_;
  std::map<std::string, WantedGroup, std::less<>> wanted_;  // parents before children
  std::vector<std::string> leaving_;                        // parents before children
};

}  // namespace

Result<Difference> difference(const Hierarchies& hierarchies,
                              std::span<const Source> sources,
                              const ApplyOptions& options,
                              Record record,
                              const Stuck& stuck) {
  return Differ(hierarchies, sources, options, std::move(record), stuck).run();
}

}  // namespace cgx::policy
