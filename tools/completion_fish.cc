// SPDX-License-Identifier: Apache-2.0
// The script for fish: a `complete` line for each flag and word.
#include <algorithm>

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
    case Fill::commands:
      return joined(names_of(first_words()));
    case Fill::subcommands:
      return "(__cgx_subcommands)";
    case Fill::containers:
      return "(cgx container ls -q 2>/dev/null)";
    case Fill::all_containers:
      return "(cgx container ls -a -q 2>/dev/null)";
    case Fill::images:
      return "(__cgx_images)";
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

// One word of a shell, in conditions: container/ls.
std::string key(std::string_view name) {
  std::string out(name);
  std::ranges::replace(out, ' ', '/');
  return out;
}

constexpr std::string_view fish_head = R"(# fish completion for cgx, written by `cgx completion fish`.
# __cgx_at WHICH COMMAND...: whether the word in hand is of one of these commands (container/ls), and
# of its words the first, one of the rest, any, or (below) the second word of its name.
function __cgx_at
    set -l words (commandline -opc)
    set -l command ''
    set -l count 0
    set -l skip 0
    set -l valued
    for word in $words[2..-1]
        if test $skip = 1
            set skip 0
        else if test -z "$command"
            string match -q -- '-*' $word; or set command $word
        else if contains -- $command $__cgx_first
            string match -q -- '-*' $word; or set command $command/$word
        else if test $word = --
            set count 1
            break
        else if string match -q -- '-*' $word
            contains -- $word (__cgx_valued $command); and set skip 1
        else
            set count (math $count + 1)
        end
    end
    contains -- "$command" $argv[2..-1]; or return 1
    switch $argv[1]
        case first
            test $count -eq 0
        case rest
            test $count -ge 1
    end
end
function __cgx_images
    set -l word (commandline -ct)
    if string match -qr '^(dir|oci):' -- $word
        for directory in (__fish_complete_directories (string sub -s 5 -- $word))
            echo (string sub -l 4 -- $word)$directory
        end
    else
        printf '%s\n' dir: oci:
    end
end
)";

}  // namespace

std::string fish_script() {
  std::string out(fish_head);
  std::vector<std::string> firsts;
  for (const std::string_view name : names_with_second) firsts.emplace_back(name);
  out += fmt::format("set -g __cgx_first {}\n", joined(firsts));
  out += "# The flags of a command that are followed by a value.\nfunction __cgx_valued\n    switch $argv[1]\n";
  for (const Command& c : commands()) {
    std::vector<std::string> valued;
    for (const Flag& f : flags_of(c)) {
      if (f.argument.empty()) continue;
      valued.push_back("--" + f.name);
      if (f.letter != 0) valued.push_back(fmt::format("-{}", f.letter));
    }
    if (!valued.empty())
      out += fmt::format("        case {}{}\n            string split ' ' -- '{}'\n",
                         key(c.name),
                         c.alias.empty() ? "" : ' ' + key(c.alias),
                         joined(valued));
  }
  out += "    end\nend\n# After `cgx help`.\nfunction __cgx_subcommands\n    switch (commandline -opc)[3]\n";
  for (const std::string_view name : names_with_second)
    out += fmt::format(
        "        case {}\n            string split ' ' -- '{}'\n", name, joined(names_of(second_words(name))));
  out +=
      "    end\nend\ncomplete -c cgx -f\n"
      "complete -c cgx -n __fish_use_subcommand -l help -d 'show the commands'\n"
      "complete -c cgx -n __fish_use_subcommand -l version -d 'show the version'\n";
  for (const Word& word : first_words())
    out += fmt::format("complete -c cgx -n __fish_use_subcommand -a {} -d {}\n", word.name, fish_quoted(word.doc));
  for (const std::string_view name : names_with_second)
    for (const Word& word : second_words(name))
      out +=
          fmt::format("complete -c cgx -n '__cgx_at below {}' -a {} -d {}\n", name, word.name, fish_quoted(word.doc));
  for (const Command& c : commands()) {
    const std::string names = c.alias.empty() ? key(c.name) : fmt::format("{} {}", key(c.name), key(c.alias));
    const std::string flags =
        fmt::format("__cgx_at {} {}", has(c.takes, Takes::stops_at_word) ? "first" : "any", names);
    for (const Flag& f : flags_of(c)) {
      out += fmt::format("complete -c cgx -n {} -l {}", fish_quoted(flags), f.name);
      if (f.letter != 0) out += fmt::format(" -s {}", f.letter);
      if (!f.argument.empty()) out += " -x";
      if (const std::string offered = candidates(f.value); !offered.empty())
        out += fmt::format(" -a {}", fish_quoted(offered));
      out += fmt::format(" -d {}\n", fish_quoted(f.doc));
    }
    const Positions p = positions_of(c);
    out += word_line(fmt::format("__cgx_at first {}", names), p.first, p.first_label);
    out += word_line(fmt::format("__cgx_at rest {}", names), p.rest, p.rest_label);
  }
  return out;
}

}  // namespace cgx::tool
