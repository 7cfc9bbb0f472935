// SPDX-License-Identifier: Apache-2.0
// From words to a Call, by the rows alone.
#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include <fmt/format.h>

#include "cgx/sys/text.h"

#include "bad_flag.h"
#include "command.h"

namespace cgx::tool {
namespace {

constexpr Option json_option{"json", 0, "", "print JSON"};
constexpr Option dry_run_option{"dry-run", 0, "", "print each write that would be made, and make none"};
constexpr Option help_option{"help", 'h', "", "show this help"};
constexpr Option set_option{"set", 0, "FILE=VALUE", "write VALUE to this kernel file as it is", true};
constexpr Option force_option{
    "force",
    0,
    "",
    "lower a memory limit below what is in use, though the kernel kills then; v2 alone: v1 never takes such a limit"};

std::unexpected<Error> usage(std::string_view value, std::string what, std::string hint = {}) {
  auto error = bad_value(value, std::move(what));
  error.error().hint = std::move(hint);
  return error;
}

const Knob* knob_of_flag(std::string_view flag) {
  const Knob* found = nullptr;
  for_each_knob([&](const Knob& k) {
    if (!k.flag.empty() && k.flag == flag) found = &k;
  });
  return found;
}

bool names_it(std::string_view list, std::string_view name) {
  const auto words = sys::words(list);
  return std::ranges::find(words, name) != words.end();
}

// Limits as docker names them, where only `run` and `container update` take those names; and cgset's -r FILE=VALUE.
struct OtherName {
  std::string_view given, flag;
  std::string_view whose = "docker";
};
constexpr std::array other_names{
    OtherName{"-r", "set", "cgset"},
    OtherName{"-m", "mem"},
    OtherName{"--memory", "mem"},
    OtherName{"--memory-swap", "memsw"},
    OtherName{"--memory-reservation", "mem-soft"},
    OtherName{"--memory-swappiness", "swappiness"},
    OtherName{"--cpuset-cpus", "cpus"},
    OtherName{"--cpuset-mems", "mems"},
    OtherName{"--pids-limit", "pids"},
    OtherName{"--blkio-weight", "io-weight"},
};

std::unexpected<Error> unknown(const Command& command, std::string_view given, const std::vector<Option>& options) {
  const std::string_view bare = given.substr(0, given.find('='));
  for (const RefusedFlag& r : command.refused)
    if (bare.starts_with("--") && names_it(r.names, bare.substr(2))) {
      Error e = usage(bare, std::string(r.what), std::string(r.hint)).error();
      e.code = ENOTSUP;
      return std::unexpected(std::move(e));
    }
  if (has(command.takes, Takes::limits)) {
    const auto other = std::ranges::find(other_names, bare, &OtherName::given);
    if (other != other_names.end())
      return usage(given,
                   fmt::format("is not a flag of cgx {}", command.name),
                   fmt::format("{}'s name of --{}", other->whose, other->flag));
  }
  std::vector<std::string_view> known;
  for (const Option& o : options) known.push_back(o.name);
  if (has(command.takes, Takes::limits))
    for_each_knob([&](const Knob& k) {
      if (!k.flag.empty()) known.push_back(k.flag);
    });
  const std::string_view name = given.substr(given.find_first_not_of('-'));
  const std::string_view close = sys::nearest(name.substr(0, name.find('=')), known);
  std::string hint = close.empty() ? fmt::format("cgx {} --help lists the flags", command.name)
                                   : fmt::format("did you mean --{}?", close);
  return usage(given, fmt::format("is not a flag of cgx {}", command.name), std::move(hint));
}

// `memory.max=32M`, or `mem=32M`: the flag that it lacks. nullopt: it is no limit.
std::optional<std::string> flag_for(std::string_view word) {
  const std::size_t eq = word.find('=');
  if (eq == std::string_view::npos || eq == 0) return {};
  const std::string_view name = word.substr(0, eq);
  const std::string_view value = word.substr(eq + 1);
  const Knob* knob = find_knob(name);
  if (knob == nullptr) return {};
  const std::string_view quote = word.find(' ') == std::string_view::npos ? "" : "'";
  const std::string as_it_is = fmt::format("--set {0}{1}{0}", quote, word);
  if (knob->flag.empty()) return as_it_is;
  // Other formats have another form on the command line than in the file.
  constexpr std::array alike{Format::size, Format::count, Format::number, Format::list, Format::flag};
  const bool same = std::ranges::find(alike, knob->format) != alike.end() && !value.empty() && value[0] != '-';
  const std::string flag = fmt::format("--{}{}{}",
                                       knob->flag,
                                       knob->format == Format::flag ? '=' : ' ',
                                       same || name == knob->flag     ? value
                                       : knob->format == Format::word ? knob->words
                                                                      : placeholder(knob->format));
  return name == knob->flag ? flag : fmt::format("{}, or {} to write it as it is", flag, as_it_is);
}

class Parser {
 public:
  Parser(const Command& command, std::span<const std::string_view> arguments)
      : command_(command), rest_(arguments), options_(common_options(command)) {
    call_.command = &command;
    for (const std::string_view word : arguments) call_.arguments.emplace_back(word);
  }

  Result<Call> run() {
    while (!rest_.empty()) {
      const std::string_view word = rest_.front();
      if (word == "--") {
        CGX_CHECK(after_dashes());
        break;
      }
      if (word.size() > 1 && word.starts_with('-') && !is_number(word)) {
        rest_ = rest_.subspan(1);
        CGX_CHECK(word.starts_with("--") ? long_option(word) : letters(word));
        continue;
      }
      if (has(command_.takes, Takes::program) && call_.words.size() == command_.most) {
        take_program();
        break;
      }
      call_.words.emplace_back(word);
      rest_ = rest_.subspan(1);
      if (has(command_.takes, Takes::stops_at_word) && call_.words.size() == command_.most) {
        take_program();
        break;
      }
    }
    return finish();
  }

 private:
  void take_program() {
    for (const std::string_view w : rest_) call_.program.emplace_back(w);
    call_.has_program = true;
    rest_ = {};
  }

  static bool is_number(std::string_view word) { return word[1] >= '0' && word[1] <= '9'; }

  Result<> after_dashes() {
    rest_ = rest_.subspan(1);
    if (has(command_.takes, Takes::stops_at_word)) {
      for (; !rest_.empty() && call_.words.size() < command_.most; rest_ = rest_.subspan(1))
        call_.words.emplace_back(rest_.front());
      take_program();
    } else if (has(command_.takes, Takes::program)) {
      take_program();
    } else {
      for (const std::string_view w : rest_) call_.words.emplace_back(w);
    }
    rest_ = {};
    return {};
  }

  Result<std::string> argument(std::string_view flag,
                               std::optional<std::string_view> attached,
                               std::string_view placeholder) {
    if (attached) return std::string(*attached);
    // No value is two dashes: `cgx exec --mem -- make` lacks a size.
    if (rest_.empty() || rest_.front() == "--")
      return usage(flag,
                   fmt::format("needs {}", placeholder),
                   flag == "-h" ? fmt::format("cgx {} --help shows the help", command_.name) : std::string());
    std::string text(rest_.front());
    rest_ = rest_.subspan(1);
    return text;
  }

  Result<> take(const Option& option, std::string_view flag, std::optional<std::string_view> attached) {
    if (option.argument.empty()) {
      const std::optional<bool> on = attached ? parse_switch(*attached) : true;
      if (!on) return usage(flag, fmt::format("takes true or false, and not \"{}\"", *attached));
      if (option.name == "json") call_.json = *on;
      if (option.name == "dry-run") call_.dry_run = *on;
      std::erase_if(call_.options, [&](const auto& given) { return given.first == option.name; });
      if (*on != option.starts_on) call_.options.emplace_back(option.name, *on ? "" : "false");
      return {};
    }
    std::string text = CGX_TRY(argument(flag, attached, option.argument));
    if (option.name == "set" && has(command_.takes, Takes::limits)) {
      const auto pair = sys::parse_pair(text);
      const std::size_t eq = text.find('=');
      // An empty value is a value: it clears a cpuset.
      if (!pair && (eq == std::string::npos || eq == 0))
        return located(Result<>(bad_value(text, "is not FILE=VALUE")), "", flag);
      call_.limits.push_back({nullptr, text.substr(0, eq), text.substr(eq + 1)});
      return {};
    }
    call_.typed.push_back({std::string(option.name), text, std::string(flag), text});
    call_.options.emplace_back(option.name, std::move(text));
    return {};
  }

  Result<> long_option(std::string_view word) {
    const std::size_t eq = word.find('=');
    const std::string_view name = word.substr(2, eq == std::string_view::npos ? eq : eq - 2);
    std::optional<std::string_view> attached;
    if (eq != std::string_view::npos) attached = word.substr(eq + 1);
    const std::string_view flag = word.substr(0, eq);
    for (const Option& o : options_)
      if (o.name == name || names_it(o.aliases, name)) return take(o, flag, attached);
    if (has(command_.takes, Takes::limits))
      if (const Knob* knob = knob_of_flag(name)) {
        std::string text = "1";  // --cpu-idle alone means 1
        if (knob->format != Format::flag || attached)
          text = CGX_TRY(argument(flag, attached, placeholder(knob->format)));
        call_.typed.push_back({std::string(name), text, std::string(flag), text});
        call_.limits.push_back({knob, {}, std::move(text)});
        return {};
      }
    return unknown(command_, word, options_);
  }

  Result<> letters(std::string_view word) {
    for (std::size_t i = 1; i < word.size(); ++i) {
      const Option* found = nullptr;
      for (const Option& o : options_)
        if (found == nullptr && o.letter == word[i]) found = &o;
      if (found == nullptr) return unknown(command_, word, options_);
      const std::string flag{'-', word[i]};
      std::optional<std::string_view> attached;
      if (i + 1 < word.size()) attached = word.substr(i + 1);
      const bool equals = attached && attached->starts_with('=');
      if (equals) attached->remove_prefix(1);
      if (!found->argument.empty() || equals) return take(*found, flag, attached);
      CGX_CHECK(take(*found, flag, {}));
    }
    return {};
  }

  Result<Call> finish() {
    if (call_.on("help")) return std::move(call_);
    const std::string hint = fmt::format("cgx {} {}", command_.name, command_.words);
    if (has(command_.takes, Takes::limits))
      for (const std::string& word : call_.words)
        if (auto flag = flag_for(word)) return usage(word, "is a limit without its flag", std::move(*flag));
    if (call_.words.size() < command_.least)
      return usage({}, fmt::format("needs {}", command_.words.substr(0, command_.words.find(" ["))), hint);
    if (call_.words.size() > command_.most) return usage(call_.words[command_.most], "is one word too many", hint);
    return std::move(call_);
  }

  const Command& command_;
  std::span<const std::string_view> rest_;
  std::vector<Option> options_;
  Call call_;
};

}  // namespace

bool Call::on(std::string_view option) const {
  for (const auto& [name, text] : options)
    if (name == option) return true;
  return false;
}

std::string_view Call::get(std::string_view option, std::string_view otherwise) const {
  for (const auto& [name, text] : options)
    if (name == option) otherwise = text;
  return otherwise;
}

std::vector<std::string_view> Call::all(std::string_view option) const {
  std::vector<std::string_view> found;
  for (const auto& [name, text] : options)
    if (name == option) found.emplace_back(text);
  return found;
}

std::vector<Option> common_options(const Command& command) {
  std::vector<Option> list(command.options.begin(), command.options.end());
  if (has(command.takes, Takes::limits)) {
    list.push_back(set_option);
    list.push_back(force_option);
  }
  if (has(command.takes, Takes::dry_run)) list.push_back(dry_run_option);
  if (has(command.takes, Takes::json)) list.push_back(json_option);
  list.push_back(help_option);
  // -h may be a letter of the command's own.
  if (std::ranges::find(command.options, help_option.letter, &Option::letter) != command.options.end())
    list.back().letter = 0;
  return list;
}

Result<Call> parse_call(const Command& command, std::span<const std::string_view> arguments) {
  return Parser(command, arguments).run();
}

Error as_typed(Error error, const Call& call) {
  const Typed* meant = nullptr;  // the last one of that value, else the last one
  for (const Typed& t : call.typed)
    if (error.knob.starts_with("--") && error.knob.substr(2) == t.flag &&
        (t.value == error.value || meant == nullptr || meant->value != error.value))
      meant = &t;
  if (meant == nullptr) return error;
  error.knob = meant->typed_flag;
  if (error.value == meant->value) error.value = meant->typed_value;
  return error;
}

}  // namespace cgx::tool
