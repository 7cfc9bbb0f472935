// SPDX-License-Identifier: Apache-2.0
// Tables of ls, top and stats. What they show comes from images and containers: nothing of it may move a terminal's
// cursor or break a line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cgx::launcher {

// Control characters, those of Unicode too, and bytes that are no UTF-8 as \n, \t, \r and \x1b; `\` as it is.
[[nodiscard]] std::string escaped(std::string_view text);
// The characters of an escaped text.
[[nodiscard]] std::size_t shown_width(std::string_view text);
// At most `columns` characters of an escaped text, the last one of a longer text being `~`.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t columns);

struct Column {
  std::string heading;
  enum class Align : std::uint8_t { left, right } align = Align::left;
};
using Cells = std::vector<std::string>;

// A line of headings and a line a row, columns two blanks apart, without blanks at the end of a line. Cells are
// escaped.
[[nodiscard]] std::string table_text(const std::vector<Column>& columns, const std::vector<Cells>& rows);

// Words as a shell would read them, so that `sh -c "a b"` is told from `sh -c a b`.
[[nodiscard]] std::string command_text(const std::vector<std::string>& words);

}  // namespace cgx::launcher
