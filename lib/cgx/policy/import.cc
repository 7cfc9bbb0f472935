// SPDX-License-Identifier: Apache-2.0
// cgconfig.conf: its groups, and what is told of the rest. Reading it is in import_grammar.cc, its values in
// import_limits.cc, cgrules.conf in import_cgrules.cc.
#include "cgx/policy/import.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/policy/document.h"
#include "cgx/policy/emit.h"
#include "cgx/policy/import_parts.h"
#include "cgx/policy/read.h"
#include "cgx/sys/text.h"

namespace cgx::policy {
namespace {

// Comments that stand in a policy; a file that makes more is hardly one of libcgroup.
constexpr std::size_t most_comments = 1000;

// Text of the file in a sentence or a comment.
std::string shown_text(std::string_view text) { return printable(text, 120); }

Problem problem(
    const std::string& file, unsigned line, std::string_view path, std::string_view what, std::string hint) {
  return {.place = {.file = file, .line = line, .column = 1},
          .path = shown_text(path),
          .what = shown_text(what),
          .hint = std::move(hint)};
}

// The mount options that stand beside controllers in a mount section.
bool is_mount_option(std::string_view word) { return word == "nodev" || word == "nosuid" || word == "noexec"; }

void tell_of_mounts(const ConfigFile& file, Told& told) {
  for (const ConfigParam& mount : file.mounts) {
    // Those of one place are one hierarchy: mounted one after the other, the last would hide the others.
    std::string controllers;
    std::string named;
    for (const ConfigParam& other : file.mounts) {
      if (other.value != mount.value) continue;
      for (const std::string_view word : sys::split(other.name, ',')) {
        if (word.starts_with("name="))
          named = word.substr(5);
        else if (!is_mount_option(word))
          controllers += (controllers.empty() ? "" : ",") + std::string(word);
      }
    }
    const std::string how = controllers.empty() ? "--named " + named : "--v1 " + controllers;
    told.missing(mount.line,
                 "mount",
                 fmt::format("policies mount nothing: {} on {}", mount.name, mount.value),
                 fmt::format("cgx mount {} {}", how, mount.value));
  }
  for (const ConfigParam& n : file.namespaces)
    told.missing(n.line, "namespace", fmt::format("there is no word for it: {} = {}", n.name, n.value));
  for (const ConfigParam& s : file.systemd)
    told.missing(s.line, "systemd", fmt::format("there is no word for it: {} = {}", s.name, s.value));
}

bool is_root(const std::string& user) { return user.empty() || user == "root" || user == "0"; }

// A policy gives a group to one user, who may then do what libcgroup's admin may: make groups in it, and move processes
// of its own. There is no one who may only move processes.
void import_perm(const ConfigPerm& perm, GroupPolicy& group, const std::string& path, Told& told) {
  if (!is_root(perm.admin_uid) || !is_root(perm.admin_gid)) {
    const std::string user = perm.admin_uid.empty() ? "root" : perm.admin_uid;
    auto good = check_user(user, user_word);
    if (good && !perm.admin_gid.empty()) good = check_user(perm.admin_gid, users_word);
    if (good)
      group.owner_text = perm.admin_gid.empty() ? user : user + ':' + perm.admin_gid;
    else
      told.wrong(perm.line, path + ": perm", good.error().text());
  }
  const auto same = [](const std::string& a, const std::string& b) { return a == b || (is_root(a) && is_root(b)); };
  const bool root_alone = is_root(perm.task_uid) && is_root(perm.task_gid);  // it may do everything anyway
  if (!root_alone && (!same(perm.task_uid, perm.admin_uid) || !same(perm.task_gid, perm.admin_gid)))
    told.missing(perm.line,
                 path + ": perm",
                 fmt::format("{}:{} may not move processes here: a group has one owner",
                             perm.task_uid.empty() ? "root" : perm.task_uid,
                             perm.task_gid.empty() ? "root" : perm.task_gid),
                 "owner: USER[:GROUP] gives the whole group away");
}

void tell_of_modes(const ConfigPerm& perm, const std::string& path, Told& told) {
  if (perm.modes)
    told.missing(perm.line, path + ": perm", "modes of files (fperm, dperm) stay as the kernel makes them");
}

// All sections of one name, in the order in which the names come.
struct Merged {
  std::string name;
  unsigned line = 0;
  std::optional<ConfigPerm> perm;
  std::vector<ConfigParam> params;
};

class Config {
 public:
  Config(const ConfigFile& file, Told& told) : file_(file), told_(told) {}

  Policies run() {
    tell_of_mounts(file_, told_);
    if (file_.default_perm) tell_of_modes(*file_.default_perm, "default", told_);
    for (const ConfigGroup& section : file_.groups) add(section);
    Policies policies;
    for (const Merged& merged : merged_) policies.groups.push_back(group_of(merged));
    // As load() has them: what is above before what is below, else as they stand.
    std::ranges::stable_sort(policies.groups, {}, [](const GroupPolicy& g) { return std::ranges::count(g.name, '/'); });
    return policies;
  }

 private:
  void add(const ConfigGroup& section) {
    const std::string path = (section.is_template ? "template " : "group ") + section.name;
    if (section.is_template) {
      for (const ConfigController& c : section.controllers)
        for (const ConfigParam& p : c.params)
          told_.missing(p.line,
                        path + ": " + p.name,
                        "groups that rules make have no limits of their own, but those of the groups above them");
      if (section.perm) told_.missing(section.perm->line, path + ": perm", "groups that rules make belong to root");
      return;
    }
    const auto name = parse_group_name(section.name);
    if (!name) return told_.wrong(section.line, path, name.error().what);
    if (name->empty()) {
      told_.missing(section.line, path, "the root is no group of a policy");
      return;
    }
    auto merged = std::ranges::find(merged_, *name, &Merged::name);
    if (merged == merged_.end()) merged = merged_.insert(merged_.end(), {.name = *name, .line = section.line});
    if (section.perm) merged->perm = section.perm;
    for (const ConfigController& c : section.controllers) {
      if (c.name.starts_with("name="))
        told_.missing(c.line, path + ": " + c.name, "hierarchies without controllers are left alone");
      else if (c.name != "freezer" && c.name != "perf_event" && !find_controller(c.name) && c.params.empty())
        told_.missing(c.line, path + ": " + c.name, "is no controller that cgx knows");
      merged->params.insert(merged->params.end(), c.params.begin(), c.params.end());
    }
  }

  GroupPolicy group_of(const Merged& merged) {
    GroupPolicy group;
    group.name = merged.name;
    const auto& perm = merged.perm ? merged.perm : file_.default_perm;
    if (perm) import_perm(*perm, group, "group " + merged.name, told_);
    if (merged.perm) tell_of_modes(*merged.perm, "group " + merged.name, told_);
    import_limits(merged.params, group, told_);
    return group;
  }

  const ConfigFile& file_;
  Told& told_;
  std::vector<Merged> merged_;
};

}  // namespace

void Told::wrong(unsigned line, const std::string& path, std::string what, std::string hint) {
  problems_.push_back(problem(file_, line, path, what, std::move(hint)));
}

void Told::missing(unsigned line, const std::string& path, std::string what, std::string hint) {
  problems_.push_back(problem(file_, line, path, what, std::move(hint)));
  problems_.back().warning = true;
}

std::string Told::comments() {
  std::ranges::stable_sort(
      problems_.begin() + static_cast<std::ptrdiff_t>(first_), problems_.end(), {}, [](const Problem& p) {
        return p.place.line;
      });
  std::string out = fmt::format("# Made by cgx import out of {}.\n", shown_text(file_));
  if (first_ < problems_.size()) out += "# Not carried over:\n";
  const std::size_t end = std::min(problems_.size(), first_ + most_comments);
  for (std::size_t i = first_; i < end; ++i) {
    const Problem& p = problems_[i];
    out +=
        fmt::format("#   {}:{}: {}{}{}\n", shown_text(file_), p.place.line, p.path, p.path.empty() ? "" : ": ", p.what);
    if (!p.hint.empty()) out += fmt::format("#     {}\n", shown_text(p.hint));
  }
  if (end < problems_.size()) out += fmt::format("#   and {} more\n", problems_.size() - end);
  return out;
}

Result<std::string> Told::policy_file(const Policies& policies) {
  std::string text = CGX_TRY(emit(policies));
  text.insert(0, comments());
  if (text.size() > most_document_bytes) return fail(E2BIG, "makes a policy larger than 1 MiB");
  return text;
}

ImportKind import_kind(std::string_view text, std::string_view name) {
  const std::string_view file = name.substr(name.rfind('/') + 1);
  if (file.find("cgrules") != std::string_view::npos || name.find("cgrules.d/") != std::string_view::npos)
    return ImportKind::cgrules;
  if (file.find("cgconfig") != std::string_view::npos) return ImportKind::cgconfig;
  for (const std::string_view line : sys::lines(text))
    if (const auto bare = sys::trim(line); !bare.starts_with('#') && bare.find('{') != std::string_view::npos)
      return ImportKind::cgconfig;
  for (const std::string_view line : sys::lines(text))
    if (const auto words = sys::words(line); words.size() >= 3 && !words[0].starts_with('#'))
      return ImportKind::cgrules;
  return ImportKind::cgconfig;
}

Result<std::string> import_cgconfig(std::string_view text, std::string_view name, std::vector<Problem>& problems) {
  if (text.size() > most_import_bytes) return fail(E2BIG, "is larger than 1 MiB");
  if (!is_utf8(text)) return fail(EILSEQ, "is not UTF-8 text, as a policy has to be");
  Told told(name, problems);
  const ConfigFile file = parse_cgconfig(text, told);
  return told.policy_file(Config(file, told).run());
}

Result<std::string> import_text(std::string_view text, std::string_view name, std::vector<Problem>& problems) {
  return import_kind(text, name) == ImportKind::cgrules ? import_cgrules(text, name, problems)
                                                        : import_cgconfig(text, name, problems);
}

}  // namespace cgx::policy
