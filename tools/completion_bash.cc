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
    case Fill::subcommands:
      return "@subcommands";
    case Fill::containers:
      return "@containers";
    case Fill::all_containers:
      return "@all_containers";
    case Fill::images:
      return "@images";
    case Fill::programs:
      return "@programs";
    case Fill::words:
      return joined(s.words);
  }
  return {};
}

// Patterns of `case`: `container ls` is two words.
std::string pattern(std::string_view text) {
  return text.find(' ') == std::string_view::npos ? std::string(text) : quoted(text);
}
std::string pattern(const Command& c) {
  return c.alias.empty() ? pattern(c.name) : fmt::format("{}|{}", pattern(c.name), pattern(c.alias));
}

// Names of groups come from the kernel and may hold anything: they are compared and quoted, never expanded (compgen -W
// would expand them).
constexpr std::string_view head = R"sh(# bash completion for cgx, written by `cgx completion bash`.

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
      @containers) while IFS= read -r item; do _cgx_add "$item"; done < <(cgx container ls -q 2>/dev/null) ;;
      @all_containers) while IFS= read -r item; do _cgx_add "$item"; done < <(cgx container ls -a -q 2>/dev/null) ;;
      @images)
        case $cur in
          dir:* | oci:*)
            compopt -o filenames 2>/dev/null
            while IFS= read -r item; do COMPREPLY+=("${cur%%:*}:$item"); done < <(compgen -d -- "${cur#*:}") ;;
          *) COMPREPLY+=($(compgen -W 'dir: oci:' -- "$cur")) ;;
        esac
        compopt -o nospace 2>/dev/null ;;
      @pids) for item in /proc/[0-9]*; do _cgx_add "${item#/proc/}"; done ;;
      @knobs) COMPREPLY+=($(compgen -W "$_cgx_knobs" -- "$cur")) ;;
      @signals) COMPREPLY+=($(compgen -W "$_cgx_signals" -- "$cur")) ;;
      @commands) COMPREPLY+=($(compgen -W "$_cgx_commands" -- "$cur")) ;;
      @subcommands) COMPREPLY+=($(compgen -W "$(_cgx_below "${words[-1]}")" -- "$cur")) ;;
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
)sh";

constexpr std::string_view tail = R"sh(_cgx() {
  local cur command='' count=0 flag='' i word words=() begun before=''
  COMPREPLY=()
  # Where = and : break words, `--flag=value` and `dir:/path` come in pieces.
  for ((i = 1; i <= COMP_CWORD; ++i)); do
    word=${COMP_WORDS[i]}
    if ((${#words[@]})) && [[ -n $word && ($word == [:=]* || ${words[-1]} == *[:=]) ]]; then
      words[-1]+=$word
    else
      words+=("$word")
    fi
  done
  cur=${words[-1]}
  unset 'words[-1]'
  # readline keeps what stands before the piece in hand.
  begun=$cur
  [[ ${COMP_WORDS[COMP_CWORD]} == [:=]* ]] || begun=${cur%"${COMP_WORDS[COMP_CWORD]}"}
  for word in ${words[@]+"${words[@]}"}; do
    if [[ $flag == pending ]]; then
      flag=''
    elif [[ -z $command || -n $(_cgx_below "$command") ]]; then
      [[ $word == -* ]] || command+=${command:+ }$word
    elif [[ $word == -- ]]; then
      flag=after
      break
    elif [[ $word == --*=* ]]; then
      continue
    elif [[ $word == -* ]]; then
      [[ -z $(_cgx_value "$command" "$word") ]] || flag=pending
    else
      ((++count))
      if [[ $_cgx_stop == *"/$command/"* ]]; then
        flag=after
        break
      fi
    fi
  done
  if [[ -z $command ]]; then
    _cgx_fill @commands --help --version
  elif [[ -n $(_cgx_below "$command") ]]; then
    _cgx_fill $(_cgx_below "$command") --help
  elif [[ $flag == pending ]]; then
    _cgx_fill $(_cgx_value "$command" "${words[-1]}")
  elif [[ $flag == after ]]; then
    _cgx_fill $(_cgx_word "$command" 2)
  elif [[ $cur == --*=* ]]; then
    before=${cur%%=*}=
    cur=${cur#*=}
    _cgx_fill $(_cgx_value "$command" "${before%=}")
  elif [[ $cur == -* ]]; then
    _cgx_fill $(_cgx_flags "$command")
  else
    _cgx_fill $(_cgx_word "$command" $((count + 1)))
  fi
  for i in ${COMPREPLY[@]+"${!COMPREPLY[@]}"}; do
    word=$before${COMPREPLY[i]}
    COMPREPLY[i]=${word#"$begun"}
  done
}
complete -F _cgx cgx
)sh";

}  // namespace

std::string bash_script() {
  std::vector<std::string> signals;
  for (const std::string_view name : signal_names()) signals.emplace_back(name);
  std::string out(head);
  std::string stop = "/";  // commands whose flags end at their first word
  for (const Command& c : commands())
    if (has(c.takes, Takes::stops_at_word)) stop += fmt::format("{}/", c.name);
  out += fmt::format("_cgx_commands={}\n_cgx_stop={}\n_cgx_signals={}\n_cgx_controllers={}\n_cgx_knobs={}\n",
                     quoted(joined(names_of(first_words()))),
                     quoted(stop),
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
        std::string forms = pattern(fmt::format("{}:--{}", name, f.name));
        if (f.letter != 0) forms += '|' + pattern(fmt::format("{}:-{}", name, f.letter));
        values += fmt::format("    {}) echo {} ;;\n", forms, quoted(fill_text(f.value)));
      }
    }
    flags.back() = '\'';
    flags += " ;;\n";
    const Positions p = positions_of(c);
    for (const std::string_view name : {c.name, c.alias})
      if (!name.empty())
        words += fmt::format("    {0}:1) echo {1} ;;\n    {0}:*) echo {2} ;;\n",
                             pattern(name),
                             quoted(fill_text(p.first)),
                             quoted(fill_text(p.rest)));
  }
  std::string below = "_cgx_below() {  # WORD: what it is followed by\n  case $1 in\n";
  for (const std::string_view name : names_with_second)
    below += fmt::format("    {}) echo {} ;;\n", name, quoted(joined(names_of(second_words(name)))));
  return out + below + "  esac\n}\n" + flags + "  esac\n}\n" + values + "  esac\n}\n" + words + "  esac\n}\n" +
         std::string(tail);
}

}  // namespace cgx::tool
