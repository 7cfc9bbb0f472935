// SPDX-License-Identifier: Apache-2.0
// Inside container/ and image/: JSON that is not trusted, as a tree that knows where everything stands. Refused: more
// than 16 MiB, nesting deeper than 64, lists and objects with more than 10,000 members, half a million values, a key
// that stands twice in one object, NUL within a text. `null` is as if it was not there.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cgx/sys/result.h"

namespace cgx::container::json {

inline constexpr std::size_t most_text = 16U << 20U;
inline constexpr std::size_t most_depth = 64;
inline constexpr std::size_t most_members = 10'000;
inline constexpr std::size_t most_nodes = 500'000;

enum class Kind : std::uint8_t { null, boolean, natural, negative, real, text, list, object };

// The values one after the other, each before what it holds.
struct Node {
  Kind kind = Kind::null;
  std::uint32_t parent = 0;
  std::uint32_t end = 0;     // the index behind this value and all that it holds
  std::uint32_t count = 0;   // members
  std::string_view key;      // in an object
  std::string_view text;     // also of a real number, as it was written
  std::uint64_t number = 0;  // natural; negative as its two's complement; boolean
};

struct Tree {
  std::vector<Node> nodes;
  std::string pool;  // what keys and texts point into: never grows over its first capacity
};

// A value of a tree that outlives it, or the lack of one at a place.
class Value {
 public:
  Value() = default;
  Value(const Tree& tree, std::uint32_t index) : tree_(&tree), index_(index) {}

  [[nodiscard]] bool there() const { return index_ != no_index && node().kind != Kind::null; }
  [[nodiscard]] Kind kind() const { return index_ == no_index ? Kind::null : node().kind; }
  [[nodiscard]] std::string_view key() const { return index_ == no_index ? key_ : node().key; }
  [[nodiscard]] std::size_t size() const { return index_ == no_index ? 0 : node().count; }
  // The member of an object, or the lack of one.
  [[nodiscard]] Value operator[](std::string_view key) const;

  // Each answers an error that names the place and the value where it is not of this kind or not in the range.
  [[nodiscard]] Result<bool> boolean() const;
  [[nodiscard]] Result<std::string_view> text() const;  // of the tree
  [[nodiscard]] Result<std::uint64_t> natural(std::uint64_t low, std::uint64_t high) const;
  [[nodiscard]] Result<std::int64_t> integer(std::int64_t low, std::int64_t high) const;
  [[nodiscard]] Result<> expect(Kind kind) const;  // list or object
  // Of a string, which may have a NUL in it, or of a real number as it was written; else empty.
  [[nodiscard]] std::string_view raw_text() const { return index_ == no_index ? std::string_view() : node().text; }

  // `process.rlimits[2].type`.
  [[nodiscard]] std::string place() const;
  // EINVAL: `PLACE: "VALUE" WHAT`.
  [[nodiscard]] std::unexpected<Error> wrong(std::string what) const;
  [[nodiscard]] std::unexpected<Error> missing() const;

  // The members of a list or an object, in the order of the text.
  class Iterator;
  [[nodiscard]] Iterator begin() const;
  [[nodiscard]] Iterator end() const;

 private:
  static constexpr std::uint32_t no_index = std::numeric_limits<std::uint32_t>::max();
  [[nodiscard]] const Node& node() const { return tree_->nodes[index_]; }
  const Tree* tree_ = nullptr;
  std::uint32_t index_ = no_index;
  std::uint32_t parent_ = no_index;  // of what is not there
  std::string_view key_;
};

class Value::Iterator {
 public:
  Iterator(const Tree* tree, std::uint32_t at) : tree_(tree), at_(at) {}
  Value operator*() const { return {*tree_, at_}; }
  Iterator& operator++() {
    at_ = tree_->nodes[at_].end;
    return *this;
  }
  bool operator==(const Iterator& other) const { return at_ == other.at_; }

 private:
  const Tree* tree_;
  std::uint32_t at_;
};

// The tree of `text`, whose first node is an object. EINVAL: no JSON, with line and column; E2BIG: over a bound.
[[nodiscard]] Result<Tree> parse(std::string_view text);

// EINVAL, of a place that is known by its name only.
[[nodiscard]] std::unexpected<Error> wrong_at(std::string place, std::string_view value, std::string what);

// fill() reads a value into `to`, and leaves it as it is where there is none. A type of the specification has an
// overload in its own file; these are of plain types, optional ones and lists.
[[nodiscard]] Result<> fill(bool& to, const Value& from);
[[nodiscard]] Result<> fill(std::string& to, const Value& from);
[[nodiscard]] Result<> fill(std::vector<std::pair<std::string, std::string>>& to, const Value& from);

template <std::integral T>
[[nodiscard]] Result<> fill_within(T& to,
                                   const Value& from,
                                   T low = std::numeric_limits<T>::min(),
                                   T high = std::numeric_limits<T>::max()) {
  if (!from.there()) return {};
  if constexpr (std::is_signed_v<T>) {
    to = static_cast<T>(CGX_TRY(from.integer(low, high)));
  } else {
    to = static_cast<T>(CGX_TRY(from.natural(low, high)));
  }
  return {};
}

template <std::integral T>
[[nodiscard]] Result<> fill(T& to, const Value& from) {
  return fill_within(to, from);
}

template <class T>
[[nodiscard]] Result<> fill(std::optional<T>& to, const Value& from) {
  if (!from.there()) return {};
  return fill(to.emplace(), from);
}

template <class T>
[[nodiscard]] Result<> fill(std::vector<T>& to, const Value& from) {
  if (!from.there()) return {};
  CGX_CHECK(from.expect(Kind::list));
  to.reserve(from.size());
  for (const Value item : from) {
    if (!item.there()) return item.wrong("must not be null");
    CGX_CHECK(fill(to.emplace_back(), item));
  }
  return {};
}

// The same for what must be there.
template <class T>
[[nodiscard]] Result<> need(T& to, const Value& from) {
  if (!from.there()) return from.missing();
  return fill(to, from);
}

}  // namespace cgx::container::json
