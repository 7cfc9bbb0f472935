// SPDX-License-Identifier: Apache-2.0
// Which rule of a policy applies to a process, and which group that means. Pure: what is asked about the process and
// about users comes from the caller (Facts, Names), so that the daemon, `cgx exec --by-rules` and the tests decide by
// the same code.
//
// A rule is about the real user and group of a process, not the effective ones: a server that acts for a user for a
// moment (seteuid) and a set-user-ID program that a user runs stay where the user's processes are.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "cgx/policy/policy.h"

namespace cgx::policy {

// What rules ask about a process. Functions, so that what no rule asks for need not be looked up.
class Facts {
 public:
  Facts() = default;
  Facts(const Facts&) = delete;
  Facts& operator=(const Facts&) = delete;
  virtual ~Facts() = default;
  [[nodiscard]] virtual pid_t pid() const = 0;
  [[nodiscard]] virtual uid_t uid() const = 0;
  [[nodiscard]] virtual gid_t gid() const = 0;
  [[nodiscard]] virtual bool in_group(gid_t gid) const = 0;                // its own group or a supplementary one
  [[nodiscard]] virtual std::string_view comm() const = 0;                 // as in /proc/PID/comm, without the newline
  [[nodiscard]] virtual std::string_view exe() const = 0;                  // absolute path; empty: not known
  [[nodiscard]] virtual std::span<const std::string> cgroups() const = 0;  // one a hierarchy, from its root: "web/api"
};

// Users and groups by name. nullopt: there is none.
class Names {
 public:
  Names() = default;
  Names(const Names&) = delete;
  Names& operator=(const Names&) = delete;
  virtual ~Names() = default;
  [[nodiscard]] virtual std::optional<std::string> user_name(uid_t uid) = 0;
  [[nodiscard]] virtual std::optional<std::string> group_name(gid_t gid) = 0;
  [[nodiscard]] virtual std::optional<uid_t> user_id(const std::string& name) = 0;
  [[nodiscard]] virtual std::optional<gid_t> group_id(const std::string& name) = 0;
};

// Whether the whole of `text` is of the form `pattern`: `*` any characters, `?` one, `[a-z]` and `[!a-z]` one of a set,
// `\` takes the next character as it is. In paths none of them is a `/`; `**` goes over `/` too. A `[` that is never
// closed is a `[`. Time at most |text|^2 * |pattern|; allocates nothing.
enum class Text : std::uint8_t { word, path };
[[nodiscard]] bool glob(std::string_view pattern, std::string_view text, Text kind);

// Whether all that `rule` asks for is true of the process. `user` is a name or a number, or `*` for any; `group` a
// name or a number without the `@`. `cgroup` matches if one of the process's groups does: `web/*`, `/` for the root.
[[nodiscard]] bool matches(const Rule& rule, const Facts& facts, Names& names);
// The first that matches; nullptr: none.
[[nodiscard]] const Rule* first_match(std::span<const Rule> rules, const Facts& facts, Names& names);

// The group that a target means for the process: %u and %U are its user's name and number, %g and %G its group's, %c
// its command name, %p its number, %% a percent sign. Empty: it stays where it is (a rule without target). What is put
// in never leads elsewhere, as it is always part of one name between slashes:
//   - a user or group without a name, or with one that has a `/` or a control character, is given by its number;
//   - in a command name each such character becomes `_`;
//   - a part that the kernel would not take (empty, `.`, `..`, or a file of a group like `tasks` or `cpu.stat`) gets a
//     `_` in front.
// Fault::usage where the template itself is none: an unknown %, or what parse_group_name() refuses.
[[nodiscard]] Result<std::string> expand(std::string_view target, const Facts& facts, Names& names);
// The check of a template alone, for when rules are read. What it refuses besides: a part that is too long for a name
// whatever is put in.
[[nodiscard]] Result<> check_target(std::string_view target);
// Whether it has a % that depends on the process.
[[nodiscard]] bool is_template(std::string_view target);

// What a set of rules needs to be told of, so that nothing else is asked of the kernel.
struct Wanted {
  bool user = false;   // a rule depends on the user
  bool group = false;  // or on groups of users
};
[[nodiscard]] Wanted wanted_by(std::span<const Rule> rules);

}  // namespace cgx::policy
