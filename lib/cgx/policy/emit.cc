// SPDX-License-Identifier: Apache-2.0
#include "cgx/policy/emit.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include <fmt/format.h>

#include "cgx/policy/document.h"
#include "cgx/policy/keys.h"

namespace cgx::policy {
namespace {

constexpr std::size_t width = 100;      // of a line, above which a map is written over several
constexpr std::size_t most_key = 1024;  // characters of a key before a colon: YAML reads no further for it

// ---- a tree of what is to be written --------------------------------------------------------------------------------

Node scalar(std::string text, bool quoted = false) {
  return {.kind = Node::Kind::scalar, .quoted = quoted, .text = std::move(text)};
}
Node map() { return {.kind = Node::Kind::map}; }
Node list() { return {.kind = Node::Kind::list}; }

void put(Node& map, std::string_view key, Node value) {
  map.entries.push_back({std::string(key), 0, 0, std::move(value)});
}
Node& at(Node& map, std::string_view key) {
  const auto found = std::ranges::find(map.entries, key, &Entry::key);
  if (found != map.entries.end()) return found->value;
  put(map, key, policy::map());
  return map.entries.back().value;
}

std::string size_text(std::uint64_t n) {
  if (n == sys::unlimited) return "max";
  constexpr std::string_view suffixes = "TGMk";
  for (std::size_t i = 0; i < suffixes.size(); ++i) {
    const unsigned shift = 10U * static_cast<unsigned>(suffixes.size() - i);
    if (n != 0 && (n & ((1ULL << shift) - 1)) == 0) return fmt::format("{}{}", n >> shift, suffixes[i]);
  }
  return std::to_string(n);
}

std::string number_text(std::uint64_t n) { return n == sys::unlimited ? "max" : std::to_string(n); }

std::string field_text(Format format, std::string_view key, std::uint64_t n) {
  switch (format) {
    case Format::io_latency:
      return sys::format_time(n);
    case Format::if_rate:
      return n == sys::unlimited ? "max" : sys::format_rate(n);
    case Format::hugetlb:
      return size_text(n);
    case Format::io_max:
      return key.ends_with("bps") ? size_text(n) : number_text(n);
    default:
      return number_text(n);
  }
}

Node table_node(Format format, const Table& table) {
  if (format == Format::io_weight && table.size() == 1 && table[0].key == "default")
    return scalar(number_text(table[0].fields.at(0).second));
  Node out = map();
  for (const TableRow& row : table) {
    if (row.fields.size() == 1 && row.fields[0].first.empty()) {
      put(out, row.key, scalar(field_text(format, "", row.fields[0].second)));
      continue;
    }
    Node fields = map();
    for (const auto& [key, n] : row.fields) put(fields, key, scalar(field_text(format, key, n)));
    put(out, row.key, std::move(fields));
  }
  return out;
}

// `deny a` and what is allowed of it; any other order is kept as it is.
Node device_node(const std::string& rules) {
  const auto lines = sys::lines(rules);
  const bool deny = !lines.empty() && lines[0] == "deny a";
  const bool allow = !lines.empty() && lines[0] == "allow a";
  const std::string_view other = deny ? "allow " : "deny ";
  const auto fits = [&](std::string_view line) { return line.starts_with(other) && line.substr(other.size()) != "a"; };
  Node out = map();
  Node items = list();
  if ((deny || allow) && std::all_of(lines.begin() + 1, lines.end(), fits)) {
    for (std::size_t i = 1; i < lines.size(); ++i)
      items.items.push_back(scalar(std::string(lines[i].substr(other.size()))));
    put(out, "default", scalar(deny ? "deny" : "allow"));
    if (!items.items.empty()) put(out, deny ? "allow" : "deny", std::move(items));
    return out;
  }
  for (const std::string_view line : lines) items.items.push_back(scalar(std::string(line)));
  put(out, "rules", std::move(items));
  return out;
}

Node value_node(const Knob& knob, const Value& value) {
  if (const auto* n = std::get_if<std::uint64_t>(&value); n != nullptr && knob.format == Format::size)
    return scalar(size_text(*n));
  if (const auto* table = std::get_if<Table>(&value)) return table_node(knob.format, *table);
  if (knob.format == Format::device_rules) return device_node(std::get<std::string>(value));
  return scalar(exact(knob, value));
}

void put_limits(Node& out, const std::vector<PolicyLimit>& limits) {
  std::vector<const PolicyLimit*> sorted;
  for (const PolicyLimit& l : limits) sorted.push_back(&l);
  std::ranges::stable_sort(sorted, {}, [](const PolicyLimit* l) {
    return l->limit.knob == nullptr ? static_cast<std::size_t>(-1) : key_index(*l->limit.knob);
  });
  for (const PolicyLimit* l : sorted) {
    const Knob* knob = l->limit.knob;
    if (knob == nullptr) {
      put(at(out, "raw"), l->limit.file, scalar(l->limit.given, true));
      continue;
    }
    Node value = value_node(*knob, l->limit.value);
    if (name_of(knob->key).empty())
      put(out, knob->key, std::move(value));
    else
      put(at(out, section_of(knob->key)), name_of(knob->key), std::move(value));
  }
}

// ---- actions --------------------------------------------------------------------------------------------------------

void put_time(Node& out, std::string_view key, std::uint64_t usec, std::uint64_t otherwise = 0) {
  if (usec != otherwise) put(out, key, scalar(sys::format_time(usec)));
}
void put_text(Node& out, std::string_view key, const std::string& text) {
  if (!text.empty()) put(out, key, scalar(text));
}
Node amount_node(const Amount& a) {
  return scalar(a.percent != 0 ? fmt::format("{}%", a.percent) : size_text(a.bytes));
}
Node words_node(const std::vector<std::string>& words) {
  Node out = list();
  for (const std::string& w : words) out.items.push_back(scalar(w));
  return out;
}
std::string_view nth_word(std::string_view words, std::size_t n) { return sys::split(words, '|').at(n); }

struct Parameters {
  Node& out;
  void operator()(const Raise& a) const {
    put(out, "memory", amount_node(a.by));
    put(out, "up_to", scalar(size_text(a.up_to)));
    put_time(out, "decay_after", a.decay_after);
  }
  void operator()(const Kill& a) const {
    const auto& fields = action_rows()[1].fields;
    const auto pick = std::ranges::find(fields, "pick", &Field::name);
    if (a.pick != Pick::largest)
      put(out, "pick", scalar(std::string(nth_word(pick->words, static_cast<std::size_t>(a.pick)))));
    if (!a.protect.empty()) put(out, "protect", words_node(a.protect));
    if (a.signal == SIGKILL) return;
    const char* name = a.signal < 32 ? sigabbrev_np(a.signal) : nullptr;
    put(out, "signal", scalar(name != nullptr ? name : std::to_string(a.signal)));
    put_time(out, "grace", a.grace, 5'000'000);
  }
  void operator()(const Freeze& a) const {
    put_text(out, "group", a.group);
    put_time(out, "for", a.duration);
  }
  void operator()(const Thaw& a) const { put_text(out, "group", a.group); }
  void operator()(const Set& a) const {
    put_text(out, "group", a.group);
    put_limits(out, a.limits);
  }
  void operator()(const Exec& a) const {
    put(out, "argv", words_node(a.argv));
    put_text(out, "user", a.user);
  }
  void operator()(const Log& a) const { put_text(out, "message", a.message); }
  void operator()(const Reclaim& a) const { put(out, "memory", amount_node(a.amount)); }
};

Node actions_node(const std::vector<Action>& actions) {
  Node out = list();
  for (const Action& a : actions) {
    Node parameters = map();
    std::visit(Parameters{parameters}, a.what);
    put_time(parameters, "timeout", a.timeout);
    if (a.limit.times != 0)
      put(parameters, "limit", scalar(fmt::format("{}/{}", a.limit.times, sys::format_time(a.limit.within))));
    if (parameters.entries.empty()) {
      out.items.push_back(scalar(std::string(a.name())));
      continue;
    }
    Node item = map();
    put(item, a.name(), std::move(parameters));
    out.items.push_back(std::move(item));
  }
  return out;
}

Node pressure_node(const std::vector<PressureRule>& rules) {
  Node out = list();
  for (const PressureRule& r : rules) {
    Node when = map();
    put(when, r.resource, scalar(r.full ? "full" : "some"));
    put_time(when, "stall", r.stall);
    put_time(when, "window", r.window);
    Node item = map();
    put(item, "when", std::move(when));
    put(item, "do", actions_node(r.actions));
    out.items.push_back(std::move(item));
  }
  return out;
}

// ---- groups and rules -----------------------------------------------------------------------------------------------

Node group_node(const GroupPolicy& g) {
  Node out = map();
  put_text(out, "description", g.description);
  if (g.best_effort) put(out, "best_effort", scalar("true"));
  if (g.lossy != Lossy::tell) put(out, "lossy", scalar(g.lossy == Lossy::allow ? "allow" : "refuse"));
  if (g.adopt) put(out, "adopt", scalar("true"));
  put_text(out, "owner", g.owner_text);
  put_limits(out, g.limits);
  if (g.oom == OomMode::pause) {
    put(at(out, "memory"), "oom", scalar("pause"));
    put_time(at(out, "memory"), "pause_max", g.pause_max, GroupPolicy().pause_max);
  }
  if (!g.on_oom.empty()) put(out, "on_oom", actions_node(g.on_oom));
  if (!g.on_pressure.empty()) put(out, "on_pressure", pressure_node(g.on_pressure));
  return out;
}

Node rule_node(const Rule& r) {
  Node out = map();
  put_text(out, "user", r.group.empty() ? r.user : '@' + r.group);
  put_text(out, "command", r.command);
  put_text(out, "exe", r.exe);
  put_text(out, "cgroup", r.cgroup);
  if (out.entries.empty()) put(out, "user", scalar("*"));
  if (r.target.empty())
    put(out, "leave", scalar("true"));
  else
    put(out, "group", scalar(r.target));
  return out;
}

// ---- text -----------------------------------------------------------------------------------------------------------

// Words that need no quotes: no reader of YAML, also of the old version 1.1, takes them for something else.
bool is_plain(std::string_view text) {
  if (text.empty() || text.size() > 200) return false;
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (!letter(text[0]) && !digit(text[0]) && text[0] != '/') return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (letter(c) || digit(c) || std::string_view("_./%+@*=-").find(c) != std::string_view::npos) continue;
    // Within a word, and not in 10:1, which is sixty times ten and one to some.
    if (c == ':' && letter(text[0]) && i + 1 < text.size()) continue;
    return false;
  }
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  constexpr std::string_view taken[]{"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
  return std::ranges::find(taken, lower) == std::end(taken);
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == '"' || c == '\\')
      out += fmt::format("\\{}", text[i]);
    else if (c == '\n')
      out += "\\n";
    else if (c < ' ' || c == 0x7f)
      out += fmt::format("\\x{:02x}", c);
    else if (c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0)
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[++i]));  // control characters of two bytes
    else
      out += text[i];
  }
  return out + '"';
}

std::string word(const Node& node) {
  // true and false are the one kind of values that must not have quotes.
  if (!node.quoted && (is_plain(node.text) || node.text == "true" || node.text == "false")) return node.text;
  return quoted(node.text);
}
std::string key_text(std::string_view key) { return is_plain(key) ? std::string(key) : quoted(key); }

// On one line: {a: 1, b: [2, 3]}.
std::string flow(const Node& node) {
  std::string out;
  if (node.kind == Node::Kind::list) {
    for (const Node& item : node.items) out += (out.empty() ? "" : ", ") + flow(item);
    return '[' + out + ']';
  }
  if (node.kind != Node::Kind::map) return word(node);
  for (const Entry& e : node.entries)
    out += fmt::format("{}{}: {}", out.empty() ? "" : ", ", key_text(e.key), flow(e.value));
  return '{' + out + '}';
}

// What is in groups goes on one line where it fits; groups themselves do not.
void block(const Node& node, std::size_t indent, std::size_t depth, std::string& out) {
  const std::string margin(indent, ' ');
  const auto child = [&](const Node& value, std::size_t used) {
    const bool simple = value.kind == Node::Kind::scalar || (value.items.empty() && value.entries.empty());
    std::string line = flow(value);
    if (simple || (depth >= 2 && used + line.size() <= width)) {
      out += line + '\n';
      return true;
    }
    return false;
  };
  for (const Entry& e : node.entries) {
    std::string head = margin + key_text(e.key);
    if (head.size() > most_key) {
      out += margin + "? " + head.substr(indent) + '\n';
      head = margin;
    }
    head += ':';
    out += head + ' ';
    if (child(e.value, head.size() + 1)) continue;
    out.back() = '\n';
    block(e.value, indent + 2, depth + 1, out);
  }
  for (const Node& item : node.items) {
    out += margin + "- ";
    if (item.entries.size() != 1 && child(item, indent + 2)) continue;
    // The first key stands beside the dash.
    std::string rest;
    block(item, indent + 2, depth + 1, rest);
    out += rest.substr(indent + 2);
  }
}

}  // namespace

Result<std::string> emit(const Policies& policies) {
  Node root = map();
  put(root, "version", scalar("1"));
  Node groups = map();
  for (const GroupPolicy& g : policies.groups) put(groups, g.name, group_node(g));
  if (!groups.entries.empty()) put(root, "groups", std::move(groups));
  Node rules = list();
  for (const Rule& r : policies.rules) rules.items.push_back(rule_node(r));
  std::string out;
  block(root, 0, 0, out);
  if (!rules.items.empty()) {
    out += "rules:\n";
    block(rules, 2, 2, out);
  }
  if (!is_utf8(out)) return fail(EILSEQ, "a name or a text is not UTF-8, which a policy file cannot hold");
  return out;
}

}  // namespace cgx::policy
