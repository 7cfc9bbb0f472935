// SPDX-License-Identifier: Apache-2.0
// create and set: both are one change of all the groups named.
#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/cgroupfs/maker_note.h"
#include "cgx/change/explain.h"
#include "cgx/sys/json.h"

#include "groups.h"

namespace cgx::tool {
namespace {

std::string json_names(const std::vector<std::string>& names, const std::vector<std::string>& notes) {
  sys::JsonWriter json;
  json.open_object().key("groups").open_array();
  for (const std::string& name : names) json.string(shown(name));
  json.close_array().key("notes").open_array();
  for (const std::string& note : notes) json.string(note);
  json.close_array().close_object();
  return json.take() + "\n";
}

Result<int> change(const Hierarchies& hierarchies, const Call& call, Desired desired) {
  const std::vector<std::string> names = CGX_TRY(names_of(call));
  desired.limits = CGX_TRY(limits_of(call));
  desired.force = call.on("force");
  // A limit of one may forbid that of another: which is written first is the plan's to say, not the command line's.
  ChangeSet set;
  for (const std::string& name : names) {
    desired.group = desired.existing == Existing::require ? existing_group(hierarchies, name) : name;
    set.groups.push_back(desired);
  }
  std::ranges::stable_sort(set.groups, {}, &Desired::group);  // parents before children
  if (call.dry_run) {
    print_steps(call, CGX_TRY(Plan::make(hierarchies, set)).text());
    return 0;
  }
  Transaction transaction(hierarchies);
  CGX_CHECK(transaction.apply(set));
  // One that a `cgx exec` has made for its command, and was killed, is wanted now.
  for (const Desired& one : set.groups)
    if (one.existing != Existing::refuse || is_named_fresh(one.group)) forget_maker(transaction.group(one.group));
  std::vector<std::string> notes = transaction.notes();
  for (const Limit& limit : desired.limits)
    if (const auto said = doubt(limit)) notes.push_back(fmt::format("--{}: {}", limit.knob->flag, *said));
  print_notes(call, notes);
  if (call.json) print(json_names(names, notes));
  return 0;
}

}  // namespace

Result<int> run_create(const Call& call) {
  Desired desired;
  desired.existing = call.on("exist-ok") ? Existing::allow : Existing::refuse;
  desired.only = CGX_TRY(only_of(call));
  if (desired.only) desired.need = *desired.only;  // on v2 they are to be enabled
  for (const std::string& word : call.words)
    if (CGX_TRY(parse_group_name(word)).empty()) return bad_value(word, "is the root, which is always there");
  if (call.on("owner")) desired.owner = CGX_TRY(parse_owner(call.get("owner")));
  return change(CGX_TRY(Hierarchies::discover()), call, std::move(desired));
}

Result<int> run_set(const Call& call) { return run_set_in(CGX_TRY(Hierarchies::discover()), call); }

Result<int> run_set_in(const Hierarchies& hierarchies, const Call& call) {
  if (call.limits.empty())
    return std::unexpected(
        Error{.code = EINVAL, .what = "no limit is given", .hint = "cgx set --help lists them", .fault = Fault::usage});
  return change(hierarchies, call, Desired{});
}

}  // namespace cgx::tool
