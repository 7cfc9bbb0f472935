// SPDX-License-Identifier: Apache-2.0
#include "cgx/policy/read.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include <fmt/format.h>

#include "cgx/sys/harmless.h"

namespace cgx::policy {
namespace {

// "a, b or c" of "a|b|c".
std::string alternatives(std::string_view words) {
  const auto parts = sys::split(words, '|');
  std::string out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out += i + 1 == parts.size() ? " or " : ", ";
    out += parts[i];
  }
  return out;
}

// What a single value in the place of a group's limits most likely is.
struct FirstLimit {
  std::string_view key, limit;
};
constexpr std::array first_limits{
    FirstLimit{".pids", "max"},
    FirstLimit{".memory", "max"},
    FirstLimit{".cpu", "quota"},
};

std::string first_limit(std::string_view path, const Node& node) {
  if (node.kind != Node::Kind::scalar) return {};
  const auto row = std::ranges::find_if(first_limits, [&](const FirstLimit& r) { return path.ends_with(r.key); });
  return row == first_limits.end() ? std::string() : fmt::format("{{{}: {}}}", row->limit, printable(node.text));
}

// The section of limits that a path ends in; empty: none.
std::string_view section_at(std::string_view path) {
  const auto at = std::ranges::find(sections(), path.substr(path.rfind('.') + 1), &Section::name);
  return at == sections().end() ? std::string_view() : at->name;
}

// What to write in place of a limit that is called as its flag, as a file of the kernel, or as its whole key; empty
// where it is none, or where none has a place. `section`: the one that the map is; `known`: the keys that it may have.
std::string as_limit(const Entry& e, std::string_view section, const std::vector<std::string_view>& known) {
  const auto may_have = [&](std::string_view key) { return std::ranges::find(known, key) != known.end(); };
  if (may_have("groups") && std::ranges::find(sections(), e.key, &Section::name) != sections().end())
    return fmt::format("write groups: {{NAME: {{{}: ...}}}}", e.key);
  const Knob* knob = nullptr;
  for (const Knob* k : {find_knob(e.key), find_key(e.key), find_knob(fmt::format("{}.{}", section, e.key))})
    if (knob == nullptr && k != nullptr && !k->key.empty()) knob = k;
  if (knob == nullptr) return {};
  const std::string value = e.value.kind == Node::Kind::scalar ? printable(e.value.text) : "...";
  const std::string_view own = section_of(knob->key);
  const std::string inner = fmt::format("{}: {}", name_of(knob->key), value);
  const std::string whole =
      own == knob->key ? fmt::format("{}: {}", own, value) : fmt::format("{}: {{{}}}", own, inner);
  if (may_have(own)) return "write " + whole;
  if (own == section) return may_have(name_of(knob->key)) ? "write " + inner : std::string();
  if (!section.empty()) return fmt::format("write {} beside {}", whole, section);
  // The file as a whole.
  return may_have("groups") ? fmt::format("write groups: {{NAME: {{{}}}}}", whole) : std::string();
}

// A number, or a name that `look` knows.
template <class Look>
Result<std::uint32_t> look_up(std::string_view name, std::string_view what, Look look) {
  if (const auto n = sys::parse_u64(name, 0, 0xfffffffe)) return static_cast<std::uint32_t>(*n);
  CGX_TRY(check_user(name, what));
  if (const auto id = look(std::string(name))) return static_cast<std::uint32_t>(*id);
  auto none = bad_value(name, fmt::format("is no {} of this host", what));
  none.error().code = ENOENT;
  return none;
}

}  // namespace

Reader::Step::Step(Reader& reader, std::string_view part, unsigned line, unsigned column)
    : reader_(&reader), length_(reader.path_.size()), line_(reader.line_), column_(reader.column_) {
  if (!reader.path_.empty() && !part.starts_with('[')) reader.path_ += '.';
  reader.path_ += part;
  reader.line_ = line;
  reader.column_ = column;
}

Reader::Step::~Step() {
  reader_->path_.resize(length_);
  reader_->line_ = line_;
  reader_->column_ = column_;
}

Reader::Step Reader::in(const Entry& entry) { return {*this, printable(entry.key), entry.line, entry.column}; }

Reader::Step Reader::in(std::size_t index, const Node& item) {
  return {*this, fmt::format("[{}]", index), item.line, item.column};
}

void Reader::say(std::string what, std::string hint, bool warning) {
  if (told_ > most_told) return;
  if (told_++ == most_told) {
    what = fmt::format("after {} problems of this file no more are told", most_told);
    hint.clear();
    warning = false;
  }
  // What is quoted from the file is one line that no terminal takes for commands.
  for (std::string* text : {&what, &hint}) *text = sys::harmless(*text);
  problems_->push_back({place(), path_, std::move(what), std::move(hint), warning});
}

std::string_view Reader::kind(const Node& node) {
  switch (node.kind) {
    case Node::Kind::null:
      return "nothing";
    case Node::Kind::scalar:
      return "a single value";
    case Node::Kind::list:
      return "a list";
    case Node::Kind::map:
      break;
  }
  return "a map";
}

bool Reader::map(const Node& node) {
  if (node.kind != Node::Kind::map)
    wrong(fmt::format("takes a map (KEY: VALUE), not {}", kind(node)),
          node.kind == Node::Kind::null ? "an empty map is {}" : first_limit(path_, node));
  return node.kind == Node::Kind::map;
}

bool Reader::list(const Node& node) {
  if (node.kind != Node::Kind::list) wrong(fmt::format("takes a list, not {}", kind(node)));
  return node.kind == Node::Kind::list;
}

std::optional<std::string> Reader::text(const Node& node) {
  if (node.kind == Node::Kind::scalar) return node.text;
  wrong(node.kind == Node::Kind::null ? std::string("has no value")
                                      : fmt::format("takes a single value, not {}", kind(node)));
  return {};
}

std::optional<bool> Reader::boolean(const Node& node) {
  const auto value = text(node);
  if (!value) return {};
  if (!node.quoted && (*value == "true" || *value == "false")) return *value == "true";
  wrong(fmt::format("\"{}\" is neither true nor false", printable(*value)));
  return {};
}

std::optional<std::size_t> Reader::word(const Node& node, std::string_view words) {
  const auto value = text(node);
  if (!value) return {};
  const auto parts = sys::split(words, '|');
  const auto at = std::ranges::find(parts, *value);
  if (at != parts.end()) return static_cast<std::size_t>(at - parts.begin());
  const std::string_view near = sys::nearest(*value, parts);
  wrong(fmt::format("\"{}\" is not {}", printable(*value), alternatives(words)),
        near.empty() ? "" : fmt::format("did you mean {}?", near));
  return {};
}

std::optional<std::uint64_t> Reader::time(const Node& node, std::uint64_t low, std::uint64_t high) {
  const auto value = text(node);
  if (!value) return {};
  const auto n = sys::parse_time(*value);
  if (!n) {
    wrong(n.error());
    return {};
  }
  if (*n >= low && *n <= high) return *n;
  if (low == 1 && *n == 0)
    wrong(fmt::format("\"{}\" is no time at all", printable(*value)));
  else if (high >= 1ULL << 60U)
    wrong(fmt::format("\"{}\" is less than {}", printable(*value), sys::format_time(low)));
  else
    wrong(fmt::format("\"{}\" is not from {} to {}",
                      printable(*value),
                      low == 1 ? "1us" : sys::format_time(low),
                      sys::format_time(high)));
  return {};
}

std::optional<std::uint64_t> Reader::size(const Node& node) {
  const auto value = text(node);
  if (!value) return {};
  const auto n = sys::parse_size(*value);
  if (!n) {
    wrong(n.error());
    return {};
  }
  if (*n != 0 && *n != sys::unlimited) return *n;
  wrong(fmt::format("\"{}\" is no bound; a size above 0 is (like 512M, 2G)", printable(*value)));
  return {};
}

std::optional<Amount> Reader::amount(const Node& node, unsigned most_percent) {
  const auto value = text(node);
  if (!value) return {};
  if (!value->ends_with('%')) {
    const auto n = sys::parse_size(*value);
    if (n && *n != 0 && *n != sys::unlimited) return Amount{.bytes = *n, .percent = 0};
    wrong(fmt::format("\"{}\" is neither a size nor a percentage (like 64M, 25%)", printable(*value)));
    return {};
  }
  const auto n = sys::parse_u64(std::string_view(*value).substr(0, value->size() - 1), 1, most_percent);
  if (n) return Amount{.bytes = 0, .percent = static_cast<unsigned>(*n)};
  wrong(fmt::format("\"{}\" is not a whole percentage from 1% to {}%", printable(*value), most_percent));
  return {};
}

std::optional<std::string> Reader::group(const Node& node) {
  const auto value = text(node);
  if (!value) return {};
  auto name = parse_group_name(*value);
  if (name && !name->empty()) return *name;
  if (!name)
    wrong(name.error());
  else
    wrong(fmt::format("\"{}\" is the root group, which has no limits", printable(*value)));
  return {};
}

void Reader::only(const Node& map,
                  std::span<const Field> fields,
                  const std::vector<std::string_view>& more,
                  std::string_view later) {
  std::vector<std::string_view> known = more;
  for (const Field& f : fields) known.push_back(f.name);
  const std::string_view section = section_at(path_);
  for (const Entry& e : map.entries) {
    if (std::ranges::find(known, e.key) != known.end() || (!later.empty() && e.key == later)) continue;
    const Step step = in(e);
    const std::string_view near = sys::nearest(e.key, known);
    std::string what = "is not a key that belongs here";
    std::string all;
    for (const std::string_view k : known) all += fmt::format("{}{}", all.empty() ? "" : ", ", k);
    if (std::string limit = as_limit(e, section, known); !limit.empty())
      wrong(std::move(what), std::move(limit));
    else if (near.empty())
      wrong(std::move(what), fmt::format("there {} {}", known.size() == 1 ? "is" : "are", all));
    else
      wrong(fmt::format("{}; did you mean {}?", what, near));
  }
  for (const Field& f : fields)
    if (f.required && map.find(f.name) == nullptr) wrong(fmt::format("needs {}", f.name), std::string(f.doc));
}

Result<std::uint32_t> Reader::user_number(std::string_view name) {
  return look_up(name, user_word, [this](const std::string& n) { return names_.user_id(n); });
}

Result<std::uint32_t> Reader::group_number(std::string_view name) {
  return look_up(name, users_word, [this](const std::string& n) { return names_.group_id(n); });
}

Result<> check_user(std::string_view name, std::string_view word) {
  if (name.empty() || name.starts_with('-') || name.size() > 255 ||
      name.find_first_of(std::string_view(" \t\n\r/:\0", 7)) != std::string_view::npos)
    return bad_value(name, fmt::format("is no name of a {}", word));
  return {};
}

Result<int> parse_signal(std::string_view text) {
  if (const auto n = sys::parse_u64(text, 1, static_cast<std::uint64_t>(SIGRTMAX))) return static_cast<int>(*n);
  const std::string_view name = text.starts_with("SIG") ? text.substr(3) : text;
  for (int n = 1; n < 32; ++n)
    if (const char* known = sigabbrev_np(n); known != nullptr && name == known) return n;
  return bad_value(text, "is not a signal (like TERM, KILL, 15)");
}

}  // namespace cgx::policy
