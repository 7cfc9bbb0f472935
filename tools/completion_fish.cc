// SPDX-License-Identifier: Apache-2.0
// The script for fish: a `complete` line for each flag and word.
#include <fmt/format.h>

#include "completion.h"
#include "signals.h"

namespace cgx::tool {
namespace {

// fish escapes ' and \ inside single quotes by a backslash.
std::string fish_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

// The argument of -a; empty: nothing to offer.
std::string candidates(const Suggest& s) {
  switch (s.fill) {
    case Fill::nothing:
      return {};
    case Fill::groups:
      return "(cgx ls -r 2>/dev/null)";
    case Fill::pids:
      return "(__fish_complete_pids)";
    case Fill::groups_pids:
      return "(cgx ls -r 2>/dev/null; __fish_complete_pids)";
    case Fill::knobs:
      return joined(knob_names());
    case Fill::controllers:
      return "(__fish_append , " + joined(controller_names()) + ")";
    case Fill::signals: {
      std::vector<std::string> names;
      for (const std::string_view name : signal_names()) names.emplace_back(name);
      return joined(names);
    }
    case Fill::users:
      return "(__fish_complete_users)";
    case Fill::files:
      return "(__fish_complete_path)";
    case Fill::directories:
      return "(__fish_complete_directories)";
    case Fill::commands: {
      std::vector<std::string> names;
      for (const Command& c : commands()) names.emplace_back(c.name);
      return joined(names);
    }
    case Fill::programs:
      return "(__fish_complete_command)";
    case Fill::words:
      return joined(s.words);
  }
  return {};
}

std::string word_line(std::string_view condition, const Suggest& s, std::string_view label) {
  const std::string offered = candidates(s);
  if (offered.empty()) return {};
  return fmt::format(
      "complete -c cgx -n {} -a {} -d {}\n", fish_quoted(condition), fish_quoted(offered), fish_quoted(label));
}

}  // namespace

std::string fish_script() {
  std::string out = R"(# fish completion for cgx, written by `cgx completion fish`.
# __cgx_at COMMAND ALIAS first|rest|any: whether the word in hand is this one of that command.
function __cgx_at
    set -l words (commandline -opc)
    set -l plain
    for word in $words[2..-1]
        string match -q -- '-*' $word; or set -a plain $word
    end
    test (count $plain) -ge 1; or return 1
    contains -- $plain[1] $argv[1] $argv[2]; or return 1
    switch $argv[3]
        case first
            test (count $plain) -eq 1
        case rest
            test (count $plain) -ge 2
    end
end
complete -c cgx -f
complete -c cgx -n __fish_use_subcommand -l help -d 'show the commands'
complete -c cgx -n __fish_use_subcommand -l version -d 'show the version'
)";
  for (const Command& c : commands()) {
    const std::string_view alias = c.alias.empty() ? c.name : c.alias;
    out += fmt::format("complete -c cgx -n __fish_use_subcommand -a {} -d {}\n", c.name, fish_quoted(c.doc));
    if (!c.alias.empty())
      out += fmt::format("complete -c cgx -n __fish_use_subcommand -a {} -d {}\n", c.alias, fish_quoted(c.doc));
    const std::string any = fmt::format("__cgx_at {} {} any", c.name, alias);
    for (const Flag& f : flags_of(c)) {
      out += fmt::format("complete -c cgx -n {} -l {}", fish_quoted(any), f.name);
      if (f.letter != 0) out += fmt::format(" -s {}", f.letter);
      if (!f.argument.empty()) out += " -x";
      if (const std::string offered = candidates(f.value); !offered.empty())
        out += fmt::format(" -a {}", fish_quoted(offered));
      out += fmt::format(" -d {}\n", fish_quoted(f.doc));
    }
    const Positions p = positions_of(c);
    out += word_line(fmt::format("__cgx_at {} {} first", c.name, alias), p.first, p.first_label);
    out += word_line(fmt::format("__cgx_at {} {} rest", c.name, alias), p.rest, p.rest_label);
  }
  return out;
}

}  // namespace cgx::tool
