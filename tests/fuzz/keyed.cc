// SPDX-License-Identifier: Apache-2.0
// Keyed files, lines, words, pairs, escapes, hints and the text of errors: whatever a file or a user holds.
#include <algorithm>

#include "cgx/sys/text.h"

#include "fuzz.h"

namespace sys = cgx::sys;

void cgx::fuzz::one(std::string_view input) {
  // The first line is the key to look for, the rest the file.
  const std::size_t end = std::min(input.find('\n'), input.size());
  const std::string_view key = input.substr(0, end);
  const std::string_view file = input.substr(std::min(end + 1, input.size()));

  if (const auto value = sys::keyed(file, key)) {
    const std::string line = std::string(key) + " " + std::string(*value);
    FUZZ_CHECK(std::ranges::count(sys::split(file, '\n'), std::string_view(line)) >= 1);
    const auto n = sys::keyed_u64(file, key);
    FUZZ_CHECK(n.has_value() == sys::parse_u64(*value).has_value());
  } else {
    FUZZ_CHECK(!sys::keyed_u64(file, key).has_value());
  }

  std::string joined;
  for (const std::string_view line : sys::lines(input)) {
    FUZZ_CHECK(line.find('\n') == std::string_view::npos);
    joined.append(line) += '\n';
  }
  if (!input.empty() && input != "\n") FUZZ_CHECK(joined == std::string(input) + (input.ends_with('\n') ? "" : "\n"));
  for (const std::string_view word : sys::words(input))
    FUZZ_CHECK(!word.empty() && word.find_first_of(" \t\n") == std::string_view::npos);

  FUZZ_CHECK(sys::trim(sys::trim(input)) == sys::trim(input));
  if (const auto pair = sys::parse_pair(input)) {
    FUZZ_CHECK(!pair->first.empty() && !pair->second.empty());
    FUZZ_CHECK(pair->first.size() + pair->second.size() + 1 == input.size());
    FUZZ_CHECK(pair->first.find('=') == std::string_view::npos);
  }

  const std::string plain = sys::unescape_octal(input);
  FUZZ_CHECK(plain.size() <= input.size());
  if (input.find('\\') == std::string_view::npos) FUZZ_CHECK(plain == input);

  const std::vector<std::string_view> known = sys::words(file.substr(0, 200));
  const std::string_view hint = sys::nearest(key, known);
  FUZZ_CHECK(hint.empty() || std::ranges::count(known, hint) >= 1);

  const std::string text = bad_value(input, "is wrong").error().text();
  FUZZ_CHECK(std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) >= ' ' && c != 0x7f; }));
}
