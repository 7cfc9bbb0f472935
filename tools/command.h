// SPDX-License-Identifier: Apache-2.0
// One row per command of cgx: name, words, options, help, function. Parsing, help, completion and the man pages are
// made from the rows in commands.cc; a command's function sees only what was parsed.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgx/cgroupfs/hierarchy.h"
#include "cgx/model/knob.h"
#include "cgx/sys/result.h"

namespace cgx::tool {

struct Option {
  std::string_view name;      // without dashes
  char letter = 0;            // 0: none
  std::string_view argument;  // placeholder; empty: takes none
  std::string_view doc;
  bool repeatable = false;
  std::string_view aliases = {};  // further names, with spaces between; neither help nor completion shows them
  bool starts_on = false;         // a switch that is on without being given: =false is the word to say
};

// A flag that users of other tools type, and that is refused in its own words.
struct RefusedFlag {
  std::string_view names;  // without dashes, with spaces between
  std::string_view what;   // completes "--NAME: "
  std::string_view hint;   // what to type instead
};

// What a command takes, besides its own options.
enum class Takes : std::uint8_t {
  nothing = 0,
  json = 1,            // --json
  dry_run = 2,         // --dry-run
  limits = 4,          // the flags of the knobs, --set and --force
  program = 8,         // `-- CMD...`, or options end at the second word
  stops_at_word = 16,  // options end at the last of its words; what follows is the program
};
constexpr unsigned operator|(Takes a, Takes b) { return static_cast<unsigned>(a) | static_cast<unsigned>(b); }
constexpr unsigned operator|(unsigned a, Takes b) { return a | static_cast<unsigned>(b); }
constexpr bool has(unsigned takes, Takes t) { return (takes & static_cast<unsigned>(t)) != 0; }

// One limit flag as it was given. `knob` nullptr: --set FILE=VALUE, as it is.
struct LimitFlag {
  const Knob* knob = nullptr;
  std::string file;
  std::string text;
};

// A flag with its value, as the rows have them and as they were typed: `-m 64x` is --memory, which means --mem.
struct Typed {
  std::string flag, value;  // the name, without dashes
  std::string typed_flag, typed_value;
};

struct Command;

// A command line after parsing.
struct Call {
  const Command* command = nullptr;
  std::vector<std::string> words;  // NAME..., PID..., KNOB...
  // In order. Flags without argument have an empty text; "false" where a switch that starts on was turned off.
  std::vector<std::pair<std::string, std::string>> options;
  std::vector<LimitFlag> limits;
  std::vector<Typed> typed;            // all flags with a value, in order
  std::vector<std::string> program;    // after `--`
  std::vector<std::string> arguments;  // all of it, as it was given
  bool has_program = false;            // `--` was there
  bool json = false;
  bool dry_run = false;

  [[nodiscard]] bool on(std::string_view option) const;
  // The last one given, or `otherwise`.
  [[nodiscard]] std::string_view get(std::string_view option, std::string_view otherwise = {}) const;
  [[nodiscard]] std::vector<std::string_view> all(std::string_view option) const;
};

using Run = Result<int> (*)(const Call& call);

struct Command {
  std::string_view name;
  std::string_view words;    // synopsis: "NAME... [limits]"
  std::string_view doc;      // one line, no full stop
  std::string_view details;  // paragraphs of the help and the man page
  std::string_view example;  // lines, `cgx ...` each with a `# comment` above where it helps
  std::span<const Option> options;
  std::span<const RefusedFlag> refused = {};
  unsigned takes = 0;
  std::size_t least = 0;  // words
  std::size_t most = 0;   // words; any_number for NAME...
  Run run = nullptr;
  std::string_view alias;
};
inline constexpr std::size_t any_number = static_cast<std::size_t>(-1);

[[nodiscard]] std::span<const Command> commands();
[[nodiscard]] const Command* find_command(std::string_view name);
// The command that the first word, or the first two, name; `words` is how many. nullptr and 0: none.
struct Found {
  const Command* command = nullptr;
  std::size_t words = 0;
};
[[nodiscard]] Found find_command(std::span<const std::string_view> arguments);
// The commands whose first word `name` is, as `container`.
[[nodiscard]] std::vector<const Command*> commands_below(std::string_view name);
inline constexpr std::string_view below_doc = "look at containers and change them";  // what `container` is, in one line
// What to say of a name that find_command() does not find: that it is planned, or which one is near.
[[nodiscard]] Error no_command(std::string_view name);
// Options that every command with the matching Takes has, for help and completion.
[[nodiscard]] std::vector<Option> common_options(const Command& command);
// Whether the command takes the flag of this knob, and none of its own options stands in its place (run --device).
[[nodiscard]] bool takes_limit(const Command& command, const Knob& knob);

[[nodiscard]] Result<Call> parse_call(const Command& command, std::span<const std::string_view> arguments);
// The error with the flag that it names in its user's words.
[[nodiscard]] Error as_typed(Error error, const Call& call);
template <class T>
[[nodiscard]] Result<T> as_typed(Result<T> result, const Call& call) {
  if (!result) result.error() = as_typed(std::move(result.error()), call);
  return result;
}

// --help of one command, and of cgx.
[[nodiscard]] std::string help_text(const Command& command);
[[nodiscard]] std::string help_text();
// Of a name that several commands begin with.
[[nodiscard]] std::string help_text(std::string_view name, const std::vector<const Command*>& below);

// Writes to stdout at once. Where it cannot, ends the program with status 1, and says why but for EPIPE (`| head`).
void print(std::string_view text);
// What --dry-run shows, a line a step: as it is, or with --json as {"steps": [LINE, ...]}.
void print_steps(const Call& call, std::string_view lines);
// Whether stdout is a terminal where colour is welcome (NO_COLOR, TERM=dumb).
[[nodiscard]] bool colour();
// One line (and a hint) on stderr, or a JSON object; answers the exit status: 2 for usage, 1 else.
int report(const Error& error, std::string_view command, bool json);
// Of a command that executes another one, as shells have it: 127 where that was not found, 126 where it cannot be
// executed, 125 for what failed before.
[[nodiscard]] int exec_status(const Error& error);

// The functions of the rows, a file a command or a few close ones.
Result<int> run_create(const Call&);
Result<int> run_set(const Call&);
// Of groups whose names are counted from others than the roots (Hierarchies::nested()).
[[nodiscard]] Result<int> run_set_in(const Hierarchies& hierarchies, const Call& call);
Result<int> run_get(const Call&);
Result<int> run_delete(const Call&);
Result<int> run_exec(const Call&);
Result<int> run_move(const Call&);
Result<int> run_ls(const Call&);
Result<int> run_tree(const Call&);
Result<int> run_procs(const Call&);
Result<int> run_freeze(const Call&);
Result<int> run_thaw(const Call&);
Result<int> run_kill(const Call&);
Result<int> run_stat(const Call&);
Result<int> run_top(const Call&);
Result<int> run_events(const Call&);
Result<int> run_controllers(const Call&);
Result<int> run_mount(const Call&);
Result<int> run_umount(const Call&);
Result<int> run_explain(const Call&);
Result<int> run_check(const Call&);
Result<int> run_plan(const Call&);
Result<int> run_apply(const Call&);
Result<int> run_snapshot(const Call&);
Result<int> run_import(const Call&);
Result<int> run_doctor(const Call&);
Result<int> run_daemon(const Call&);
Result<int> run_run(const Call&);
Result<int> run_container(const Call&);
Result<int> run_gc(const Call&);
Result<int> run_completion(const Call&);
Result<int> run_help(const Call&);

}  // namespace cgx::tool
