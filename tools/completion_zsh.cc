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
  out += "_cgx_commands() {\n  local -a commands\n  commands=(\n";
  for (const Command& c : commands()) {
    out += fmt::format("    {}\n", quoted(fmt::format("{}:{}", c.name, escaped(c.doc, ":\\"))));
    if (!c.alias.empty()) out += fmt::format("    {}\n", quoted(fmt::format("{}:{}", c.alias, escaped(c.doc, ":\\"))));
  }
  out +=
      "  )\n  _describe -t commands command commands\n}\n\n_cgx() {\n  if (( CURRENT == 2 )); then\n"
      "    _cgx_commands\n    [[ $PREFIX != -* ]] || compadd -- --help --version\n    return\n  fi\n"
      "  local command=$words[2]\n  shift words\n  (( CURRENT-- ))\n  case $command in\n";
  for (const Command& c : commands()) {
    out += fmt::format("    {}{}{})\n      _arguments -s \\\n", c.name, c.alias.empty() ? "" : "|", c.alias);
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
