// SPDX-License-Identifier: Apache-2.0
// `--flag VALUE`, `--flag=VALUE`, `-flag VALUE`, `-f VALUE`, `-fVALUE`, switches also as `--flag=false`.
#include <cerrno>
#include <cstdlib>
#include <optional>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/launch.h"

#include "oci.h"
#include "tools/bad_flag.h"

namespace cgx::oci {
namespace {

constexpr Flag help_flag{"help", 'h', "", "show help"};

std::unexpected<Error> misuse(std::string what) {
  return std::unexpected(Error{.code = EINVAL, .what = std::move(what), .fault = Fault::usage});
}

class FlagParser {
 public:
  FlagParser(std::span<const std::string_view> rest, std::span<const Flag> flags) : rest_(rest), flags_(flags) {}

  // Until the first word, or (anywhere) to the end.
  Result<> run(Options& options, std::vector<std::string>& words, Flags where, std::size_t first_word) {
    while (!rest_.empty()) {
      const std::string_view word = rest_.front();
      if (word == "--") {
        rest_ = rest_.subspan(1);
        break;
      }
      if (word.size() < 2 || word[0] != '-') {
        if (where == Flags::first && words.size() == first_word) return {};
        words.emplace_back(word);
        rest_ = rest_.subspan(1);
        if (where == Flags::first && words.size() == first_word) return {};
        continue;
      }
      rest_ = rest_.subspan(1);
      CGX_CHECK(flag(options, word));
    }
    return {};
  }
  [[nodiscard]] std::span<const std::string_view> rest() const { return rest_; }

 private:
  const Flag* by_name(std::string_view name) const {
    for (const Flag& f : flags_)
      if (f.name == name) return &f;
    return name == help_flag.name ? &help_flag : nullptr;
  }
  const Flag* by_letter(char letter) const {
    for (const Flag& f : flags_)
      if (f.letter == letter) return &f;
    return letter == 'h' || letter == '?' ? &help_flag : nullptr;
  }

  Result<> take(Options& options, const Flag& f, std::optional<std::string_view> attached) {
    if (f.argument.empty()) {
      const auto on = attached ? tool::parse_switch(*attached) : true;
      if (!on) return misuse(fmt::format("invalid boolean value \"{}\" for -{}: parse error", *attached, f.name));
      options.emplace_back(f.name, *on ? "true" : "false");
      return {};
    }
    if (!attached) {
      if (rest_.empty()) return misuse(fmt::format("flag needs an argument: -{}", f.name));
      attached = rest_.front();
      rest_ = rest_.subspan(1);
    }
    options.emplace_back(f.name, *attached);
    return {};
  }

  Result<> flag(Options& options, std::string_view word) {
    const bool two = word.starts_with("--");
    const std::string_view body = word.substr(two ? 2 : 1);
    const std::size_t eq = body.find('=');
    const std::string_view name = body.substr(0, eq);
    std::optional<std::string_view> attached;
    if (eq != std::string_view::npos) attached = body.substr(eq + 1);
    if (const Flag* f = by_name(name)) return take(options, *f, attached);
    if (!two) {
      if (name.size() == 1)
        if (const Flag* f = by_letter(name[0])) return take(options, *f, attached);
      bool known = true;
      for (std::size_t i = 0; known && i < body.size(); ++i) {
        const Flag* f = by_letter(body[i]);
        known = f != nullptr;
        if (known && !f->argument.empty()) break;
      }
      if (known && !body.empty()) return letters(options, body);
    }
    return misuse(fmt::format("flag provided but not defined: -{}", name));
  }

  Result<> letters(Options& options, std::string_view body) {
    for (std::size_t i = 0; i < body.size(); ++i) {
      const Flag& f = *by_letter(body[i]);
      if (f.argument.empty()) {
        CGX_CHECK(take(options, f, {}));
        continue;
      }
      const std::string_view value = body.substr(i + 1);
      return take(options, f, value.empty() ? std::nullopt : std::optional(value));
    }
    return {};
  }

  std::span<const std::string_view> rest_;
  std::span<const Flag> flags_;
};

const std::string* last_of(const Options& options, std::string_view flag) {
  const std::string* found = nullptr;
  for (const auto& [name, text] : options)
    if (name == flag) found = &text;
  return found;
}

Result<> parse_command(Invocation& call, std::span<const std::string_view> rest) {
  const std::string_view name = rest.front();
  for (const Command& c : commands())
    if (c.name == name) call.command = &c;
  if (call.command == nullptr) return misuse(fmt::format("No help topic for '{}'", name));
  const Command& c = *call.command;
  if (c.fn == &run_unsupported) return {};  // whatever flags other runtimes have for it
  FlagParser parser(rest.subspan(1), c.flags);
  CGX_CHECK(parser.run(call.options, call.words, c.where, 1));
  for (const std::string_view word : parser.rest()) call.words.emplace_back(word);
  // `exec ID -- CMD` is `exec ID CMD`.
  if (c.where == Flags::first && call.words.size() > 1 && call.words[1] == "--")
    call.words.erase(call.words.begin() + 1);
  call.help = call.help || call.on("help");
  if (call.help) return {};
  if (call.words.size() < c.least)
    return misuse(fmt::format("{}: \"{}\" requires {} {} argument(s)",
                              call.program,
                              c.name,
                              c.least == c.most ? "exactly" : "a minimum of",
                              c.least));
  if (call.words.size() > c.most)
    return misuse(fmt::format("{}: \"{}\" requires {} {} argument(s)",
                              call.program,
                              c.name,
                              c.least == c.most ? "exactly" : "a maximum of",
                              c.most));
  return {};
}

}  // namespace

bool Invocation::has(std::string_view flag) const { return last_of(options, flag) != nullptr; }
bool Invocation::on(std::string_view flag) const {
  const std::string* text = last_of(options, flag);
  return text != nullptr && *text == "true";
}
std::string_view Invocation::get(std::string_view flag, std::string_view otherwise) const {
  const std::string* text = last_of(options, flag);
  return text != nullptr ? std::string_view(*text) : otherwise;
}
std::vector<std::string> Invocation::all(std::string_view flag) const {
  std::vector<std::string> found;
  for (const auto& [name, text] : options)
    if (name == flag) found.push_back(text);
  return found;
}
std::string_view Invocation::global(std::string_view flag, std::string_view otherwise) const {
  const std::string* text = last_of(globals, flag);
  return text != nullptr ? std::string_view(*text) : otherwise;
}
bool Invocation::global_on(std::string_view flag) const {
  const std::string* text = last_of(globals, flag);
  return text != nullptr && *text == "true";
}

bool without_rights() { return geteuid() != 0 || container::in_user_namespace(); }

std::string Invocation::root() const {
  std::string path(global("root"));
  if (path.empty()) {
    const char* runtime = std::getenv("XDG_RUNTIME_DIR");  // read once a command
    path =
        without_rights() && runtime != nullptr && *runtime == '/' ? fmt::format("{}/cgx-oci", runtime) : "/run/cgx-oci";
  }
  if (path.starts_with('/')) return path;
  char* here = get_current_dir_name();
  std::string absolute = here != nullptr ? fmt::format("{}/{}", here, path) : path;
  std::free(here);
  return absolute;
}

Parsed parse(std::span<const std::string_view> arguments, std::string_view program) {
  Parsed parsed;
  Invocation& call = parsed.invocation;
  call.program = program.substr(program.rfind('/') + 1);
  FlagParser parser(arguments, global_flags());
  std::vector<std::string> none;
  parsed.outcome = parser.run(call.globals, none, Flags::first, 0);
  call.help = call.global_on("help");
  if (!parsed.outcome || parser.rest().empty()) {
    call.help = call.help || (parsed.outcome && !call.global_on("version"));
    return parsed;
  }
  parsed.outcome = parse_command(call, parser.rest());
  parsed.unknown_command = call.command == nullptr;
  return parsed;
}

std::string help_text(const Invocation& call) {
  const auto flag_lines = [](std::span<const Flag> flags) {
    std::string text;
    for (const Flag& f : flags) {
      std::string left = fmt::format("--{}{}{}", f.name, f.argument.empty() ? "" : " ", f.argument);
      if (f.letter != 0) left += fmt::format(", -{}{}{}", f.letter, f.argument.empty() ? "" : " ", f.argument);
      text += fmt::format("   {:<36}  {}\n", left, f.doc);
    }
    return text;
  };
  std::string text = "NAME:\n";
  if (call.command == nullptr) {
    text += fmt::format(
        "   {} - Open Container Initiative runtime of cgx\n\nUSAGE:\n   {} [global options] command "
        "[command options] [arguments...]\n\nVERSION:\n   {}\nspec: 1.3.0\n\nCOMMANDS:\n",
        call.program,
        call.program,
        CGX_VERSION);
    for (const Command& c : commands()) text += fmt::format("   {:<11} {}\n", c.name, c.doc);
    return text + "\nGLOBAL OPTIONS:\n" + flag_lines(global_flags());
  }
  const Command& c = *call.command;
  text += fmt::format("   {0} {1} - {2}\n\nUSAGE:\n   {0} {1}{3} {4}\n",
                      call.program,
                      c.name,
                      c.doc,
                      c.flags.empty() ? "" : " [command options]",
                      c.words);
  if (!c.flags.empty()) text += "\nOPTIONS:\n" + flag_lines(c.flags);
  return text;
}

}  // namespace cgx::oci
