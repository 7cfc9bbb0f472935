// SPDX-License-Identifier: Apache-2.0
#include "table.h"

#include <algorithm>

#include <fmt/format.h>

#include "cgx/sys/harmless.h"

namespace cgx::launcher {
namespace {

bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }

void pad(std::string& line, std::size_t blanks) { line.append(blanks, ' '); }

}  // namespace

std::size_t shown_width(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, begins_character));
}

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = sys::shown_length(text);
    if (length != 0)
      out += text.substr(0, length);
    else if (text[0] == '\n')
      out += "\\n";
    else if (text[0] == '\t')
      out += "\\t";
    else if (text[0] == '\r')
      out += "\\r";
    else
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

std::string shortened(std::string_view text, std::size_t columns) {
  if (shown_width(text) <= columns) return std::string(text);
  std::size_t at = 0;
  for (std::size_t seen = 0; at < text.size(); ++at)
    if (begins_character(text[at]) && ++seen == columns) break;
  return fmt::format("{}~", text.substr(0, at));
}

std::string table_text(const std::vector<Column>& columns, const std::vector<Cells>& rows) {
  std::vector<std::size_t> widths;
  widths.reserve(columns.size());
  for (const Column& c : columns) widths.push_back(c.heading.size());
  std::vector<Cells> safe = rows;
  for (Cells& row : safe)
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      row[i] = escaped(row[i]);
      widths[i] = std::max(widths[i], shown_width(row[i]));
    }
  std::string out;
  const auto add = [&](std::size_t i, std::string_view text) {
    const std::size_t blanks = widths[i] - shown_width(text);
    if (i > 0) pad(out, 2);
    if (columns[i].align == Column::Align::right) pad(out, blanks);
    out += text;
    if (columns[i].align == Column::Align::left && i + 1 < widths.size()) pad(out, blanks);
  };
  const auto end_line = [&] {
    out.erase(out.find_last_not_of(' ') + 1);
    out += '\n';
  };
  for (std::size_t i = 0; i < columns.size(); ++i) add(i, columns[i].heading);
  end_line();
  for (const Cells& row : safe) {
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i) add(i, row[i]);
    end_line();
  }
  return out;
}

std::string command_text(const std::vector<std::string>& words) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
  std::string out;
  for (const std::string& word : words) {
    if (!out.empty()) out += ' ';
    if (!word.empty() && word.find_first_not_of(plain) == std::string::npos)
      out += word;
    else
      out += fmt::format("\"{}\"", word);
    if (out.size() > 4096) break;  // nobody reads on
  }
  return out;
}

}  // namespace cgx::launcher
