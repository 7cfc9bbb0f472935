// SPDX-License-Identifier: Apache-2.0
// Help texts, made from the rows of commands and knobs.
#include <algorithm>

#include <fmt/format.h>

#include "cgx/sys/text.h"

#include "command.h"

namespace cgx::tool {
namespace {

// Breaks `text` into lines of at most `width`, each after the first indented by `indent`.
std::string folded(std::string_view text, std::size_t indent, std::size_t width = 100) {
  std::string out;
  std::size_t column = indent;
  for (const std::string_view word : sys::words(text)) {
    if (column > indent && column + 1 + word.size() > width) {
      out += '\n' + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  return out;
}

std::string line(std::string_view flag, std::string_view doc) {
  constexpr std::size_t column = 34;
  if (flag.size() + 3 > column) return fmt::format("  {}\n{}{}\n", flag, std::string(column, ' '), folded(doc, column));
  return fmt::format("  {:<{}}{}\n", flag, column - 2, folded(doc, column));
}

std::string option_line(const Option& o) {
  std::string flag = o.letter != 0 ? fmt::format("-{}, --{}", o.letter, o.name) : fmt::format("--{}", o.name);
  if (!o.argument.empty()) flag += fmt::format(" {}", o.argument);
  return line(flag, o.doc);
}

std::string knob_line(const Knob& k) {
  std::string flag = fmt::format("--{}", k.flag);
  if (k.format == Format::word)
    flag += fmt::format(" {}", k.words);
  else if (k.format != Format::flag)
    flag += fmt::format(" {}", placeholder(k.format));
  std::string doc(k.doc);
  if (!k.v1.present()) doc += " (v2 only)";
  if (!k.v2.present()) doc += " (v1 only)";
  return line(flag, doc);
}

}  // namespace

std::string help_text(const Command& command) {
  std::string out = fmt::format("cgx {}: {}\n\nUsage: cgx {} {}\n\n{}\n\nFlags:\n",
                                command.name,
                                command.doc,
                                command.name,
                                command.words,
                                folded(command.details, 0));
  for (const Option& o : common_options(command)) out += option_line(o);
  if (has(command.takes, Takes::limits)) {
    out += "\nLimits:\n";
    for_each_knob([&](const Knob& k) {
      if (takes_limit(command, k)) out += knob_line(k);
    });
    out +=
        "\nSIZE: 512M, 2G, max. LIST: 0-3,8. QUOTA: 150%, 1.5, 150000/100000, max. TIME: 500ms, 10s.\n"
        "RATE: 10mbit. DEV: a node, MAJ:MIN, or a path on a mounted file system.\n";
  }
  out += "\nExample:\n";
  for (const std::string_view example : sys::lines(command.example)) out += fmt::format("  {}\n", example);
  return out;
}

std::string help_text() {
  std::string out =
      "cgx: limit, watch and control groups of processes (cgroups v1, hybrid and v2)\n\nUsage: cgx COMMAND "
      "[ARGS]\n\nCommands:\n";
  bool below = false;
  for (const Command& c : commands()) {
    const std::size_t space = c.name.find(' ');
    if (space == std::string_view::npos) {
      out += fmt::format("  {:<13}{}\n", c.name, c.doc);
    } else if (!below) {
      out += fmt::format("  {:<13}{}; cgx {} lists how\n", c.name.substr(0, space), below_doc, c.name.substr(0, space));
      below = true;
    }
  }
  return out + "\ncgx help COMMAND shows the flags and an example. cgx --version shows the version.\n";
}

std::string help_text(std::string_view name, const std::vector<const Command*>& below) {
  std::string out = fmt::format("Usage: cgx {} COMMAND [ARGS]\n\nCommands:\n", name);
  for (const Command* c : below) out += fmt::format("  {:<13}{}\n", c->name.substr(name.size() + 1), c->doc);
  return out + fmt::format("\ncgx {} COMMAND --help shows the flags and an example.\n", name);
}

Result<int> run_help(const Call& call) {
  if (call.words.empty()) {
    print(help_text());
    return 0;
  }
  const std::vector<std::string_view> words(call.words.begin(), call.words.end());
  const auto [command, used] = find_command(words);
  if (command != nullptr && used < words.size()) return bad_value(words[used], "is one word too many");
  if (command == nullptr) {
    if (const auto below = commands_below(words[0]); !below.empty() && words.size() == 1) {
      print(help_text(words[0], below));
      return 0;
    }
    return std::unexpected(no_command(call.words[0]));
  }
  print(help_text(*command));
  return 0;
}

}  // namespace cgx::tool
