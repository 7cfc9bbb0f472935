// SPDX-License-Identifier: Apache-2.0
// cgx-oci: the command line of an OCI runtime over lib/cgx/container. A command is a row of a table and a function; the
// flags are those of runc, and what crun has beside them.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgx/container/spec.h"
#include "cgx/sys/result.h"

namespace cgx::oci {

struct Flag {
  std::string_view name;
  char letter = 0;
  std::string_view argument;  // empty: a switch
  std::string_view doc;
};

struct Invocation;
using Fn = Result<int> (*)(const Invocation&);

// Where flags end: at the first word (what follows belongs to a program), or nowhere.
enum class Flags : std::uint8_t { anywhere, first };

struct Command {
  std::string_view name, words, doc;
  std::size_t least = 0, most = 0;
  std::span<const Flag> flags;
  Fn fn = nullptr;
  Flags where = Flags::anywhere;
  int failure = 1;          // exit status of an error
  bool protects = false;    // starts programs of containers: is to be safe from being written to by them
  std::string_view prefix;  // of its errors
};
[[nodiscard]] std::span<const Command> commands();
[[nodiscard]] std::span<const Flag> global_flags();

// Messages: a line each, as text or JSON in the shapes that clients parse. Where there is a log file, errors go to
// standard error too.
class Log {
 public:
  [[nodiscard]] Result<> open(std::string_view file, std::string_view format, std::string_view level, bool debug);
  void error(std::string_view message) const { line(2, "error", message); }
  void warning(std::string_view message) const { line(3, "warning", message); }
  void debug(std::string_view message) const { line(5, "debug", message); }
  // Whether that is written anywhere.
  [[nodiscard]] bool debugs() const { return most_ >= 5 && !take_; }
  // Instead of all that: `take` gets what is at least a warning.
  void redirect(std::function<void(std::string_view message)> take) { take_ = std::move(take); }

 private:
  void line(int level, std::string_view word, std::string_view message) const;
  int fd_ = 2;
  bool json_ = false;
  int most_ = 4;
  std::function<void(std::string_view)> take_;
};

using Options = std::vector<std::pair<std::string_view, std::string>>;

struct Invocation {
  const Command* command = nullptr;
  std::string program;  // as it was called, for messages
  Options globals, options;
  std::vector<std::string> words;
  const Log* log = nullptr;
  bool help = false;
  std::vector<container::Rlimit> limits_before;  // of a caller that has raised its own

  [[nodiscard]] bool on(std::string_view flag) const;
  [[nodiscard]] bool has(std::string_view flag) const;
  [[nodiscard]] std::string_view get(std::string_view flag, std::string_view otherwise = {}) const;
  [[nodiscard]] std::vector<std::string> all(std::string_view flag) const;
  [[nodiscard]] std::string_view global(std::string_view flag, std::string_view otherwise = {}) const;
  [[nodiscard]] bool global_on(std::string_view flag) const;
  [[nodiscard]] std::string root() const;
};

// Answers what could be read in any case, so that an error can be told where --log says.
struct Parsed {
  Invocation invocation;
  Result<> outcome;
  bool unknown_command = false;  // why outcome is an error
};
[[nodiscard]] Parsed parse(std::span<const std::string_view> arguments, std::string_view program);
[[nodiscard]] std::string help_text(const Invocation& invocation);

// A plain user, and who is root of a user namespace alone.
[[nodiscard]] bool without_rights();

// Standard output, whole, or the end of this process.
void print(std::string_view text);
// JSON as JsonWriter writes it, in lines that people can read.
[[nodiscard]] std::string pretty_json(std::string_view json);

Result<int> run_create(const Invocation&);
Result<int> run_start(const Invocation&);
Result<int> run_state(const Invocation&);
Result<int> run_kill(const Invocation&);
Result<int> run_delete(const Invocation&);
Result<int> run_run(const Invocation&);
Result<int> run_exec(const Invocation&);
Result<int> run_list(const Invocation&);
Result<int> run_ps(const Invocation&);
Result<int> run_pause(const Invocation&);
Result<int> run_resume(const Invocation&);
Result<int> run_update(const Invocation&);
Result<int> run_events(const Invocation&);
Result<int> run_features(const Invocation&);
Result<int> run_spec(const Invocation&);
Result<int> run_help(const Invocation&);
Result<int> run_unsupported(const Invocation&);

}  // namespace cgx::oci
