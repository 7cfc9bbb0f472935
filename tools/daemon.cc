// SPDX-License-Identifier: Apache-2.0
// cgx daemon: checks its words and becomes cgx-bus, which has the library for D-Bus in it.
#include <array>

#include <fmt/format.h>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/sys/program.h"
#include "cgx/sys/text.h"

#include "command.h"

namespace cgx::tool {
namespace {

enum class Word : std::uint8_t { none, group, file };

struct Subcommand {
  std::string_view name;
  Word word = Word::none;
};

constexpr std::array subcommands{Subcommand{"status"},
                                 Subcommand{"reload"},
                                 Subcommand{"groups"},
                                 Subcommand{"get", Word::group},
                                 Subcommand{"history"},
                                 Subcommand{"explain", Word::group},
                                 Subcommand{"apply", Word::file},
                                 Subcommand{"plan", Word::file},
                                 Subcommand{"watch"}};

Result<Subcommand> find(std::string_view name) {
  std::vector<std::string_view> known;
  for (const Subcommand& s : subcommands) {
    if (s.name == name) return s;
    known.push_back(s.name);
  }
  auto error = bad_value(name, "is nothing that cgxd can be asked");
  const std::string_view close = sys::nearest(name, known);
  error.error().hint =
      close.empty() ? fmt::format("{}", fmt::join(known, ", ")) : fmt::format("did you mean {}?", close);
  return error;
}

Result<std::string> word_of(const Call& call, const Subcommand& sub) {
  if (sub.word == Word::none) {
    if (call.words.size() > 1) return bad_value(call.words[1], "is one word too many");
    return std::string();
  }
  if (call.words.size() < 2)
    return bad_value({}, fmt::format("needs {}", sub.word == Word::group ? "the NAME of a group" : "a FILE"));
  if (sub.word == Word::file) return call.words[1];
  return std::string(shown(CGX_TRY(parse_group_name(call.words[1]))));
}

}  // namespace

Result<int> run_daemon(const Call& call) {
  const Subcommand sub = CGX_TRY(find(call.words[0]));
  const std::string word = CGX_TRY(word_of(call, sub));
  if (call.on("number") && sub.name != "history")
    return located(Result<int>(bad_value({}, "is for history alone")), "", "--number");
  const auto count = CGX_TRY(located(sys::parse_u64(call.get("number", "20"), 1, 1000), "", "--number"));
  const std::string bus(call.get("bus", "system"));
  return sys::become_helper(
      "cgx-bus", {std::string(sub.name), std::string(bus), call.json ? "json" : "text", std::to_string(count), word});
}

}  // namespace cgx::tool
