// SPDX-License-Identifier: Apache-2.0
// cgx explain: for each resource the limit that leaves the least room on the path to the root.
//
// --json:
// {"name": string|null,             the group; null for a process
//  "pid": integer|null, "command": string|null,
//  "groups": [{"hierarchy": string, "group": string}],
//  "unnamed": [string],           hierarchies in which the group of the process cannot be named from here
//  "resources": [{
//    "resource": string,            "memory", "cpu quota", "io 8:0 rbps", "hugetlb 2MB", ...
//    "unit": string|null,           "bytes", "cpus", "percent", "bytes/s", "operations/s"
//    "limit": number|string|null,   null: no group of the path limits it
//    "group": string|null,          whose limit it is
//    "knob": string|null, "file": string|null,
//    "usage": number|null,          of the group whose limit it is; where there is none, of the group itself
//    "headroom": number|null,
//    "lately": [{"group": string, "knob": string, "count": integer, "what": string}],  since each group was made
//    "note": string|null}]}
#include "explain.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

#include "groups.h"
#include "processes.h"

namespace cgx::tool {
namespace {

std::string people(const Amount& amount, std::string_view unit) {
  if (const auto* n = std::get_if<std::uint64_t>(&amount)) {
    if (unit == "bytes") return sys::format_size(*n);
    if (unit == "bytes/s") return sys::format_size(*n) + "/s";
    return std::to_string(*n) + (unit == "operations/s" ? "/s" : "");
  }
  if (const auto* d = std::get_if<double>(&amount)) return fmt::format("{:.2f}{}", *d, unit == "percent" ? "%" : "");
  if (const auto* s = std::get_if<std::string>(&amount)) return *s;
  return "-";
}

void put(sys::JsonWriter& json, const Amount& amount) {
  if (const auto* n = std::get_if<std::uint64_t>(&amount)) {
    json.number(*n);
  } else if (const auto* d = std::get_if<double>(&amount)) {
    json.real(*d);
  } else if (const auto* s = std::get_if<std::string>(&amount)) {
    json.string(*s);
  } else {
    json.null();
  }
}

void put(sys::JsonWriter& json, const std::string& text) { text.empty() ? json.null() : json.string(text); }

// Numbers alone are processes where there is one of that number; `/4711` is always a group.
Result<Target> target_of(const Hierarchies& hierarchies, const std::string& word) {
  Target t{.hierarchies = &hierarchies, .pid = {}, .name = {}, .places = {}, .unnamed = {}};
  const auto pid = parse_pid(word);
  if (pid) {
    auto places = places_of(hierarchies, *pid);
    if (places) {
      t.pid = *pid;
      t.places = *std::move(places);
      for (const Hierarchy* h : CGX_TRY(unnamed_of(hierarchies, *pid))) t.unnamed.push_back(h->label());
      std::erase_if(t.places, [&](const Place& p) {
        return std::ranges::find(t.unnamed, p.hierarchy->label()) != t.unnamed.end();
      });
      if (t.places.empty() && !t.unnamed.empty()) return std::unexpected(cannot_be_named(word));
      return t;
    }
    if (places.error().code != ESRCH) return std::unexpected(places.error());
  }
  t.name = CGX_TRY(existing_name(hierarchies, word));
  const Cgroup group(hierarchies, t.name);
  const auto there = group.require();
  if (!there && sys::parse_u64(word))
    return located(Result<Target>(fail(ESRCH, "there is no such process, and no such group")), "", "", word);
  if (!there) return std::unexpected(there.error());
  for (const Hierarchy* h : group.present()) t.places.push_back({h, t.name});
  return t;
}

std::string as_json(const Target& t, const std::vector<Resource>& resources, const std::vector<std::string>& unread) {
  sys::JsonWriter json;
  json.open_object().key("name");
  t.pid ? json.null() : json.string(shown(t.name));
  json.key("pid");
  t.pid ? json.integer(*t.pid) : json.null();
  json.key("command");
  t.pid ? json.string(command_of(*t.pid)) : json.null();
  json.key("groups").open_array();
  for (const Place& p : t.places)
    json.open_object().key("hierarchy").string(p.hierarchy->label()).key("group").string(shown(p.group)).close_object();
  json.close_array().key("unnamed").open_array();
  for (const std::string& label : t.unnamed) json.string(label);
  json.close_array().key("resources").open_array();
  for (const Resource& r : resources) {
    json.open_object().key("resource").string(r.name).key("unit");
    put(json, r.unit);
    put(json.key("limit"), r.limit);
    put(json.key("group"), r.group);
    put(json.key("knob"), r.knob);
    put(json.key("file"), r.file);
    put(json.key("usage"), r.usage);
    put(json.key("headroom"), r.headroom);
    json.key("lately").open_array();
    for (const Event& e : r.lately)
      json.open_object()
          .key("group")
          .string(e.group)
          .key("knob")
          .string(e.knob)
          .key("count")
          .number(e.count)
          .key("what")
          .string(e.what)
          .close_object();
    json.close_array().key("note");
    put(json, r.note);
    json.close_object();
  }
  json.close_array().key("unread").open_array();
  for (const std::string& text : unread) json.string(text);
  json.close_array().close_object();
  return json.take() + "\n";
}

std::string as_text(const Target& t, const std::vector<Resource>& resources, const std::vector<std::string>& unread) {
  std::string out;
  if (t.pid) {
    out += fmt::format("process {} ({})\n", *t.pid, without_controls(command_of(*t.pid)));
    for (const Place& p : t.places)
      out += fmt::format("  in {:<16} {}\n", p.hierarchy->label(), without_controls(shown(p.group)));
  }
  std::size_t wide = 8;
  std::size_t limit = 5;
  std::size_t group = 5;
  for (const Resource& r : resources) {
    wide = std::max(wide, r.name.size());
    limit = std::max(limit, std::min<std::size_t>(24, people(r.limit, r.unit).size()));
    group = std::max(group, std::min<std::size_t>(40, r.group.size()));
  }
  out += fmt::format("{:<{}}  {:>{}}  {:>9}  {:>9}  {:<{}}  KNOB\n",
                     "RESOURCE",
                     wide,
                     "LIMIT",
                     limit,
                     "IN USE",
                     "LEFT",
                     "GROUP",
                     group);
  for (const Resource& r : resources) {
    std::string line = fmt::format("{:<{}}  {:>{}}  {:>9}  {:>9}  {:<{}}  {}",
                                   r.name,
                                   wide,
                                   people(r.limit, r.unit),
                                   limit,
                                   people(r.usage, r.unit),
                                   people(r.headroom, r.unit),
                                   r.group.empty() ? "-" : without_controls(r.group),
                                   group,
                                   r.knob.empty() ? "-" : r.knob);
    out += line + "\n";
    for (const Event& e : r.lately)
      out += fmt::format("{:{}}  {} {} ({}, {})\n", "", wide, e.count, e.what, without_controls(e.group), e.knob);
    if (!r.note.empty()) out += fmt::format("{:{}}  {}\n", "", wide, without_controls(r.note));
  }
  for (const std::string& text : unread) out += fmt::format("not read: {}\n", without_controls(text));
  return out;
}

}  // namespace

std::vector<Cgroup> Target::path(Controller controller) const {
  std::vector<Cgroup> groups;
  const Hierarchy* h = hierarchies->of(controller);
  const auto place = std::ranges::find(places, h, &Place::hierarchy);
  if (h == nullptr || place == places.end() || place->group.starts_with("..")) return groups;
  for (std::string_view at = place->group;; at = parent_of(at)) {
    groups.emplace_back(*hierarchies, std::string(at));
    if (at.empty()) return groups;
  }
}

Result<int> run_explain(const Call& call) {
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  const Target target = CGX_TRY(target_of(hierarchies, call.words[0]));
  if (!target.unnamed.empty()) {
    std::string labels;
    for (const std::string& label : target.unnamed) labels += (labels.empty() ? "" : ", ") + label;
    print_notes(
        call,
        {fmt::format("{}: in {} {}; its limits there are left out", call.words[0], labels, cannot_be_named({}).what)});
  }
  Look look;
  std::vector<Resource> resources = explain_cpu(target, look);
  for (Resource& r : explain_memory(target, look)) resources.push_back(std::move(r));
  for (Resource& r : explain_others(target, look)) resources.push_back(std::move(r));
  std::vector<std::string> unread;
  for (const Error& e : look.unread())
    if (std::string text = e.text(); std::ranges::find(unread, text) == unread.end()) unread.push_back(std::move(text));
  print(call.json ? as_json(target, resources, unread) : as_text(target, resources, unread));
  if (unread.empty()) return 0;
  Error first = look.unread().front();
  first.hint = "what binds may be among what could not be read";
  return std::unexpected(std::move(first));
}

}  // namespace cgx::tool
