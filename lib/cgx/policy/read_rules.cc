// SPDX-License-Identifier: Apache-2.0
// Which process goes where.
#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/policy/read.h"

namespace cgx::policy {
namespace {

// `batch/%u`: known letters only, and a group's name whatever they stand for.
void check_target(Reader& reader, const std::string& text) {
  std::string with_words;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      with_words += text[i];
      continue;
    }
    const char letter = i + 1 < text.size() ? text[++i] : '\0';
    if (std::string_view("uUgGpc%").find(letter) == std::string_view::npos || letter == '\0') {
      reader.wrong(fmt::format("\"{}\" has a percent sign without one of uUgGpc% after it", text.substr(0, 80)));
      return;
    }
    with_words += letter;
  }
  if (const auto name = parse_group_name(with_words); !name) {
    Error e = name.error();
    e.value = text;
    reader.wrong(e);
  }
}

void read_user(Reader& reader, const std::string& text, Rule& rule) {
  if (text == "*") return;
  const bool of_group = text.starts_with('@');
  (of_group ? rule.group : rule.user) = of_group ? text.substr(1) : text;
  const auto id = of_group ? reader.group_number(rule.group) : reader.user_number(rule.user);
  if (id) return;
  // Users may come later, from a directory service that is not up yet.
  if (id.error().code == ENOENT)
    reader.warn(fmt::format("\"{}\" {}, and matches nobody", text.substr(0, 80), id.error().what));
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
  if (text->empty()) return reader.wrong("is empty");
  if (text->size() > 4096) return reader.wrong("is longer than 4096 bytes");
  if (e.key == "user") return read_user(reader, *text, rule);
  if (e.key == "group") {
    check_target(reader, *text);
    rule.target = *text;
    return;
  }
  const bool pattern = text->find_first_of("*?[\\") != std::string::npos;
  if (e.key == "command") {
    rule.command = *text;
    if (!pattern && text->size() > most_command)
      reader.wrong(
          fmt::format(
              "\"{}\" never matches: names of commands have at most {} bytes", text->substr(0, 80), most_command),
          fmt::format("the kernel cuts it to {}", text->substr(0, most_command)));
  } else if (e.key == "exe") {
    rule.exe = *text;
    if (!pattern && !text->starts_with('/'))
      reader.wrong(fmt::format("\"{}\" never matches: paths of programs begin with /", text->substr(0, 80)));
  } else if (e.key == "cgroup") {
    rule.cgroup = *text;
  }
}

}  // namespace

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
