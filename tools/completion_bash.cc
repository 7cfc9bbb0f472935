// SPDX-License-Identifier: Apache-2.0
// The script for bash. It needs nothing of the package bash-completion.
#include <fmt/format.h>

#include "completion.h"
#include "signals.h"

namespace cgx::tool {
namespace {

// What _cgx_fill understands: @KIND, or the words themselves.
std::string fill_text(const Suggest& s) {
  switch (s.fill) {
    case Fill::nothing:
      return "@nothing";
    case Fill::groups:
      return "@groups";
    case Fill::pids:
      return "@pids";
    case Fill::groups_pids:
      return "@groups @pids";
    case Fill::knobs:
      return "@knobs";
    case Fill::controllers:
      return "@controllers";
    case Fill::signals:
      return "@signals";
    case Fill::users:
      return "@users";
    case Fill::files:
      return "@files";
    case Fill::directories:
      return "@directories";
    case Fill::commands:
      return "@commands";
    case Fill::programs:
      return "@programs";
    case Fill::words:
      return joined(s.words);
  }
  return {};
}

std::string pattern(const Command& c) {
  return c.alias.empty() ? std::string(c.name) : fmt::format("{}|{}", c.name, c.alias);
}

// Group names come from the kernel and may hold anything: they are compared and quoted, never expanded (compgen -W
// would expand them).
constexpr std::string_view head = R"(# bash completion for cgx, written by `cgx completion bash`.

_cgx_add() {  # NAME: offers it where it begins like the word in hand
  local word
  printf -v word %q "$1"
  if [[ $1 == "$cur"* || $word == "$cur"* ]]; then COMPREPLY+=("$word"); fi
}
_cgx_fill() {  # @KIND or WORD...: offers these
  local kind item
  for kind; do
    case $kind in
      @nothing) ;;
      @groups) while IFS= read -r item; do _cgx_add "$item"; done < <(cgx ls -r 2>/dev/null) ;;
      @pids) for item in /proc/[0-9]*; do _cgx_add "${item#/proc/}"; done ;;
      @knobs) COMPREPLY+=($(compgen -W "$_cgx_knobs" -- "$cur")) ;;
      @signals) COMPREPLY+=($(compgen -W "$_cgx_signals" -- "$cur")) ;;
      @commands) COMPREPLY+=($(compgen -W "$_cgx_commands" -- "$cur")) ;;
      @controllers)
        item=''
        [[ $cur != *,* ]] || item=${cur%,*},
        COMPREPLY+=($(compgen -P "$item" -W "$_cgx_controllers" -- "${cur##*,}"))
        compopt -o nospace 2>/dev/null ;;
      @users) COMPREPLY+=($(compgen -u -- "$cur")) ;;
      @files) compopt -o filenames 2>/dev/null; while IFS= read -r item; do COMPREPLY+=("$item"); done < <(compgen -f -- "$cur") ;;
      @directories) compopt -o filenames 2>/dev/null; while IFS= read -r item; do COMPREPLY+=("$item"); done < <(compgen -d -- "$cur") ;;
      @programs) while IFS= read -r item; do COMPREPLY+=("$item"); done < <(compgen -c -- "$cur") ;;
      *) COMPREPLY+=($(compgen -W "$kind" -- "$cur")) ;;
    esac
  done
}
)";

constexpr std::string_view tail = R"(_cgx() {
  local cur=${COMP_WORDS[COMP_CWORD]} command='' count=0 flag='' i word kind
  COMPREPLY=()
  # `--flag=value` comes as three words where = breaks words.
  for ((i = 1; i < COMP_CWORD; ++i)); do
    word=${COMP_WORDS[i]}
    if [[ $word == = && $flag == pending ]]; then continue; fi
    if [[ $flag == pending ]]; then flag=''; continue; fi
    if [[ -z $command ]]; then
      case $word in
        -*) ;;
        *) command=$word ;;
      esac
    elif [[ $word == -- ]]; then
      flag=after
      break
    elif [[ $word == -* ]]; then
      [[ -z $(_cgx_value "$command" "$word") ]] || flag=pending
    else
      ((++count))
    fi
  done
  if [[ -z $command ]]; then
    _cgx_fill @commands --help --version
  elif [[ $flag == pending ]]; then
    i=$((COMP_CWORD - 1))
    [[ ${COMP_WORDS[i]} != = ]] || ((--i))
    if [[ $cur == = ]]; then cur='' i=$((COMP_CWORD - 1)); fi
    _cgx_fill $(_cgx_value "$command" "${COMP_WORDS[i]}")
  elif [[ $flag == after ]]; then
    _cgx_fill $(_cgx_word "$command" 2)
  elif [[ $cur == -* ]]; then
    _cgx_fill $(_cgx_flags "$command")
  else
    _cgx_fill $(_cgx_word "$command" $((count + 1)))
  fi
}
complete -F _cgx cgx
)";

}  // namespace

std::string bash_script() {
  std::vector<std::string> names;
  for (const Command& c : commands()) {
    names.emplace_back(c.name);
    if (!c.alias.empty()) names.emplace_back(c.alias);
  }
  std::vector<std::string> signals;
  for (const std::string_view name : signal_names()) signals.emplace_back(name);
  std::string out(head);
  out += fmt::format("_cgx_commands={}\n_cgx_signals={}\n_cgx_controllers={}\n_cgx_knobs={}\n",
                     quoted(joined(names)),
                     quoted(joined(signals)),
                     quoted(joined(controller_names())),
                     quoted(joined(knob_names())));
  std::string flags = "_cgx_flags() {  # COMMAND\n  case $1 in\n";
  std::string values =
      "_cgx_value() {  # COMMAND FLAG: what its argument is; nothing where it takes none\n  case $1:$2 in\n";
  std::string words = "_cgx_word() {  # COMMAND N: what its N-th word is\n  case $1:$2 in\n";
  for (const Command& c : commands()) {
    flags += fmt::format("    {}) echo '", pattern(c));
    for (const Flag& f : flags_of(c)) {
      flags += fmt::format("--{} ", f.name);
      if (f.letter != 0) flags += fmt::format("-{} ", f.letter);
      if (f.argument.empty()) continue;
      for (const std::string_view name : {c.name, c.alias}) {
        if (name.empty()) continue;
        const std::string letter = f.letter != 0 ? fmt::format("|{}:-{}", name, f.letter) : std::string();
        values += fmt::format("    {}:--{}{}) echo {} ;;\n", name, f.name, letter, quoted(fill_text(f.value)));
      }
    }
    flags.back() = '\'';
    flags += " ;;\n";
    const Positions p = positions_of(c);
    for (const std::string_view name : {c.name, c.alias})
      if (!name.empty())
        words += fmt::format("    {0}:1) echo {1} ;;\n    {0}:*) echo {2} ;;\n",
                             name,
                             quoted(fill_text(p.first)),
                             quoted(fill_text(p.rest)));
  }
  return out + flags + "  esac\n}\n" + values + "  esac\n}\n" + words + "  esac\n}\n" + std::string(tail);
}

}  // namespace cgx::tool
