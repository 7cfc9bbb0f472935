// SPDX-License-Identifier: Apache-2.0
#include "cgx/policy/apply.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "cgx/cgroupfs/maker_note.h"
#include "cgx/policy/adopted.h"
#include "cgx/policy/difference.h"
#include "cgx/policy/record.h"
#include "cgx/sys/count.h"
#include "cgx/sys/json.h"

namespace cgx::policy {
namespace {

std::size_t count(std::span<const Change> changes, Change::Sign sign) {
  return static_cast<std::size_t>(std::ranges::count(changes, sign, &Change::sign));
}

std::string summed(std::span<const Change> changes, const std::array<std::string_view, 3>& verbs) {
  if (changes.empty()) return "no changes";
  return fmt::format("{} {}, {} {}, {} {}",
                     sys::counted(count(changes, Change::Sign::add), "group"),
                     verbs[0],
                     sys::counted(count(changes, Change::Sign::modify), "value"),
                     verbs[1],
                     sys::counted(count(changes, Change::Sign::remove), "group"),
                     verbs[2]);
}

std::string json_text(std::span<const Change> changes, const std::vector<std::string>& notes) {
  sys::JsonWriter json;
  json.open_object().key("changes").open_array();
  for (const Change& c : changes) {
    constexpr std::array<std::string_view, 3> names{"add", "modify", "remove"};
    json.open_object().key("change").string(names[static_cast<std::size_t>(c.sign)]).key("group").string(c.group);
    if (c.sign == Change::Sign::modify) json.key("key").string(c.key).key("from").string(c.from).key("to").string(c.to);
    json.close_object();
  }
  json.close_array();
  json.key("added").number(count(changes, Change::Sign::add));
  json.key("changed").number(count(changes, Change::Sign::modify));
  json.key("removed").number(count(changes, Change::Sign::remove));
  json.key("notes").open_array();
  for (const std::string& note : notes) json.string(note);
  json.close_array().close_object();
  return json.take() + "\n";
}

// A group that a `cgx exec` has made for its command is the policy's from now on, also one that has been made anew
// since the last apply. Before the record says that it is: a kill in between must not leave the note.
void forget_makers(const Hierarchies& hierarchies, const Difference& d) {
  for (const ManagedGroup& g : d.after.groups)
    if (const ManagedGroup* was = d.before.find(g.name);
        g.adopted.empty() && (was == nullptr || g.inode == 0 || was->inode != g.inode))
      forget_maker(Cgroup(hierarchies, g.name));
}

// Files that are written as they are and whose value before is not known yet, since their group is made only now.
Result<> note_raw_before(const Hierarchies& hierarchies, Difference& d, const RecordFile& file) {
  bool found = false;
  for (const Desired& desired : d.set.groups) {
    if (std::ranges::all_of(desired.limits, [](const Limit& l) { return l.knob != nullptr; })) continue;
    const Cgroup group(hierarchies, desired.group);
    for (Record* record : {&d.intent, &d.after}) {
      const auto g = std::ranges::find(record->groups, desired.group, &ManagedGroup::name);
      if (g == record->groups.end()) continue;
      for (ManagedLimit& m : g->limits)
        if (m.raw && !m.before) {
          m.before = CGX_TRY(current_text(group, {nullptr, std::string(), std::string(), m.knob}));
          found = found || m.before.has_value();
        }
    }
  }
  return found ? file.write(d.intent) : Result<>{};
}

// Formats that the kernel may give back in another form, besides plain numbers, of which the transaction tells.
bool may_read_otherwise(const ManagedLimit& m, const Knob* knob) {
  if (m.raw || knob == nullptr) return true;
  switch (knob->format) {
    case Format::hugetlb:
    case Format::percent:
    case Format::text:
      return true;
    default:
      return false;
  }
}

// What is there now: inode numbers of new groups, and what the kernel made of values.
Result<> look_again(const Hierarchies& hierarchies, Difference& d, const std::vector<std::string>& notes) {
  // A name may hold what ends it in a note: that is a look too many, and none too few.
  const auto rounded = [&](const std::string& group) {
    return std::ranges::any_of(notes, [&](const std::string& note) { return note.starts_with(group + ": "); });
  };
  for (const Desired& desired : d.set.groups) {
    const auto at = std::ranges::lower_bound(d.after.groups, desired.group, {}, &ManagedGroup::name);
    if (at == d.after.groups.end() || at->name != desired.group) continue;
    at->inode = CGX_TRY(inode_of(hierarchies, desired.group));
    const Cgroup group(hierarchies, desired.group);
    for (ManagedLimit& m : at->limits) {
      const Knob* knob = m.raw ? nullptr : find_knob(m.knob);
      if (!may_read_otherwise(m, knob) && !rounded(desired.group)) continue;
      const auto now = current_text(group, {knob, {}, {}, m.raw ? m.knob : std::string()});
      // What could not be read is compared again by the next apply, and written once more.
      m.reads = now && *now && **now != m.wanted ? *now : std::nullopt;
    }
  }
  return {};
}

// Takes the limit that could not be set, for want of its file, out of a group of best effort. Whether there was one.
bool leave_out(std::vector<Source>& sources, const Error& error) {
  for (Source& s : sources)
    for (GroupPolicy& g : s.policies.groups)
      if (g.best_effort && g.name == error.group)
        return std::erase_if(g.limits, [&error](const PolicyLimit& l) {
                 return l.limit.knob != nullptr ? is_called(*l.limit.knob, error.knob) : l.limit.file == error.knob;
               }) > 0;
  return false;
}

// The adopted groups that an error stops: the one that it names, or those below it, as where the group above cannot
// give them a controller. None where it names a group of the policies' own.
std::vector<std::string> stopped(const Difference& d, const Error& error) {
  std::vector<std::string> names;
  for (const Desired& desired : d.set.groups) {
    const bool adopted = std::ranges::find(d.adopted, desired.group) != d.adopted.end();
    if (desired.group == error.group && !adopted) return {};
    if (adopted && !error.group.empty() &&
        (desired.group == error.group || desired.group.starts_with(error.group + '/')))
      names.push_back(desired.group);
  }
  return names;
}

// Whether the group's owner has removed it, or made it anew, since it was compared.
bool moved_on(const Hierarchies& hierarchies, const Difference& d, const std::string& name) {
  const ManagedGroup* compared = d.after.find(name);
  const auto now = found_in(hierarchies, name);
  return compared == nullptr || (now && compared->adopted != *now);
}

// `stuck`: groups that are left as they are; those that stop this attempt are added.
Result<Applied> attempt(const Hierarchies& hierarchies,
                        std::span<const Source> sources,
                        const ApplyOptions& options,
                        Stuck& stuck) {
  const RecordFile file = CGX_TRY(RecordFile::open(options.state_dir));
  Difference d = CGX_TRY(difference(hierarchies, sources, options, CGX_TRY(file.read()), stuck));
  Applied applied{.changes = std::move(d.changes),
                  .notes = std::move(d.notes),
                  .stays = std::move(d.stays),
                  .unset = std::move(d.unset)};
  for (const std::string& source : d.after.unfinished)
    applied.notes.push_back(
        fmt::format("an apply of {} was ended by force; apply it again to finish or undo it", source));
  if (d.set.groups.empty() && d.set.removals.empty()) {
    // What is there already may still have to be taken into the record.
    forget_makers(hierarchies, d);
    if (!(d.after == d.before)) CGX_CHECK(file.write(d.after));
    return applied;
  }
  if (options.stop != nullptr && *options.stop) return fail(EINTR, "was interrupted");
  CGX_CHECK(file.write(d.intent));
  Transaction transaction(hierarchies);
  if (options.stop != nullptr) transaction.stop_on(*options.stop);
  auto done = transaction.apply(d.set, [&] { return note_raw_before(hierarchies, d, file); });
  if (done) {
    done = look_again(hierarchies, d, transaction.notes());
    if (done) forget_makers(hierarchies, d);
    if (done) done = file.write(d.after);
    if (!done)
      for (const std::string& left : transaction.undo())
        done.error().hint += (done.error().hint.empty() ? "" : "; ") + left;
  }
  if (!done) {
    // All is as it was, and so is the record; where something is not, the intent still says what.
    for (ManagedGroup& g : d.before.groups)  // a group whose removal was taken back is a new one
      if (std::ranges::find(d.set.removals, g.name) != d.set.removals.end())
        g.inode = inode_of(hierarchies, g.name).value_or(0);  // 0: it is not told from another one of that name
    if (!transaction.left_behind())
      if (const auto back = file.write(d.before); !back)
        done.error().hint += (done.error().hint.empty() ? "" : "; ") + back.error().text();
    if (options.lenient && std::ranges::find(d.set.removals, done.error().group) != d.set.removals.end())
      stuck.emplace(done.error().group, done.error());
    for (const std::string& name : stopped(d, done.error()))
      if (options.lenient || moved_on(hierarchies, d, name)) stuck.emplace(name, done.error());
    if (transaction.would_kill())
      done.error().hint =
          fmt::format("cgx set {} --mem {} --force lowers it all the same", done.error().group, done.error().value);
    return std::unexpected(std::move(done.error()));
  }
  transaction.commit();
  applied.notes.insert(applied.notes.end(), transaction.notes().begin(), transaction.notes().end());
  return applied;
}

}  // namespace

std::string Change::text() const {
  switch (sign) {
    case Sign::add:
      return fmt::format("+ {}", group);
    case Sign::remove:
      return fmt::format("- {}", group);
    case Sign::modify:
      break;
  }
  return fmt::format("~ {} {} {} -> {}", group, key, from, to);
}

std::string summary(std::span<const Change> changes) { return summed(changes, {"added", "changed", "removed"}); }

PolicyPlan::PolicyPlan(std::unique_ptr<Difference> d) : difference_(std::move(d)) {}
PolicyPlan::PolicyPlan(PolicyPlan&&) noexcept = default;
PolicyPlan& PolicyPlan::operator=(PolicyPlan&&) noexcept = default;
PolicyPlan::~PolicyPlan() = default;

Result<PolicyPlan> PolicyPlan::make(const Hierarchies& hierarchies,
                                    std::span<const Source> sources,
                                    const ApplyOptions& options) {
  Record record = CGX_TRY(read_record(options.state_dir));
  return PolicyPlan(
      std::make_unique<Difference>(CGX_TRY(difference(hierarchies, sources, options, std::move(record)))));
}

std::span<const Change> PolicyPlan::changes() const { return difference_->changes; }
const std::vector<std::string>& PolicyPlan::notes() const { return difference_->notes; }
std::string PolicyPlan::json() const { return json_text(difference_->changes, difference_->notes); }

std::string PolicyPlan::text() const {
  std::string out;
  for (const Change& c : difference_->changes) out += c.text() + "\n";
  return out;
}

std::string PolicyPlan::summary() const { return summed(difference_->changes, {"to add", "to change", "to remove"}); }

Result<std::string> PolicyPlan::steps(const Hierarchies& hierarchies) const {
  return CGX_TRY(Plan::make(hierarchies, difference_->set)).text();
}

namespace {

// Each failure names a group that does not go, or an adopted one that cannot be set, which stays in the next attempt:
// an owner who makes or removes groups meanwhile stops what is done about his own group, and nothing else. Where all or
// nothing is wanted, only an adopted group that went away is no failure: it is not there to be set, as before it came.
Result<Applied> without_stuck(const Hierarchies& hierarchies,
                              std::span<const Source> sources,
                              const ApplyOptions& options) {
  constexpr int most_gone = 16;
  Stuck stuck;
  for (int gone = 0;;) {
    const std::size_t known = stuck.size();
    auto done = attempt(hierarchies, sources, options, stuck);
    if (done || stuck.size() == known) return done;
    if (options.lenient) continue;
    if (++gone > most_gone) return done;
    stuck.clear();
  }
}

}  // namespace

Result<Applied> apply(const Hierarchies& hierarchies, std::span<const Source> sources, const ApplyOptions& options) {
  auto done = without_stuck(hierarchies, sources, options);
  if (done || done.error().code != ENOENT) return done;
  // A new group is the first to show which files this kernel has. What is lacking is left out of groups that want it
  // so, one at a time, since one error at a time is told.
  std::vector<Source> lesser(sources.begin(), sources.end());
  std::vector<std::string> notes;
  while (!done && done.error().code == ENOENT && leave_out(lesser, done.error())) {
    notes.push_back(done.error().text());
    done = without_stuck(hierarchies, lesser, options);
  }
  if (done) done->notes.insert(done->notes.begin(), notes.begin(), notes.end());
  return done;
}

std::string json(const Applied& applied) { return json_text(applied.changes, applied.notes); }

std::vector<std::string> managed_groups(const std::string& state_dir) {
  std::vector<std::string> names;
  if (const auto record = read_record(state_dir))
    for (const ManagedGroup& g : record->groups) names.push_back(g.name);
  return names;
}

std::vector<std::string> managed_sources(const std::string& state_dir) {
  std::vector<std::string> names;
  if (const auto record = read_record(state_dir))
    for (const ManagedGroup& g : record->groups)
      if (std::ranges::find(names, g.source) == names.end()) names.push_back(g.source);
  return names;
}

}  // namespace cgx::policy
