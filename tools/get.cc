// SPDX-License-Identifier: Apache-2.0
// get: the values in force, by knob.
//
// JSON: {"name": "child", "version": "v1|v2|hybrid", "knobs": {FILE: {"value": V, "flag": "mem"|null, "file": PATH}}}
// V: a number or "max"; {"quota": N|"max", "period": N}; an object of numbers for keyed files and rows; an array of
// rules for devices; else a string. With several groups (-r) an array of such objects.
#include <algorithm>
#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/cgroupfs/presence.h"
#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

#include "groups.h"

namespace cgx::tool {
namespace {

struct Entry {
  std::string name;  // the kernel's file name here
  const Knob* knob = nullptr;
  Value value;
  std::string path;
};

void json_keyed(sys::JsonWriter& json, const std::string& text) {
  json.open_object();
  for (const std::string_view line : sys::lines(text)) {
    const auto parts = sys::words(line);
    if (parts.size() != 2) continue;
    json.key(parts[0]);
    if (const auto n = sys::parse_u64(parts[1]))
      json.number(*n);
    else
      json.string(parts[1]);
  }
  json.close_object();
}

void json_value(sys::JsonWriter& json, const Knob* knob, const Value& value) {
  if (const auto* n = std::get_if<std::uint64_t>(&value)) {
    if (knob != nullptr && knob->format == Format::classid)
      json.string(exact(*knob, value));
    else
      json.limit(*n);
  } else if (const auto* q = std::get_if<sys::Quota>(&value)) {
    json.open_object().key("quota").limit(q->quota).key("period").number(q->period).close_object();
  } else if (const auto* table = std::get_if<Table>(&value)) {
    json.open_object();
    for (const TableRow& r : *table) {
      json.key(r.key);
      if (r.fields.size() == 1 && r.fields[0].first.empty()) {
        json.limit(r.fields[0].second);
        continue;
      }
      json.open_object();
      for (const auto& [key, most] : r.fields) json.key(key).limit(most);
      json.close_object();
    }
    json.close_object();
  } else {
    const auto& text = std::get<std::string>(value);
    if (knob != nullptr && knob->format == Format::keyed) {
      json_keyed(json, text);
    } else if (knob != nullptr && knob->format == Format::device_rules) {
      json.open_array();
      for (const std::string_view line : sys::lines(text)) json.string(line);
      json.close_array();
    } else {
      json.string(text);
    }
  }
}

// In the order of the files of v1.
constexpr std::array<std::string_view, 4> io_keys{"rbps", "wbps", "riops", "wiops"};

// v1 has a file for each key of `io.max`: what is shown names the file that it was read from.
void by_file(
    const Cgroup& group, const Hierarchy& h, const Knob& knob, const Table& table, std::vector<Entry>& entries) {
  for (std::size_t i = 0; i < io_keys.size(); ++i) {
    Table part;
    for (const TableRow& r : table)
      for (const auto& field : r.fields)
        if (field.first == io_keys[i]) part.push_back({r.key, {field}});
    const std::string file(knob.v1.files[i]);
    if (!part.empty()) entries.push_back({file, &knob, Value(std::move(part)), h.path(group.name(), file)});
  }
}

// What a knob's own row says of a group: nothing where the kernel or this group has no such file, or the file may not
// be read by everybody; unless it is `asked` for.
Result<> collect(const Cgroup& group, const Knob& knob, std::vector<Entry>& entries, bool asked) {
  const auto home = home_of(group.hierarchies(), knob);
  if (!home) return asked ? Result<>(std::unexpected(home.error())) : Result<>{};
  const Backing& b = *home->backing;
  if (b.decode == nullptr) return asked ? Result<>(fail(EACCES, "can only be written")) : Result<>{};
  const auto value = b.decode(knob, b, GroupView(group));
  if (!value && !asked && (says_no_value(value.error()) || value.error().code == EACCES)) return {};
  if (!value) return std::unexpected(value.error());
  if (!*value) return {};
  std::string name(b.files[0].starts_with('@') ? knob.name : b.files[0]);
  if (name == "devices.allow") name = "devices.list";
  // A row that lives in another row's file (memsw on v2) has a value of its own.
  if (!name.starts_with("hugetlb.") && name != "devices.list" && !b.files[0].starts_with('@') &&
      knob_of_file(name, home->hierarchy->version()) != &knob)
    name = knob.name;
  const Hierarchy& h = *home->hierarchy;
  // Weights of disks are in the scheduler's own file where there is no general one.
  if (knob.format == Format::io_weight)
    if (const auto dir = group.dir(h); dir && !sys::exists(*dir, name)) name = b.files[1];
  const auto* table = std::get_if<Table>(&**value);
  if (knob.format == Format::hugetlb && table != nullptr) {
    for (const TableRow& r : *table) {
      std::string file = name;
      file.replace(file.find('*'), 1, r.key);
      entries.push_back({file, &knob, Value(r.fields[0].second), h.path(group.name(), file)});
    }
    return {};
  }
  // Rows of a disk or interface: nothing is limited, nothing to show unless asked.
  if (table != nullptr && table->empty() && !asked) return {};
  if (knob.format == Format::io_max && table != nullptr && !table->empty() && !b.files[1].empty()) {
    by_file(group, h, knob, *table, entries);
    return {};
  }
  entries.push_back(
      {name,
       &knob,
       **value,
       b.files[0].starts_with('@')
           ? ""
           : h.path(group.name(),
                    name == knob.name && !b.files[0].starts_with("hugetlb.") ? b.files[0] : std::string_view(name))});
  return {};
}

Result<> collect_named(const Cgroup& group, const std::string& asked, std::vector<Entry>& entries) {
  if (const Knob* knob = find_knob(asked)) {
    const auto home = home_of(group.hierarchies(), *knob);
    const bool own = asked == knob->name || asked == knob->flag || asked == "--" + std::string(knob->flag) ||
                     (home && (asked == knob->v1.files[0] || asked == knob->v2.files[0])) ||
                     asked.find("hugetlb.") == 0;
    if (own) {
      const std::size_t before = entries.size();
      CGX_CHECK(collect(group, *knob, entries, true));
      // A file of one page size is that one alone, under the name that this version has for it.
      if (const std::size_t dot = asked.find('.', 8); asked.starts_with("hugetlb.") && dot != std::string::npos)
        entries.erase(std::remove_if(entries.begin() + static_cast<std::ptrdiff_t>(before),
                                     entries.end(),
                                     [&](const Entry& e) { return !e.name.starts_with(asked.substr(0, dot + 1)); }),
                      entries.end());
      return {};
    }
  }
  const auto c = controller_of_file(asked);
  if (!c) {
    auto error = bad_value(asked, "is not the name of a knob");
    std::vector<std::string_view> known;
    for_each_knob([&](const Knob& k) {
      known.push_back(k.name);
      if (!k.flag.empty()) known.push_back(k.flag);
    });
    const std::string_view close = sys::nearest(asked, known);
    error.error().hint = close.empty() ? "cgx controllers lists them" : fmt::format("did you mean {}?", close);
    return error;
  }
  const Hierarchy* h = group.home(*c, asked);
  const std::string text = CGX_TRY(group.read(*c, asked));
  entries.push_back({asked,
                     h != nullptr ? knob_of_file(asked, h->version()) : nullptr,
                     Value(std::string(sys::trim(text))),
                     h != nullptr ? h->path(group.name(), asked) : ""});
  return {};
}

// On v2 a group has the files of the controllers that its parent gives it.
void say_why_missing(const Cgroup& group, std::string_view asked, Error& e) {
  e.what = "there is no such file here (the root group and other kernels lack some)";
  const Knob* knob = find_knob(asked);
  const auto home = knob != nullptr ? home_of(group.hierarchies(), *knob) : Result<Home>(fail(ENOENT, ""));
  if (!home || home->hierarchy->version() != Version::v2 || group.name().empty()) return;
  const std::string_view name = row(home->backing->controller).v2_name;
  const auto given = group.read(*home->hierarchy, "cgroup.controllers");
  if (name.empty() || !given) return;
  const auto words = sys::words(*given);
  if (std::ranges::find(words, name) != words.end()) return;
  e.what = fmt::format("the {} controller is not enabled for this group", name);
  e.hint = "a limit of it enables it, as does cgx create --exist-ok --controllers " + std::string(name);
}

// What is in force, of every knob that this host has.
Result<std::vector<Entry>> entries_in_force(const Cgroup& group, bool all) {
  std::vector<Entry> entries;
  Result<> done;
  for_each_knob([&](const Knob& k) {
    if (!done || (!all && (k.kind == Kind::stat || k.kind == Kind::command))) return;
    const auto home = home_of(group.hierarchies(), k);
    if (!home) return;
    // A file that two rows share is shown under the row that it belongs to.
    const std::string_view file = home->backing->files[0];
    if (!file.starts_with('@') && knob_of_file(file, home->hierarchy->version()) != &k) return;
    done = collect(group, k, entries, false);
  });
  CGX_CHECK(located(std::move(done), group.name()));
  return entries;
}

Result<std::vector<Entry>> entries_of(const Call& call, const Cgroup& group) {
  CGX_CHECK(group.require());
  if (call.words.size() == 1) return entries_in_force(group, call.on("all"));
  std::vector<Entry> entries;
  for (std::size_t i = 1; i < call.words.size(); ++i) {
    auto done = collect_named(group, call.words[i], entries);
    if (!done) {
      Error e = done.error();
      e.group = shown(group.name());
      if (e.knob.empty() && e.fault != Fault::usage) e.knob = call.words[i];
      if (e.code == ENOENT) say_why_missing(group, call.words[i], e);
      return std::unexpected(std::move(e));
    }
  }
  return entries;
}

std::string human(const std::vector<Entry>& entries) {
  std::string out;
  for (const Entry& e : entries) {
    std::string text = e.knob != nullptr && e.knob->format != Format::hugetlb ? display(*e.knob, e.value)
                       : std::holds_alternative<std::uint64_t>(e.value)
                           ? sys::format_size(std::get<std::uint64_t>(e.value))
                           : std::get<std::string>(e.value);
    while (text.ends_with('\n')) text.pop_back();
    if (text.find('\n') == std::string::npos) {
      out += fmt::format("{}: {}\n", e.name, text);
      continue;
    }
    out += e.name + ":\n";
    for (const std::string_view line : sys::lines(text)) out += fmt::format("    {}\n", line);
  }
  return out;
}

void json_entries(sys::JsonWriter& json, const std::vector<Entry>& entries) {
  json.open_object();
  for (auto entry = entries.begin(); entry != entries.end(); ++entry) {
    const Entry& e = *entry;
    // Asked for by two names it is still one member.
    if (std::any_of(entries.begin(), entry, [&](const Entry& o) { return o.name == e.name; })) continue;
    json.key(e.name).open_object().key("value");
    json_value(json, e.knob, e.value);
    json.key("flag");
    if (e.knob != nullptr && !e.knob->flag.empty())
      json.string(e.knob->flag);
    else
      json.null();
    json.key("file");
    if (e.path.empty())
      json.null();
    else
      json.string(e.path);
    json.close_object();
  }
  json.close_object();
}

void json_group(sys::JsonWriter& json, const Cgroup& group, const std::vector<Entry>& entries) {
  json.open_object().key("name").string(shown(group.name())).key("version").string(group.hierarchies().layout());
  json_entries(json.key("knobs"), entries);
  json.close_object();
}

}  // namespace

Result<> write_knobs(sys::JsonWriter& json, const Cgroup& group) {
  json_entries(json, CGX_TRY(entries_in_force(group, false)));
  return {};
}

Result<int> run_get(const Call& call) {
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  const std::string name = CGX_TRY(existing_name(hierarchies, call.words[0]));
  std::vector<std::string> names{name};
  if (call.on("recursive")) {
    const std::vector<std::string> below = CGX_TRY(groups_below(Cgroup(hierarchies, name)));
    names.insert(names.end(), below.begin(), below.end());
  }
  sys::JsonWriter json;
  std::string text;
  if (names.size() > 1) json.open_array();
  for (const std::string& n : names) {
    const Cgroup group(hierarchies, n);
    const std::vector<Entry> entries = CGX_TRY(entries_of(call, group));
    if (names.size() > 1) text += fmt::format("{}{}:\n", text.empty() ? "" : "\n", shown(n));
    text += human(entries);
    json_group(json, group, entries);
  }
  if (names.size() > 1) json.close_array();
  print(call.json ? json.take() + "\n" : text);
  return 0;
}

}  // namespace cgx::tool
