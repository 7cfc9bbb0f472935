// SPDX-License-Identifier: Apache-2.0
// Which process goes where.
#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/policy/read.h"

namespace cgx::policy {
namespace {

void read_user(Reader& reader, const std::string& text, Rule& rule) {
  if (text == "*") return;
  const bool of_group = text.starts_with('@');
  (of_group ? rule.group : rule.user) = of_group ? text.substr(1) : text;
  const auto id = of_group ? reader.group_number(rule.group) : reader.user_number(rule.user);
  if (id) return;
  // Users may come later, from a directory service that is not up yet.
  if (id.error().code == ENOENT)
    reader.warn(fmt::format("\"{}\" {}, and matches nobody", printable(text), id.error().what));
  else
    reader.wrong(id.error());
}

void read_field(Reader& reader, const Entry& e, Rule& rule) {
  if (e.key == "leave") {
    if (const auto leaves = reader.boolean(e.value); leaves && !*leaves) reader.wrong("is true, or not there");
    return;
  }
  const auto text = reader.text(e.value);
  if (!text) return;
  if (const auto good = check_rule_field(e.key, *text); !good) return reader.wrong(good.error());
  if (e.key == "user") return read_user(reader, *text, rule);
  (e.key == "group"     ? rule.target
   : e.key == "command" ? rule.command
   : e.key == "exe"     ? rule.exe
                        : rule.cgroup) = *text;
}

}  // namespace

Result<> check_rule_field(std::string_view key, std::string_view text) {
  if (text.empty()) return fail(EINVAL, "is empty");
  if (text.size() > 4096) return fail(EINVAL, "is longer than 4096 bytes");
  if (key == "user" && text.starts_with('@')) return check_user(text.substr(1), users_word);
  if (key == "user") return text == "*" ? Result<>() : check_user(text, user_word);
  if (key == "group") return check_target(text);
  if (text.find_first_of("*?[\\") != std::string_view::npos) return {};
  if (key == "command" && text.size() > most_command) {
    auto never =
        bad_value(printable(text), fmt::format("never matches: names of commands have at most {} bytes", most_command));
    never.error().hint = fmt::format("the kernel cuts it to {}", whole_characters(text, most_command));
    return never;
  }
  if (key == "exe" && !text.starts_with('/'))
    return bad_value(printable(text), "never matches: paths of programs begin with /");
  return {};
}

std::vector<Rule> read_rules(Reader& reader, const Node& node) {
  std::vector<Rule> rules;
  if (!reader.list(node)) return rules;
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const Node& item = node.items[i];
    const auto step = reader.in(i, item);
    if (!reader.map(item)) continue;
    reader.only(item, rule_fields());
    Rule rule;
    rule.place = reader.place();
    for (const Entry& e : item.entries) {
      const auto inner = reader.in(e);
      if (std::ranges::find(rule_fields(), e.key, &Field::name) != rule_fields().end()) read_field(reader, e, rule);
    }
    const bool leaves = item.find("leave") != nullptr;
    if (!leaves && item.find("group") == nullptr)
      reader.wrong("needs group, where the process goes", "leave: true keeps it where it is");
    if (leaves && item.find("group") != nullptr) reader.wrong("has both group and leave");
    if (std::ranges::none_of(item.entries, [](const Entry& e) { return e.key != "group" && e.key != "leave"; }))
      reader.wrong("matches on nothing", "for everybody: user: \"*\"");
    rules.push_back(std::move(rule));
  }
  return rules;
}

}  // namespace cgx::policy
