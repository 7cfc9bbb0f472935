// SPDX-License-Identifier: Apache-2.0
#include "cgx/policy/match.h"

#include <algorithm>

#include <fmt/format.h>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/sys/text.h"

namespace cgx::policy {
namespace {

// The end of the set that begins at pattern[at] == '[', past its ']'; npos: it is never closed. A ']' right after the
// beginning is a member.
std::size_t set_end(std::string_view pattern, std::size_t at) {
  std::size_t i = at + 1;
  if (i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^')) ++i;
  if (i < pattern.size() && pattern[i] == ']') ++i;
  while (i < pattern.size() && pattern[i] != ']') ++i;
  return i < pattern.size() ? i + 1 : std::string_view::npos;
}

bool in_set(std::string_view set, char c) {  // without its brackets
  const bool inverted = set.starts_with('!') || set.starts_with('^');
  if (inverted) set.remove_prefix(1);
  const auto value = [](char x) { return static_cast<unsigned char>(x); };
  bool found = false;
  for (std::size_t i = 0; i < set.size() && !found; ++i) {
    if (i + 2 < set.size() && set[i + 1] == '-') {
      found = value(set[i]) <= value(c) && value(c) <= value(set[i + 2]);
      i += 2;
    } else {
      found = set[i] == c;
    }
  }
  return found != inverted;
}

// One unit of the pattern at `at` (no star) against `c`; answers how long the unit is, 0: no match.
std::size_t unit(std::string_view pattern, std::size_t at, char c, Text kind) {
  const bool slash = kind == Text::path && c == '/';
  if (pattern[at] == '?') return slash ? 0 : 1;
  if (pattern[at] == '[')
    if (const std::size_t end = set_end(pattern, at); end != std::string_view::npos)
      return !slash && in_set(pattern.substr(at + 1, end - at - 2), c) ? end - at : 0;
  if (pattern[at] == '\\' && at + 1 < pattern.size()) return pattern[at + 1] == c ? 2 : 0;
  return pattern[at] == c ? 1 : 0;
}

// A star that was passed: where the pattern goes on after it, and the first character that it has not taken yet.
struct Star {
  std::size_t pattern = std::string_view::npos;
  std::size_t text = 0;
  [[nodiscard]] bool there() const { return pattern != std::string_view::npos; }
};

bool unsafe(char c) { return c == '/' || static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }

// Files of the kernel in a group's directory are named CONTROLLER.FILE, but for the oldest ones.
bool is_kernel_file(std::string_view name) {
  if (name == "tasks" || name == "notify_on_release" || name == "release_agent") return true;
  const std::size_t dot = name.find('.');
  if (dot == std::string_view::npos) return false;
  const std::string_view prefix = name.substr(0, dot);
  return prefix == "cgroup" || prefix == "irq" || prefix == "debug" || find_controller(prefix).has_value();
}

std::string safe_part(std::string part) {
  if (part.empty() || part == "." || part == ".." || is_kernel_file(part)) part.insert(part.begin(), '_');
  constexpr std::size_t name_max = 255;
  if (part.size() > name_max) part.resize(name_max);
  return part;
}

std::string name_or_number(const std::optional<std::string>& name, std::uint64_t number) {
  if (!name || name->empty() || std::ranges::any_of(*name, unsafe)) return std::to_string(number);
  return *name;
}

std::string safe_comm(std::string_view comm) {
  std::string out(comm);
  std::ranges::replace_if(out, unsafe, '_');
  return out;
}

constexpr std::string_view template_letters = "uUgGpc%";

Error bad_template(std::string_view target) {
  return {
      .code = EINVAL,
      .what = fmt::format("has a percent sign without one of {} after it", template_letters),
      .value = std::string(target),
      .hint = "%u %U %g %G are the user's and the group's name and number, %c the command, %p the process, %% is a %",
      .fault = Fault::usage};
}

// One part between slashes. `letter` answers the text for a letter, `fit` makes a name of a part that has one.
template <class Letter, class Fit>
Result<std::string> expand_part(std::string_view target, std::string_view part, const Letter& letter, const Fit& fit) {
  std::string out;
  bool filled = false;
  for (std::size_t i = 0; i < part.size(); ++i) {
    if (part[i] != '%') {
      out += part[i];
      continue;
    }
    ++i;
    if (i == part.size() || template_letters.find(part[i]) == std::string_view::npos)
      return std::unexpected(bad_template(target));
    filled = filled || part[i] != '%';
    if (part[i] == '%')
      out += '%';
    else
      out += letter(part[i]);
  }
  return filled ? fit(std::move(out)) : out;
}

template <class Letter, class Fit>
Result<std::string> expand_all(std::string_view target, const Letter& letter, const Fit& fit) {
  std::string out;
  std::string_view rest = target;
  while (true) {
    const std::size_t slash = rest.find('/');
    out += CGX_TRY(expand_part(target, rest.substr(0, slash), letter, fit));
    if (slash == std::string_view::npos) break;
    out += '/';
    rest.remove_prefix(slash + 1);
  }
  return parse_group_name(out);
}

std::optional<std::uint64_t> number(const std::string& text) {
  const auto n = sys::parse_u64(text, 0, static_cast<uid_t>(-2));
  return n ? std::optional(*n) : std::nullopt;
}

bool any_user(const Rule& rule) { return rule.user.empty() || rule.user == "*"; }

// A number counts as one: the kernel knows nothing else, and names of digits only are refused by useradd(8).
bool user_matches(const std::string& user, uid_t uid, Names& names) {
  if (const auto n = number(user)) return *n == uid;
  const auto id = names.user_id(user);
  return id && *id == uid;
}

bool group_matches(const std::string& group, const Facts& facts, Names& names) {
  if (const auto n = number(group)) return facts.in_group(static_cast<gid_t>(*n));
  const auto id = names.group_id(group);
  return id && facts.in_group(*id);
}

bool cgroup_matches(std::string_view pattern, const Facts& facts) {
  const auto bare = [](std::string_view name) {
    while (name.starts_with('/')) name.remove_prefix(1);
    while (name.ends_with('/')) name.remove_suffix(1);
    return name;
  };
  return std::ranges::any_of(facts.cgroups(),
                             [&](const std::string& name) { return glob(bare(pattern), bare(name), Text::path); });
}

}  // namespace

// The usual walk that goes back to the last star when it is stuck; what an earlier star took need not be looked at
// again, since a later one of the same reach can take it as well. `*` of a path reaches less far than `**`, so the last
// of each is kept: what makes a `*` give up is a `/`, and then the `**` before it has to take more.
bool glob(std::string_view pattern, std::string_view text, Text kind) {
  Star near;
  Star far;
  std::size_t p = 0;
  std::size_t t = 0;
  while (true) {
    if (p < pattern.size() && pattern[p] == '*') {
      std::size_t next = p;
      while (next < pattern.size() && pattern[next] == '*') ++next;
      const bool over_slashes = kind == Text::word || next - p > 1;
      p = next;
      (over_slashes ? far : near) = {.pattern = p, .text = t};
      if (over_slashes) near = {};
      continue;
    }
    if (t == text.size() && p == pattern.size()) return true;
    if (t < text.size() && p < pattern.size()) {
      if (const std::size_t length = unit(pattern, p, text[t], kind); length != 0) {
        p += length;
        ++t;
        continue;
      }
    }
    if (near.there() && near.text < text.size() && text[near.text] != '/') {
      t = ++near.text;
      p = near.pattern;
    } else if (far.there() && far.text < text.size()) {
      t = ++far.text;
      p = far.pattern;
      near = {};
    } else {
      return false;
    }
  }
}

// From what costs least to look up to what costs most.
bool matches(const Rule& rule, const Facts& facts, Names& names) {
  if (!rule.command.empty() && !glob(rule.command, facts.comm(), Text::word)) return false;
  if (!rule.exe.empty() && !glob(rule.exe, facts.exe(), Text::path)) return false;
  if (!any_user(rule) && !user_matches(rule.user, facts.uid(), names)) return false;
  if (!rule.group.empty() && !group_matches(rule.group, facts, names)) return false;
  return rule.cgroup.empty() || cgroup_matches(rule.cgroup, facts);
}

const Rule* first_match(std::span<const Rule> rules, const Facts& facts, Names& names) {
  const auto at = std::ranges::find_if(rules, [&](const Rule& rule) { return matches(rule, facts, names); });
  return at == rules.end() ? nullptr : &*at;
}

Result<std::string> expand(std::string_view target, const Facts& facts, Names& names) {
  if (target.empty()) return std::string();
  const auto text_of = [&](char letter) -> std::string {
    switch (letter) {
      case 'u':
        return name_or_number(names.user_name(facts.uid()), facts.uid());
      case 'U':
        return std::to_string(facts.uid());
      case 'g':
        return name_or_number(names.group_name(facts.gid()), facts.gid());
      case 'G':
        return std::to_string(facts.gid());
      case 'p':
        return std::to_string(facts.pid());
      default:
        return safe_comm(facts.comm());
    }
  };
  return expand_all(target, text_of, safe_part);
}

Result<> check_target(std::string_view target) {
  if (target.empty()) return {};
  // What is put in is cut where it has to be, but what is written out has to fit beside one letter at least.
  const auto one_letter = [](char) { return std::string("x"); };
  auto name = expand_all(target, one_letter, [](std::string part) { return part; });
  if (name) return {};
  name.error().value = target;
  return std::unexpected(std::move(name.error()));
}

bool is_template(std::string_view target) {
  for (std::size_t i = 0; i + 1 < target.size(); ++i) {
    if (target[i] != '%') continue;
    ++i;
    if (target[i] != '%') return true;
  }
  return false;
}

Wanted wanted_by(std::span<const Rule> rules) {
  Wanted wanted;
  for (const Rule& rule : rules) {
    wanted.user = wanted.user || !any_user(rule);
    wanted.group = wanted.group || !rule.group.empty();
    for (std::size_t i = 0; i + 1 < rule.target.size(); ++i) {
      if (rule.target[i] != '%') continue;
      ++i;
      wanted.user = wanted.user || rule.target[i] == 'u' || rule.target[i] == 'U';
      wanted.group = wanted.group || rule.target[i] == 'g' || rule.target[i] == 'G';
    }
  }
  return wanted;
}

}  // namespace cgx::policy
