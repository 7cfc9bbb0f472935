// SPDX-License-Identifier: Apache-2.0
// cgrules.conf(5): a rule a line, `USER[:PROCESS] CONTROLLERS DESTINATION [OPTIONS]`. What its letters mean is as
// cgrulesengd 2.0 does it, which is not what its manual says: %u, %g and %p are names, %U, %G and %P numbers.
#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/policy/document.h"
#include "cgx/policy/import.h"
#include "cgx/policy/import_parts.h"
#include "cgx/policy/read.h"
#include "cgx/sys/text.h"

namespace cgx::policy {
namespace {

// A pattern for the text itself.
std::string literal(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view("*?[\\").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

// A name that only a `*` at its end makes a pattern.
std::string pattern_of(std::string_view name) {
  return name.ends_with('*') ? literal(name.substr(0, name.size() - 1)) + '*' : literal(name);
}

// The words up to a comment. Within quotation marks, which are no part of a word, blanks and `#` are letters.
std::optional<std::vector<std::string>> words_of(std::string_view line) {
  std::vector<std::string> words;
  bool quoted = false;
  bool in_word = false;
  for (const char c : line) {
    if (c == '#' && !quoted) break;
    if (!quoted && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    if (c == '"')
      quoted = !quoted;
    else
      words.back() += c;
  }
  if (quoted) return {};
  return words;
}

class Rules {
 public:
  explicit Rules(Told& told) : told_(told) {}

  void line(std::string_view text, unsigned number) {
    const auto unquoted = words_of(text);
    if (!unquoted) return told_.wrong(number, "", "a quotation mark has no other one");
    const std::vector<std::string_view> words(unquoted->begin(), unquoted->end());
    if (words.empty()) return;
    if (words.size() < 3)
      return told_.wrong(number,
                         "",
                         fmt::format("\"{}\" is no rule: USER[:PROCESS] CONTROLLERS DESTINATION",
                                     sys::trim(text.substr(0, text.find('#')))));
    const std::string path(words[0]);
    if (words[0] == "%") return ditto(words, number);
    open_.reset();
    Rule rule;
    rule.place.line = number;
    if (!who(words[0], number, rule) || !readable(rule, number, path)) return;
    if (words.size() > 3 && !options(words, number, path, rule)) return;
    if (!leaves_) {
      const auto target = destination(words[2], number, path);
      if (!target) return;
      rule.target = *target;
    }
    controllers(words[1], number, path);
    rules_.push_back(rule);
    open_ = rules_.size() - 1;
  }

  [[nodiscard]] std::vector<Rule> take() { return std::move(rules_); }

 private:
  bool who(std::string_view word, unsigned number, Rule& rule) {
    leaves_ = false;
    const std::size_t colon = word.find(':');
    const std::string_view user = word.substr(0, colon);
    if (user.empty() || user == "@") {
      told_.wrong(number, std::string(word), "has no user");
      return false;
    }
    if (user.starts_with('@'))
      rule.group = user.substr(1);
    else if (user != "*")
      rule.user = user;
    if (colon == std::string_view::npos) return true;
    const std::string_view process = word.substr(colon + 1);
    if (process.empty()) {
      told_.wrong(number, std::string(word), "has no process after the colon");
      return false;
    }
    if (process == "*") return true;
    if (process.starts_with('/')) {
      rule.exe = pattern_of(process);
      return true;
    }
    if (process.ends_with('*') || process.size() <= most_command) {
      rule.command = pattern_of(process);
      return true;
    }
    // The kernel cuts in the middle of characters, which no policy can hold: a `?` stands for a byte of what is left.
    const std::string_view whole = whole_characters(process, most_command);
    rule.command = literal(whole) + std::string(most_command - whole.size(), '?');
    told_.missing(number,
                  std::string(word),
                  fmt::format("the kernel keeps {} bytes of a name: {} stands for it", most_command, rule.command));
    return true;
  }

  // Whether the reader of policies takes whom the rule is for; destination() asks for the rest.
  bool readable(const Rule& rule, unsigned number, const std::string& path) {
    const std::pair<std::string_view, std::string> fields[] = {
        {"user", rule.group.empty() ? rule.user : '@' + rule.group}, {"command", rule.command}, {"exe", rule.exe}};
    for (const auto& [key, text] : fields) {
      const auto good = text.empty() ? Result<>() : check_rule_field(key, text);
      if (good) continue;
      told_.wrong(number, path, good.error().text());
      return false;
    }
    return true;
  }

  // `ignore` leaves a process where it is; ignore_rt does so with real-time processes only.
  bool options(const std::vector<std::string_view>& words, unsigned number, const std::string& path, Rule& rule) {
    for (std::size_t i = 3; i < words.size(); ++i)
      for (const std::string_view option : sys::split(words[i], ',')) {
        if (option == "ignore") {
          leaves_ = true;
          rule.target.clear();
        } else if (option == "ignore_rt") {
          told_.missing(number, path, "ignore_rt: real-time processes are moved like the others");
        } else {
          told_.wrong(number, path, fmt::format("\"{}\" is none of the options ignore and ignore_rt", option));
          return false;
        }
      }
    return true;
  }

  std::optional<std::string> destination(std::string_view word, unsigned number, const std::string& path) {
    std::string target;
    for (std::size_t i = 0; i < word.size(); ++i) {
      if (word[i] == '\\' && i + 1 < word.size() && word[i + 1] == '%') {
        target += "%%";
        ++i;
        continue;
      }
      if (word[i] != '%') {
        target += word[i];
        continue;
      }
      const char letter = i + 1 < word.size() ? word[i + 1] : '\0';
      if (letter == '\0' || std::string_view("uUgGpP").find(letter) == std::string_view::npos) {
        target += "%%";
        continue;
      }
      target += '%';
      target += letter == 'p' ? 'c' : letter == 'P' ? 'p' : letter;
      ++i;
    }
    if (const auto good = check_rule_field("group", target); !good) {
      told_.wrong(number, path, fmt::format("the destination \"{}\" {}", printable(word, 60), good.error().what));
      return {};
    }
    return target;
  }

  void controllers(std::string_view list, unsigned number, const std::string& path) {
    if (list == "*") return;
    told_.missing(number,
                  path,
                  fmt::format("not only in {}: a process goes to its group wherever the group is", list),
                  fmt::format("cgx create NAME --controllers {} makes a group in those only", list));
  }

  // One more destination of the rule above, for other controllers.
  void ditto(const std::vector<std::string_view>& words, unsigned number) {
    if (!open_) return told_.wrong(number, "%", "there is no rule above that it could go on");
    const auto target = destination(words[2], number, "%");
    if (!target) return;
    const auto bare = [](std::string_view name) {
      while (name.starts_with('/')) name.remove_prefix(1);
      while (name.ends_with('/')) name.remove_suffix(1);
      return name;
    };
    const Rule& rule = rules_[*open_];
    if (bare(*target) != bare(rule.target))
      told_.missing(number,
                    "%",
                    fmt::format("{} in {}: a process has one group in all hierarchies, and that is {}",
                                words[2],
                                words[1],
                                rule.target.empty() ? "where it is" : rule.target));
  }

  Told& told_;
  std::vector<Rule> rules_;
  std::optional<std::size_t> open_;
  bool leaves_ = false;
};

}  // namespace

Result<std::string> import_cgrules(std::string_view text, std::string_view name, std::vector<Problem>& problems) {
  if (text.size() > most_import_bytes) return fail(E2BIG, "is larger than 1 MiB");
  if (!is_utf8(text)) return fail(EILSEQ, "is not UTF-8 text, as a policy has to be");
  Told told(name, problems);
  Rules rules(told);
  unsigned number = 0;
  for (const std::string_view line : sys::lines(text)) rules.line(line, ++number);
  Policies policies;
  policies.rules = rules.take();
  return told.policy_file(policies);
}

}  // namespace cgx::policy
