// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/json_tree.h"

#include <algorithm>
#include <cerrno>
#include <exception>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace cgx::container::json {
namespace {

std::unexpected<Error> too_big(std::string place, std::string what) {
  Error error{.code = E2BIG, .what = std::move(what), .group = {}, .knob = std::move(place), .value = {}, .hint = {}};
  error.fault = Fault::usage;
  return std::unexpected(std::move(error));
}

// What the parser calls: each function answers whether it is to go on.
class Builder {
 public:
  using Json = nlohmann::json;

  Builder(Tree& tree, std::string_view text) : tree_(tree), text_(text) {}

  bool null() { return add(Kind::null); }
  bool boolean(bool b) { return add(Kind::boolean, b ? 1 : 0); }
  bool number_integer(Json::number_integer_t n) { return add(Kind::negative, static_cast<std::uint64_t>(n)); }
  bool number_unsigned(Json::number_unsigned_t n) { return add(Kind::natural, n); }
  bool number_float(Json::number_float_t, const std::string& written) {
    return add(Kind::real) && (tree_.nodes.back().text = keep(written), true);
  }
  bool string(std::string& text) { return add(Kind::text) && (tree_.nodes.back().text = keep(text), true); }
  bool binary(Json::binary_t&) { return false; }  // has no JSON text
  bool key(std::string& text) {
    key_ = keep(text);
    return true;
  }
  bool start_object(std::size_t) { return open(Kind::object); }
  bool start_array(std::size_t) { return open(Kind::list); }
  bool end_object() { return unique_keys(open_.back()) && close(); }
  bool end_array() { return close(); }

  bool parse_error(std::size_t position, const std::string& token, const nlohmann::detail::exception&) {
    const std::string_view before = text_.substr(0, position == 0 ? 0 : position - 1);
    const auto line = static_cast<std::size_t>(std::ranges::count(before, '\n')) + 1;
    const std::size_t start = before.rfind('\n');
    const std::size_t column = before.size() - (start == std::string_view::npos ? 0 : start + 1) + 1;
    problem_ = wrong_at(fmt::format("line {}, column {}", line, column), token, "is not JSON here").error();
    return false;
  }

  [[nodiscard]] std::optional<Error> problem() const { return problem_; }

 private:
  std::string_view keep(std::string_view text) {
    // Escapes are longer than what they stand for, so all texts together fit into what was reserved.
    const std::size_t at = tree_.pool.size();
    tree_.pool += text;
    return std::string_view(tree_.pool).substr(at);
  }

  bool stop(std::unexpected<Error> error) {
    problem_ = std::move(error).error();
    return false;
  }

  bool add(Kind kind, std::uint64_t number = 0) {
    if (tree_.nodes.size() >= most_nodes) return stop(too_big({}, "has too many values"));
    const auto index = static_cast<std::uint32_t>(tree_.nodes.size());
    const std::uint32_t parent = open_.empty() ? 0 : open_.back();
    if (!open_.empty() && ++tree_.nodes[parent].count > most_members)
      return stop(too_big(Value(tree_, parent).place(), fmt::format("has more than {} elements", most_members)));
    tree_.nodes.push_back(
        {.kind = kind, .parent = parent, .end = index + 1, .key = std::exchange(key_, {}), .number = number});
    return true;
  }

  bool open(Kind kind) {
    if (open_.size() >= most_depth) return stop(too_big({}, fmt::format("is nested deeper than {}", most_depth)));
    if (!add(kind)) return false;
    open_.push_back(static_cast<std::uint32_t>(tree_.nodes.size()) - 1);
    return true;
  }

  bool close() {
    tree_.nodes[open_.back()].end = static_cast<std::uint32_t>(tree_.nodes.size());
    open_.pop_back();
    return true;
  }

  bool unique_keys(std::uint32_t object) {
    tree_.nodes[object].end = static_cast<std::uint32_t>(tree_.nodes.size());
    keys_.clear();
    for (const Value member : Value(tree_, object)) keys_.push_back(member.key());
    std::ranges::sort(keys_);
    const auto twice = std::ranges::adjacent_find(keys_);
    if (twice == keys_.end()) return true;
    return stop(wrong_at(Value(tree_, object).place(), *twice, "stands twice"));
  }

  Tree& tree_;
  std::string_view text_;
  std::string_view key_;
  std::vector<std::uint32_t> open_;
  std::vector<std::string_view> keys_;
  std::optional<Error> problem_;
};

std::string_view name_of(Kind kind) { return kind == Kind::list ? "a list" : "an object"; }

}  // namespace

std::unexpected<Error> wrong_at(std::string place, std::string_view value, std::string what) {
  auto error = bad_value(value, std::move(what));
  error.error().knob = std::move(place);
  return error;
}

Result<Tree> parse(std::string_view text) {
  if (text.size() > most_text) return too_big({}, fmt::format("is larger than {} bytes", most_text));
  Tree tree;
  tree.pool.reserve(std::max<std::size_t>(text.size(), 64));  // never within the object itself: a move keeps the views
  tree.nodes.reserve(std::min<std::size_t>(text.size() / 16 + 1, 4096));
  Builder builder(tree, text);
  try {
    if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
      if (auto problem = builder.problem()) return std::unexpected(*std::move(problem));
      return wrong_at({}, {}, "is not JSON");
    }
  } catch (const std::exception& e) {
    return wrong_at({}, {}, e.what());
  }
  CGX_CHECK(Value(tree, 0).expect(Kind::object));
  return tree;
}

Value Value::operator[](std::string_view key) const {
  if (kind() == Kind::object)
    for (const Value member : *this)
      if (member.key() == key) return member;
  Value lack;
  lack.tree_ = tree_;
  lack.parent_ = index_ == no_index ? parent_ : index_;
  lack.key_ = key;
  return lack;
}

Value::Iterator Value::begin() const { return {tree_, index_ == no_index ? 0 : index_ + 1}; }
Value::Iterator Value::end() const { return {tree_, index_ == no_index ? 0 : node().end}; }

std::string Value::place() const {
  std::string text;
  if (tree_ == nullptr) return text;
  std::uint32_t at = index_;
  if (index_ == no_index) {
    text = key_;
    at = parent_;
  }
  // The root has no name.
  while (at != no_index && at != 0) {
    const Node& node = tree_->nodes[at];
    std::string part(node.key);
    if (tree_->nodes[node.parent].kind == Kind::list) {
      std::size_t index = 0;
      for (std::uint32_t i = node.parent + 1; i != at; i = tree_->nodes[i].end) ++index;
      part = fmt::format("[{}]", index);
    }
    if (!text.empty() && !text.starts_with('[')) part += '.';
    text.insert(0, part);
    at = node.parent;
  }
  return text;
}

std::unexpected<Error> Value::wrong(std::string what) const {
  std::string value;
  switch (kind()) {
    case Kind::boolean:
      value = node().number != 0 ? "true" : "false";
      break;
    case Kind::natural:
      value = std::to_string(node().number);
      break;
    case Kind::negative:
      value = std::to_string(static_cast<std::int64_t>(node().number));
      break;
    case Kind::real:
    case Kind::text:
      value = node().text;
      break;
    case Kind::null:
    case Kind::list:
    case Kind::object:
      break;
  }
  return wrong_at(place(), value, std::move(what));
}

std::unexpected<Error> Value::missing() const { return wrong_at(place(), {}, "is missing"); }

Result<> Value::expect(Kind wanted) const {
  if (kind() != wanted) return wrong(fmt::format("must be {}", name_of(wanted)));
  return {};
}

Result<bool> Value::boolean() const {
  if (kind() != Kind::boolean) return wrong("must be true or false");
  return node().number != 0;
}

Result<std::string_view> Value::text() const {
  if (kind() != Kind::text) return wrong("must be a string");
  if (node().text.contains('\0')) return wrong("must not contain a NUL");
  return node().text;
}

Result<std::uint64_t> Value::natural(std::uint64_t low, std::uint64_t high) const {
  const Kind is = kind();
  if (is != Kind::natural && is != Kind::negative) return wrong("must be a whole number");
  if (is == Kind::negative || node().number < low || node().number > high)
    return wrong(fmt::format("must be from {} to {}", low, high));
  return node().number;
}

Result<std::int64_t> Value::integer(std::int64_t low, std::int64_t high) const {
  const Kind is = kind();
  if (is != Kind::natural && is != Kind::negative) return wrong("must be a whole number");
  const auto number = static_cast<std::int64_t>(node().number);
  const bool fits =
      is == Kind::negative || node().number <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!fits || number < low || number > high) return wrong(fmt::format("must be from {} to {}", low, high));
  return number;
}

Result<> fill(bool& to, const Value& from) {
  if (from.there()) to = CGX_TRY(from.boolean());
  return {};
}

Result<> fill(std::string& to, const Value& from) {
  if (from.there()) to = CGX_TRY(from.text());
  return {};
}

Result<> fill(std::vector<std::pair<std::string, std::string>>& to, const Value& from) {
  if (!from.there()) return {};
  CGX_CHECK(from.expect(Kind::object));
  to.reserve(from.size());
  for (const Value member : from) {
    if (member.key().contains('\0')) return member.wrong("has a NUL in its key");
    to.emplace_back(std::string(member.key()), CGX_TRY(member.text()));
  }
  return {};
}

}  // namespace cgx::container::json
