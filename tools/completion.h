// SPDX-License-Identifier: Apache-2.0
// What can follow a word of a command line, found from the rows; a file a shell writes it down as that shell's script.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "command.h"

namespace cgx::tool {

enum class Fill : std::uint8_t {
  nothing,  // nothing to suggest: numbers, sizes, times
  groups,
  pids,
  groups_pids,  // a group or a process
  knobs,
  controllers,  // a list of them, commas between
  signals,
  users,
  files,
  directories,
  commands,     // of cgx
  subcommands,  // those of the word before, as `container`
  containers,   // that run
  all_containers,
  images,  // dir: and oci: with a directory
  programs,
  words,  // these: Suggest::words
};

struct Suggest {
  Fill fill = Fill::nothing;
  std::vector<std::string> words;
};

struct Flag {
  std::string name;  // without dashes
  char letter = 0;
  std::string argument;  // the placeholder; empty: takes none
  std::string doc;
  bool repeatable = false;
  Suggest value;
};

// The words that an option takes as its value; empty: it takes other values.
[[nodiscard]] std::vector<std::string> words_for(const Option& option);

// The flags of a command, those of the limits with them.
[[nodiscard]] std::vector<Flag> flags_of(const Command& command);

// What the words of a command are, from its synopsis: `first`, then `rest` for the second and all that follow. After
// `--`, of a command that takes a program, programs.
struct Positions {
  Suggest first;
  Suggest rest;
  std::string first_label;
  std::string rest_label;
};
[[nodiscard]] Positions positions_of(const Command& command);

// What `cgx` is followed by, aliases too, and what a name is followed by that several commands begin with.
struct Word {
  std::string name;
  std::string doc;
};
[[nodiscard]] std::vector<Word> first_words();
[[nodiscard]] std::vector<Word> second_words(std::string_view first);
[[nodiscard]] std::vector<std::string> names_of(const std::vector<Word>& words);
// The names that have second words.
inline constexpr std::string_view names_with_second[] = {"container"};

// Names of rows and flags for `get`.
[[nodiscard]] std::vector<std::string> knob_names();
[[nodiscard]] std::vector<std::string> controller_names();

[[nodiscard]] std::string bash_script();
[[nodiscard]] std::string zsh_script();
[[nodiscard]] std::string fish_script();

// `text` as one word in single quotes.
[[nodiscard]] std::string quoted(std::string_view text);
[[nodiscard]] std::string joined(const std::vector<std::string>& words, std::string_view separator = " ");

}  // namespace cgx::tool
