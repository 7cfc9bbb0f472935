// SPDX-License-Identifier: Apache-2.0
// The script for zsh: an _arguments call for each command.
#include <fmt/format.h>

#include "completion.h"
#include "signals.h"

namespace cgx::tool {
namespace {

// For the parts of an _arguments specification.
std::string escaped(std::string_view text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string action(const Suggest& s) {
  switch (s.fill) {
    case Fill::nothing:
      return " ";
    case Fill::groups:
      return "_cgx_groups";
    case Fill::pids:
      return "_cgx_pids";
    case Fill::groups_pids:
      return "_cgx_groups_pids";
    case Fill::knobs:
      return "_cgx_knobs";
    case Fill::controllers:
      return "_cgx_controllers";
    case Fill::signals:
      return "_cgx_signals";
    case Fill::users:
      return "_users";
    case Fill::files:
      return "_files";
    case Fill::directories:
      return "_directories";
    case Fill::commands:
      return "_cgx_commands";
    case Fill::subcommands:
      return "_cgx_subcommands";
    case Fill::containers:
      return "_cgx_containers";
    case Fill::all_containers:
      return "_cgx_all_containers";
    case Fill::images:
      return "_cgx_images";
    case Fill::programs:
      return "_command_names -e";
    case Fill::words:
      return "(" + joined(s.words) + ")";
  }
  return " ";
}

std::string flag_specs(const Flag& f) {
  std::string out;
  const std::string doc = escaped(f.doc, "[]:\\");
  const std::string value =
      f.argument.empty() ? std::string() : fmt::format(":{}:{}", escaped(f.argument, ":\\"), action(f.value));
  const std::string star = f.repeatable ? "*" : "";
  out += fmt::format("        {} \\\n",
                     quoted(fmt::format("{}--{}{}[{}]{}", star, f.name, f.argument.empty() ? "" : "=", doc, value)));
  if (f.letter != 0)
    out += fmt::format("        {} \\\n",
                       quoted(fmt::format("{}-{}{}[{}]{}", star, f.letter, f.argument.empty() ? "" : "+", doc, value)));
  return out;
}

std::string function_of(std::string_view name, const std::vector<std::string>& words) {
  return fmt::format("_cgx_{0}() {{ compadd \"$@\" -- {1} }}\n", name, joined(words));
}

// A function that offers these words with what they mean.
std::string described(std::string_view name, std::string_view tag, const std::vector<Word>& words) {
  std::string out = fmt::format("_cgx_{}() {{\n  local -a commands\n  commands=(\n", name);
  for (const Word& word : words)
    out += fmt::format("    {}\n", quoted(fmt::format("{}:{}", word.name, escaped(word.doc, ":\\"))));
  return out + fmt::format("  )\n  _describe -t commands {} commands\n}}\n\n", quoted(tag));
}

}  // namespace

std::string zsh_script() {
  std::vector<std::string> signals;
  for (const std::string_view name : signal_names()) signals.emplace_back(name);
  std::string out = "#compdef cgx\n# zsh completion for cgx, written by `cgx completion zsh`.\n\n";
  // (f) splits at newlines alone; compadd -a quotes what has to be quoted.
  out += "_cgx_groups() { local -a groups; groups=(${(f)\"$(cgx ls -r 2>/dev/null)\"}); compadd \"$@\" -a groups }\n";
  out += "_cgx_pids() { local -a pids; pids=(/proc/[0-9]*(N:t)); compadd \"$@\" -a pids }\n";
  out += "_cgx_groups_pids() { _cgx_groups \"$@\"; _cgx_pids \"$@\" }\n";
  out += function_of("controller", controller_names()) + "_cgx_controllers() { _sequence _cgx_controller }\n";
  out += function_of("signals", signals) + function_of("knobs", knob_names());
  out +=
      "_cgx_containers() { local -a names; names=(${(f)\"$(cgx container ls -q 2>/dev/null)\"}); compadd \"$@\" -a "
      "names }\n";
  out +=
      "_cgx_all_containers() { local -a names; names=(${(f)\"$(cgx container ls -a -q 2>/dev/null)\"}); compadd \"$@\" "
      "-a names }\n";
  out +=
      "_cgx_images() { if compset -P 'dir:' || compset -P 'oci:'; then _directories; else compadd \"$@\" -S '' -- dir: "
      "oci:; fi }\n\n";
  out += described("commands", "command", first_words());
  std::string second;
  for (const std::string_view name : names_with_second) {
    out += described(fmt::format("below_{}", name), fmt::format("{} command", name), second_words(name));
    second += fmt::format("{}{}", second.empty() ? "" : "|", name);
  }
  // After `cgx help`.
  out += fmt::format("_cgx_subcommands() {{ case $words[2] in {}) _cgx_below_$words[2] ;; esac }}\n\n", second);
  out +=
      "_cgx() {\n  if (( CURRENT == 2 )); then\n"
      "    _cgx_commands\n    [[ $PREFIX != -* ]] || compadd -- --help --version\n    return\n  fi\n"
      "  local command=$words[2]\n  shift words\n  (( CURRENT-- ))\n";
  out += fmt::format(
      "  case $command in {})\n    if (( CURRENT == 2 )); then\n      _cgx_below_$command\n"
      "      [[ $PREFIX != -* ]] || compadd -- --help\n      return\n    fi\n"
      "    command+=\" $words[2]\"\n    shift words\n    (( CURRENT-- )) ;;\n  esac\n  case $command in\n",
      second);
  for (const Command& c : commands()) {
    out += fmt::format("    {}{}{})\n      _arguments -s {}\\\n",
                       quoted(c.name),
                       c.alias.empty() ? "" : "|",
                       c.alias.empty() ? "" : quoted(c.alias),
                       has(c.takes, Takes::stops_at_word) ? "-A '-*' " : "");
    for (const Flag& f : flags_of(c)) out += flag_specs(f);
    const Positions p = positions_of(c);
    if (!p.first_label.empty())
      out += fmt::format("        {} \\\n",
                         quoted(fmt::format("1:{}:{}", escaped(p.first_label, ":\\"), action(p.first))));
    if (!p.rest_label.empty())
      out +=
          fmt::format("        {} \\\n", quoted(fmt::format("*:{}:{}", escaped(p.rest_label, ":\\"), action(p.rest))));
    out.erase(out.size() - 3);
    out += "\n      ;;\n";
  }
  return out +
         "  esac\n}\n\n# Sourced, it registers itself; autoloaded, it completes.\n"
         "if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _cgx \"$@\"; else compdef _cgx cgx; fi\n";
}

}  // namespace cgx::tool
