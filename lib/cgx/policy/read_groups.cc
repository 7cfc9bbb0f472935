// SPDX-License-Identifier: Apache-2.0
// Groups, their children, and the defaults that are laid under them.
#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/policy/read.h"

namespace cgx::policy {
namespace {

// Of a later version of the format.
constexpr std::string_view match_key = "match";

// What a group, or the defaults, say; what they do not say is not there.
struct Draft {
  std::vector<PolicyLimit> limits;  // without memory.oom where it is `pause`
  std::optional<std::string> description;
  std::optional<std::string> owner_text;
  std::optional<Owner> owner;
  std::optional<OomMode> oom;
  std::optional<std::uint64_t> pause_max;
  std::optional<std::vector<Action>> on_oom;
  std::optional<std::vector<PressureRule>> on_pressure;
  std::optional<bool> best_effort;
  std::optional<bool> adopt;
  std::optional<Lossy> lossy;
};

class GroupsReader {
 public:
  explicit GroupsReader(Reader& reader) : reader_(reader) {}

  void defaults(const Entry& entry) {
    const auto step = reader_.in(entry);
    if (!reader_.map(entry.value)) return;
    for (const Field& f : group_fields()) {
      const Entry* e = f.single ? entry.value.find(f.name) : nullptr;
      if (e == nullptr) continue;
      const auto inner = reader_.in(*e);
      reader_.wrong("belongs to a group, not to defaults");
    }
    defaults_ = read(entry.value);
  }

  void groups(const Entry& entry, const std::string& parent) {
    const auto step = reader_.in(entry);
    if (!reader_.map(entry.value)) return;
    for (const Entry& e : entry.value.entries) {
      const auto inner = reader_.in(e);
      const auto name = parse_group_name(e.key);
      if (!name) {
        reader_.wrong(name.error());
        continue;
      }
      if (name->empty()) {
        reader_.wrong("is the root group, which has no limits");
        continue;
      }
      group(e, parent.empty() ? *name : parent + '/' + *name);
    }
  }

  std::vector<GroupPolicy> take() { return std::move(groups_); }

 private:
  void group(const Entry& entry, const std::string& name) {
    if (entry.value.kind != Node::Kind::null && !reader_.map(entry.value)) return;
    GroupPolicy made;
    made.name = name;
    made.path = reader_.path();
    made.place = reader_.place();
    if (name.size() > 4095) reader_.wrong("makes a name longer than 4095 bytes");
    finish(made, read(entry.value));
    groups_.push_back(std::move(made));
    if (const Entry* children = entry.value.find("children"); children != nullptr) groups(*children, name);
  }

  Draft read(const Node& node) {
    Draft draft;
    std::vector<std::string_view> more;
    for (const Section& s : sections()) more.push_back(s.name);
    reader_.only(node, group_fields(), more, match_key);
    if (const Entry* e = node.find(match_key)) {
      const auto step = reader_.in(*e);
      reader_.wrong("is not supported: a policy adopts groups by their names");
    }
    // First, since it decides what is a warning.
    if (const Entry* e = node.find("best_effort")) {
      const auto step = reader_.in(*e);
      draft.best_effort = reader_.boolean(e->value);
    }
    best_effort_ = draft.best_effort.value_or(defaults_.best_effort.value_or(false));
    for (const Entry& e : node.entries) {
      const auto step = reader_.in(e);
      const auto section = std::ranges::find(sections(), e.key, &Section::name);
      if (section != sections().end()) {
        read_section(reader_, *section, e.value, best_effort_, draft.limits);
        if (section->name == "memory") memory(e.value, draft);
      } else {
        field(e, draft);
      }
    }
    return draft;
  }

  void field(const Entry& e, Draft& draft) {
    if (e.key == "description") draft.description = reader_.text(e.value);
    if (e.key == "raw") read_raw(reader_, e.value, draft.limits);
    if (e.key == "owner") owner(e.value, draft);
    if (e.key == "adopt") draft.adopt = reader_.boolean(e.value);
    if (e.key == "on_oom") draft.on_oom = read_actions(reader_, e.value, best_effort_);
    if (e.key == "on_pressure") draft.on_pressure = read_pressure(reader_, e.value, best_effort_);
    if (e.key == "lossy")
      if (const auto n = reader_.word(e.value, "tell|allow|refuse")) draft.lossy = static_cast<Lossy>(*n);
  }

  Result<Owner> parse_owner(std::string_view text) {
    const std::size_t colon = text.find(':');
    Owner owner;
    owner.uid = CGX_TRY(reader_.user_number(text.substr(0, colon)));
    if (colon != std::string_view::npos) owner.gid = CGX_TRY(reader_.group_number(text.substr(colon + 1)));
    return owner;
  }

  void owner(const Node& node, Draft& draft) {
    const auto text = reader_.text(node);
    if (!text) return;
    const auto owner = parse_owner(*text);
    if (owner) {
      draft.owner_text = *text;
      draft.owner = *owner;
    } else if (owner.error().code == ENOENT) {
      reader_.lacks(owner.error(), best_effort_);
    } else {
      reader_.wrong(owner.error());
    }
  }

  // What is of a policy in this section, and no knob's.
  void memory(const Node& node, Draft& draft) {
    const auto oom = std::ranges::find(draft.limits, "memory.oom", &PolicyLimit::key);
    if (oom != draft.limits.end()) {
      const std::string& word = oom->limit.given;
      draft.oom = word == "pause" ? OomMode::pause : word == "group" ? OomMode::group : OomMode::kernel;
      if (draft.oom == OomMode::pause) draft.limits.erase(oom);
    }
    const Entry* e = node.find("pause_max");
    if (e == nullptr) return;
    const auto step = reader_.in(*e);
    draft.pause_max = reader_.time(e->value, least_pause, most_pause);
    if (draft.oom.value_or(defaults_.oom.value_or(OomMode::pause)) != OomMode::pause)
      reader_.wrong("means nothing without oom: pause");
  }

  // The draft with the defaults under it.
  void finish(GroupPolicy& group, Draft draft) {
    for (const PolicyLimit& raw : draft.limits) {
      if (raw.limit.knob != nullptr) continue;
      for (const PolicyLimit& other : draft.limits)
        if (&other != &raw && other.limit.knob != nullptr && same_file(raw, other)) conflict(raw, other);
    }
    const std::size_t own = draft.limits.size();
    for (const PolicyLimit& l : defaults_.limits) {
      // A weight takes the place of default shares, and `oom: pause` that of a default word.
      const bool said = std::any_of(draft.limits.begin(),
                                    draft.limits.begin() + static_cast<std::ptrdiff_t>(own),
                                    [&](const PolicyLimit& mine) { return same_file(mine, l); });
      if (!said && !(l.key == "memory.oom" && draft.oom)) draft.limits.push_back(l);
    }
    std::ranges::stable_sort(draft.limits, {}, [](const PolicyLimit& l) {
      return l.limit.knob == nullptr ? static_cast<std::size_t>(-1) : key_index(*l.limit.knob);
    });
    const auto pick = [](auto& mine, auto& theirs, auto& to) {
      if (mine)
        to = *std::move(mine);
      else if (theirs)
        to = *theirs;
    };
    group.limits = std::move(draft.limits);
    group.adopt = draft.adopt.value_or(false);
    if (group.adopt && draft.owner_text) reader_.wrong("adopt and owner exclude each other: the group has its owner");
    pick(draft.description, defaults_.description, group.description);
    if (!group.adopt) {
      pick(draft.owner_text, defaults_.owner_text, group.owner_text);
      if (draft.owner || defaults_.owner) group.owner = draft.owner ? draft.owner : defaults_.owner;
    }
    pick(draft.oom, defaults_.oom, group.oom);
    if (group.oom == OomMode::pause) pick(draft.pause_max, defaults_.pause_max, group.pause_max);
    pick(draft.on_oom, defaults_.on_oom, group.on_oom);
    pick(draft.on_pressure, defaults_.on_pressure, group.on_pressure);
    pick(draft.best_effort, defaults_.best_effort, group.best_effort);
    pick(draft.lossy, defaults_.lossy, group.lossy);
  }

  void conflict(const PolicyLimit& raw, const PolicyLimit& other) {
    Entry at{raw.key, raw.place.line, raw.place.column, {}};
    const auto step = reader_.in(at);
    reader_.wrong(fmt::format("and {} both set {}", other.key, raw.limit.file));
  }

  Reader& reader_;
  Draft defaults_;
  std::vector<GroupPolicy> groups_;
  bool best_effort_ = false;
};

}  // namespace

bool same_file(const PolicyLimit& a, const PolicyLimit& b) {
  if (a.limit.knob == nullptr || b.limit.knob == nullptr) {
    if (a.limit.knob == nullptr && b.limit.knob == nullptr) return a.limit.file == b.limit.file;
    const PolicyLimit& raw = a.limit.knob == nullptr ? a : b;
    const Knob& knob = a.limit.knob == nullptr ? *b.limit.knob : *a.limit.knob;
    for (const Backing* backing : {&knob.v1, &knob.v2})
      for (const std::string_view file : backing->files)
        if (!file.empty() && file == raw.limit.file) return true;
    return false;
  }
  if (a.limit.knob == b.limit.knob) return true;
  for (const Version version : {Version::v1, Version::v2}) {
    const Backing& x = backing(*a.limit.knob, version);
    const Backing& y = backing(*b.limit.knob, version);
    if (x.present() && y.present() && x.files[0] == y.files[0]) return true;
  }
  return false;
}

std::vector<GroupPolicy> read_groups(Reader& reader, const Entry* defaults, const Entry* groups) {
  GroupsReader all(reader);
  if (defaults != nullptr) all.defaults(*defaults);
  if (groups != nullptr) all.groups(*groups, "");
  return all.take();
}

}  // namespace cgx::policy
