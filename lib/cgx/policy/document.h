// SPDX-License-Identifier: Apache-2.0
// One YAML document as a tree that knows where everything stands, read without trust: its size, its depth and the
// growth of its aliases are bounded, and what could be read in two ways is refused. Knows nothing of policies.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/policy/policy.h"

namespace cgx::policy {

struct Entry;

struct Node {
  enum class Kind : std::uint8_t { null, scalar, list, map };
  Kind kind = Kind::null;
  bool quoted = false;  // of a scalar: "0" is a word, 0 a number
  unsigned line = 0;    // from 1
  unsigned column = 0;  // from 1, in characters
  std::string text;     // of a scalar
  std::vector<Node> items;
  std::vector<Entry> entries;  // in the order of the file, each key once; `<<` has been merged in
  [[nodiscard]] const Entry* find(std::string_view key) const;
};

struct Entry {
  std::string key;
  unsigned line = 0;
  unsigned column = 0;
  Node value;
};

inline constexpr std::size_t most_document_bytes = 1U << 20U;

// The tree of `text`; nullopt where it is no YAML that may be read. What is wrong is added to `problems`, with `file`
// in the places. Refused: over 1 MiB, other than UTF-8, control characters, several documents, tags, duplicate keys,
// keys that are no plain words, nesting deeper than 32, aliases that grow beyond measure or stand within their own
// anchor. With duplicate keys there still is a tree, so that everything else is told of too.
[[nodiscard]] std::optional<Node> parse_document(std::string_view text,
                                                 const std::string& file,
                                                 std::vector<Problem>& problems);

// The first bytes of the text, `most` at most, and no part of a character.
[[nodiscard]] std::string_view whole_characters(std::string_view text, std::size_t most);

// What a file says, for sentences: it may be anything, also escapes that move a terminal's cursor, and long. The answer
// is text that a document may hold, on one line.
[[nodiscard]] std::string printable(std::string_view text, std::size_t most = 80);

// Whether a document may hold the text: UTF-8, and no control characters but tabs and ends of lines.
[[nodiscard]] bool is_utf8(std::string_view text);

}  // namespace cgx::policy
