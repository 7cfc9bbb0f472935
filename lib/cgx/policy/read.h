// SPDX-License-Identifier: Apache-2.0
// Inside policy/: what stands where in a document, what kind of value it is, and what is wrong with it. The parts of
// the reader of policies share one Reader a file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/policy/document.h"
#include "cgx/policy/keys.h"
#include "cgx/policy/policy.h"
#include "cgx/policy/users.h"

namespace cgx::policy {

class Reader {
 public:
  Reader(std::string file, std::vector<Problem>& problems) : file_(std::move(file)), problems_(&problems) {}

  // Being at a value: as long as it lives, what is said has the place and the path of this value. They nest.
  class Step {
   public:
    Step(Reader& reader, std::string_view part, unsigned line, unsigned column);
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;
    ~Step();

   private:
    Reader* reader_;
    std::size_t length_;
    unsigned line_;
    unsigned column_;
  };
  [[nodiscard]] Step in(const Entry& entry);                   // at its key
  [[nodiscard]] Step in(std::size_t index, const Node& item);  // `[2]` of a list
  [[nodiscard]] Place place() const { return {file_, line_, column_}; }
  [[nodiscard]] const std::string& path() const { return path_; }

  // Something is wrong here.
  void wrong(std::string what, std::string hint = {}) { say(std::move(what), std::move(hint), false); }
  void wrong(const Error& error) { say(error.text(), error.hint, false); }
  // The value is right but this host lacks something: what is told is an error, or under best_effort a warning.
  void lacks(const Error& error, bool best_effort) { say(error.text(), error.hint, best_effort); }
  void warn(std::string what, std::string hint = {}) { say(std::move(what), std::move(hint), true); }

  // Each is nullopt, or false, where the value is none of these; that has been said then.
  [[nodiscard]] bool map(const Node& node);
  [[nodiscard]] bool list(const Node& node);
  [[nodiscard]] std::optional<std::string> text(const Node& node);
  [[nodiscard]] std::optional<bool> boolean(const Node& node);
  [[nodiscard]] std::optional<std::size_t> word(const Node& node, std::string_view words);  // its index in "a|b|c"
  [[nodiscard]] std::optional<std::uint64_t> time(const Node& node,
                                                  std::uint64_t low = 1,
                                                  std::uint64_t high = 1ULL << 60U);
  [[nodiscard]] std::optional<std::uint64_t> size(const Node& node);  // above 0, not max
  [[nodiscard]] std::optional<Amount> amount(const Node& node, unsigned most_percent);
  [[nodiscard]] std::optional<std::string> group(const Node& node);  // a name as parse_group_name() answers it
  // Entries of a map that no row and no word of `more` has are unknown; required ones are missing. Of `later`, a key of
  // a later version of the format, the caller tells.
  void only(const Node& map,
            std::span<const Field> fields,
            const std::vector<std::string_view>& more = {},
            std::string_view later = {});

  // Users and groups of users of this host, by name or number; EINVAL for what is no name, ENOENT for one that is not
  // there.
  [[nodiscard]] Result<std::uint32_t> user_number(std::string_view name);
  [[nodiscard]] Result<std::uint32_t> group_number(std::string_view name);

  // What kind of value it is, for sentences: "a list".
  [[nodiscard]] static std::string_view kind(const Node& node);

 private:
  void say(std::string what, std::string hint, bool warning);

  // Whoever mistakes a file of another kind for a policy need not read a million lines.
  static constexpr unsigned most_told = 1000;
  unsigned told_ = 0;
  std::string file_;
  std::vector<Problem>* problems_;
  HostNames names_;
  std::string path_;
  unsigned line_ = 0;
  unsigned column_ = 0;
};

// Signals by name, with or without SIG, or number; EINVAL.
[[nodiscard]] Result<int> parse_signal(std::string_view text);

// ---- what holds on every host, for the reader and for importers, which write what it has to take -------------------

inline constexpr std::string_view user_word = "user";
inline constexpr std::string_view users_word = "group of users";
// Whether it may be the name or number of one on some host; `word` is one of the two above, for the sentence. EINVAL.
[[nodiscard]] Result<> check_user(std::string_view name, std::string_view word);
// The text of a field of a rule. EINVAL.
[[nodiscard]] Result<> check_rule_field(std::string_view key, std::string_view text);
// A file of `raw` and what is written to it. EINVAL.
[[nodiscard]] Result<> check_raw(std::string_view file, std::string_view text);

// ---- the parts ------------------------------------------------------------------------------------------------------

// One section of limits, and `raw`. Adds to `limits`; memory.oom is among them also where it is `pause`.
void read_section(
    Reader& reader, const Section& section, const Node& node, bool best_effort, std::vector<PolicyLimit>& limits);
void read_raw(Reader& reader, const Node& node, std::vector<PolicyLimit>& limits);

// Whether both are kept in one file of the kernel, on either version.
[[nodiscard]] bool same_file(const PolicyLimit& a, const PolicyLimit& b);

[[nodiscard]] std::vector<Action> read_actions(Reader& reader, const Node& node, bool best_effort);
[[nodiscard]] std::vector<PressureRule> read_pressure(Reader& reader, const Node& node, bool best_effort);
[[nodiscard]] std::vector<Rule> read_rules(Reader& reader, const Node& node);

// The groups of one file, with its defaults under them, parents before children where they are written so.
[[nodiscard]] std::vector<GroupPolicy> read_groups(Reader& reader, const Entry* defaults, const Entry* groups);

}  // namespace cgx::policy
