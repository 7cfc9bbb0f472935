// SPDX-License-Identifier: Apache-2.0
// What is to be done when memory runs out or is waited for, and which process goes where.
#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "cgx/policy/read.h"

namespace cgx::policy {
namespace {

class ActionReader {
 public:
  ActionReader(Reader& reader, const ActionRow& row, const Node& node, bool best_effort)
      : reader_(reader), row_(row), node_(node), best_effort_(best_effort) {}

  Action read() {
    Action action;
    action.place = reader_.place();
    std::vector<std::string_view> more;
    for (const Field& f : action_fields()) more.push_back(f.name);
    if (row_.limits)
      for (const Section& s : sections()) more.push_back(s.name);
    reader_.only(node_, row_.fields, more);
    const std::string_view name = row_.name;
    if (name == "raise") action.what = raise();
    if (name == "kill") action.what = kill();
    if (name == "freeze") action.what = Freeze{group(), time("for", 0)};
    if (name == "thaw") action.what = Thaw{group()};
    if (name == "set") action.what = set();
    if (name == "exec") action.what = exec();
    if (name == "log") action.what = Log{text("message")};
    if (name == "reclaim") action.what = Reclaim{amount("memory", 100).value_or(Amount{.bytes = 0, .percent = 10})};
    action.timeout = time("timeout", 0, most_timeout);
    if (const Entry* e = node_.find("limit")) {
      const auto step = reader_.in(*e);
      action.limit = budget(e->value);
    }
    return action;
  }

 private:
  std::string text(std::string_view key) {
    const Entry* e = node_.find(key);
    if (e == nullptr) return {};
    const auto step = reader_.in(*e);
    return reader_.text(e->value).value_or("");
  }
  std::uint64_t time(std::string_view key, std::uint64_t otherwise, std::uint64_t high = 1ULL << 60U) {
    const Entry* e = node_.find(key);
    if (e == nullptr) return otherwise;
    const auto step = reader_.in(*e);
    return reader_.time(e->value, 1, high).value_or(otherwise);
  }
  std::optional<Amount> amount(std::string_view key, unsigned most_percent) {
    const Entry* e = node_.find(key);
    if (e == nullptr) return {};
    const auto step = reader_.in(*e);
    return reader_.amount(e->value, most_percent);
  }
  std::string group() {
    const Entry* e = node_.find("group");
    if (e == nullptr) return {};
    const auto step = reader_.in(*e);
    return reader_.group(e->value).value_or("");
  }
  std::vector<std::string> list(const Entry& e) {
    std::vector<std::string> out;
    if (!reader_.list(e.value)) return out;
    for (std::size_t i = 0; i < e.value.items.size(); ++i) {
      const auto step = reader_.in(i, e.value.items[i]);
      if (auto word = reader_.text(e.value.items[i])) out.push_back(*std::move(word));
    }
    return out;
  }

  Raise raise() {
    Raise out;
    out.by = amount("memory", 1000).value_or(Amount{});
    if (const Entry* e = node_.find("up_to")) {
      const auto step = reader_.in(*e);
      out.up_to = reader_.size(e->value).value_or(0);
    }
    out.decay_after = time("decay_after", 0);
    return out;
  }

  Kill kill() {
    Kill out;
    if (const Entry* e = node_.find("pick")) {
      const auto step = reader_.in(*e);
      const auto field = std::ranges::find(row_.fields, "pick", &Field::name);
      if (const auto n = reader_.word(e->value, field->words)) out.pick = static_cast<Pick>(*n);
    }
    if (const Entry* e = node_.find("protect")) {
      const auto step = reader_.in(*e);
      out.protect = list(*e);
      for (const std::string& name : out.protect)
        if (name.empty() || name.size() > most_command)
          reader_.wrong(fmt::format("\"{}\" is no name of a command: they have 1 to {} bytes", name, most_command),
                        name.empty() ? "" : fmt::format("the kernel cuts it to {}", name.substr(0, most_command)));
    }
    if (const Entry* e = node_.find("signal")) {
      const auto step = reader_.in(*e);
      if (const auto word = reader_.text(e->value)) {
        if (const auto n = parse_signal(*word))
          out.signal = *n;
        else
          reader_.wrong(n.error());
      }
    }
    if (out.signal != 9) out.grace = 5'000'000;
    if (const Entry* e = node_.find("grace")) {
      const auto step = reader_.in(*e);
      out.grace = reader_.time(e->value, 1, most_timeout).value_or(out.grace);
      if (out.signal == 9) reader_.wrong("means nothing with the signal KILL");
    }
    return out;
  }

  Set set() {
    Set out;
    out.group = group();
    for (const Section& s : sections())
      if (const Entry* e = node_.find(s.name)) {
        const auto step = reader_.in(*e);
        read_section(reader_, s, e->value, best_effort_, out.limits);
        if (s.name == "memory" && e->value.find("pause_max") != nullptr)
          reader_.wrong("pause_max is a key of groups, not of an action");
      }
    if (const Entry* e = node_.find("raw")) {
      const auto step = reader_.in(*e);
      read_raw(reader_, e->value, out.limits);
    }
    for (const PolicyLimit& l : out.limits)
      if (l.key == "memory.oom" && l.limit.given == "pause")
        reader_.wrong("memory.oom: pause is for groups, not for an action");
    if (std::ranges::none_of(node_.entries, [](const Entry& e) {
          return e.key == "raw" || std::ranges::find(sections(), e.key, &Section::name) != sections().end();
        }))
      reader_.wrong("sets nothing", "as in: set: {group: batch, cpu: {weight: 20}}");
    return out;
  }

  Exec exec() {
    Exec out;
    if (const Entry* e = node_.find("argv")) {
      const auto step = reader_.in(*e);
      out.argv = list(*e);
      if (e->value.kind == Node::Kind::list && out.argv.empty()) reader_.wrong("is empty");
      if (!out.argv.empty() && !out.argv[0].starts_with('/'))
        reader_.wrong(fmt::format("\"{}\" is not the absolute path of a program", out.argv[0].substr(0, 80)),
                      "no shell and no PATH is looked into");
    }
    if (const Entry* e = node_.find("user")) {
      const auto step = reader_.in(*e);
      if (const auto name = reader_.text(e->value)) {
        out.user = *name;
        if (const auto id = reader_.user_number(*name); !id && id.error().code == ENOENT)
          reader_.lacks(id.error(), best_effort_);
        else if (!id)
          reader_.wrong(id.error());
      }
    }
    return out;
  }

  Action::Budget budget(const Node& node) {
    const auto value = reader_.text(node);
    if (!value) return {};
    const auto pair = sys::parse_pair(*value, '/');
    if (pair) {
      const auto times = sys::parse_u64(pair->first, 1, 1'000'000);
      const auto within = sys::parse_time(pair->second);
      if (times && within && *within > 0) return {.times = static_cast<unsigned>(*times), .within = *within};
    }
    reader_.wrong(fmt::format("\"{}\" is not TIMES/TIME (like 3/10m)", value->substr(0, 80)));
    return {};
  }

  Reader& reader_;
  const ActionRow& row_;
  const Node& node_;
  bool best_effort_;
};

// `- raise: {...}`, and where it needs nothing more, `- kill`; a message may stand for itself: `- log: words`.
std::optional<Action> read_action(Reader& reader, const Node& item, bool best_effort) {
  std::vector<std::string_view> known;
  for (const ActionRow& row : action_rows()) known.push_back(row.name);
  const auto row_of = [&](const std::string& name) -> const ActionRow* {
    const auto at = std::ranges::find(action_rows(), name, &ActionRow::name);
    if (at != action_rows().end()) return &*at;
    const std::string_view near = sys::nearest(name, known);
    std::string all;
    for (const std::string_view k : known) all += fmt::format("{}{}", all.empty() ? "" : ", ", k);
    reader.wrong(near.empty() ? "is no action" : fmt::format("is no action; did you mean {}?", near),
                 near.empty() ? fmt::format("there are {}", all) : "");
    return nullptr;
  };
  Node none;
  none.kind = Node::Kind::map;
  if (item.kind == Node::Kind::scalar) {
    const Entry as_key{item.text, item.line, item.column, {}};
    const auto step = reader.in(as_key);
    const ActionRow* row = row_of(item.text);
    if (row == nullptr) return {};
    return ActionReader(reader, *row, none, best_effort).read();
  }
  if (item.kind != Node::Kind::map || item.entries.size() != 1) {
    reader.wrong("is not one action (like `raise: {memory: 25%, up_to: 3G}`)",
                 item.entries.size() > 1 ? "each action has a dash of its own, and its parameters stand deeper" : "");
    return {};
  }
  const Entry& e = item.entries[0];
  const auto step = reader.in(e);
  const ActionRow* row = row_of(e.key);
  if (row == nullptr) return {};
  if (e.value.kind == Node::Kind::null) return ActionReader(reader, *row, none, best_effort).read();
  if (e.value.kind == Node::Kind::scalar && e.key == "log") {
    Action action;
    action.place = reader.place();
    action.what = Log{e.value.text};
    return action;
  }
  if (!reader.map(e.value)) return {};
  return ActionReader(reader, *row, e.value, best_effort).read();
}

std::optional<PressureRule> read_pressure_rule(Reader& reader, const Node& item, bool best_effort) {
  if (!reader.map(item)) return {};
  reader.only(item, pressure_fields());
  PressureRule rule;
  rule.place = reader.place();
  if (const Entry* when = item.find("when")) {
    const auto step = reader.in(*when);
    if (!reader.map(when->value)) return {};
    reader.only(when->value, trigger_fields());
    int resources = 0;
    for (const Entry& e : when->value.entries) {
      const auto inner = reader.in(e);
      if (e.key == "stall") rule.stall = reader.time(e.value, 1, most_window).value_or(0);
      if (e.key == "window") rule.window = reader.time(e.value, least_window, most_window).value_or(0);
      if (e.key != "memory" && e.key != "cpu" && e.key != "io") continue;
      ++resources;
      rule.resource = e.key;
      if (const auto n = reader.word(e.value, "some|full")) rule.full = *n == 1;
    }
    if (resources != 1)
      reader.wrong("takes one of memory, cpu and io", "as in: {memory: some, stall: 150ms, window: 1s}");
    if (rule.stall > rule.window && rule.window != 0)
      reader.wrong(fmt::format(
          "the stall {} is longer than the window {}", sys::format_time(rule.stall), sys::format_time(rule.window)));
  }
  if (const Entry* act = item.find("do")) {
    const auto step = reader.in(*act);
    rule.actions = read_actions(reader, act->value, best_effort);
  }
  return rule;
}

}  // namespace

std::vector<Action> read_actions(Reader& reader, const Node& node, bool best_effort) {
  std::vector<Action> actions;
  if (!reader.list(node)) return actions;
  if (node.items.empty()) reader.wrong("is empty");
  if (node.items.size() > most_actions)
    reader.wrong(fmt::format("has {} actions; {} are the most", node.items.size(), most_actions));
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const auto step = reader.in(i, node.items[i]);
    if (auto action = read_action(reader, node.items[i], best_effort)) actions.push_back(*std::move(action));
  }
  return actions;
}

std::vector<PressureRule> read_pressure(Reader& reader, const Node& node, bool best_effort) {
  std::vector<PressureRule> rules;
  if (!reader.list(node)) return rules;
  if (node.items.empty()) reader.wrong("is empty");
  if (node.items.size() > most_actions)
    reader.wrong(fmt::format("has {} entries; {} are the most", node.items.size(), most_actions));
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const auto step = reader.in(i, node.items[i]);
    if (auto rule = read_pressure_rule(reader, node.items[i], best_effort)) rules.push_back(*std::move(rule));
  }
  return rules;
}

}  // namespace cgx::policy
