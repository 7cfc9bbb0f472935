// SPDX-License-Identifier: Apache-2.0
#include "format.h"

#include <algorithm>
#include <cerrno>

#include "cgx/sys/text.h"

#include "table.h"

namespace cgx::launcher {
namespace {

// What a shell hands on as two characters is a tab and a newline for docker.
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char next = i + 1 < text.size() ? text[i + 1] : '\0';
    if (text[i] == '\\' && (next == 't' || next == 'n')) {
      out += next == 't' ? '\t' : '\n';
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Columns as docker's: three blanks apart, and ten characters wide at least.
std::string aligned(std::string_view text) {
  constexpr std::size_t least = 10, apart = 3;
  std::vector<std::vector<std::string>> lines;
  std::vector<std::size_t> widths;
  for (const std::string_view line : sys::lines(text)) {
    std::vector<std::string>& cells = lines.emplace_back();
    for (const std::string_view cell : sys::split(line, '\t')) cells.push_back(escaped(cell));
    for (std::size_t i = 0; i + 1 < cells.size(); ++i) {
      if (i == widths.size()) widths.push_back(least);
      widths[i] = std::max(widths[i], shown_width(cells[i]) + apart);
    }
  }
  std::string out;
  for (const auto& cells : lines) {
    for (std::size_t i = 0; i < cells.size(); ++i) {
      out += cells[i];
      if (i + 1 < cells.size()) out.append(widths[i] - shown_width(cells[i]), ' ');
    }
    out += '\n';
  }
  return out;
}

}  // namespace

Result<Format> Format::parse(std::string_view text, std::span<const Field> fields) {
  std::string wanted = unescaped(text);
  const bool table = wanted.starts_with("table") && wanted.size() > 5 && (wanted[5] == ' ' || wanted[5] == '\t');
  if (table) wanted = sys::trim(std::string_view(wanted).substr(5));
  if (text == "json") wanted = "{{json .}}";
  auto parsed = located(Template::parse(wanted), "", "--format");
  if (!parsed) return std::unexpected(std::move(parsed).error());
  Format made(std::move(*parsed));
  made.table_ = table;
  Members headings;
  for (const Field& field : fields)
    headings.push_back(
        {.key = std::string(field.name), .value = Value::text(std::string(field.heading)), .how = field.how});
  made.headings_ = Value::object(std::move(headings));
  // A field that no row has is wrong where there is no row, too; all else may be wrong of the headings alone.
  const auto tried = located(made.template_.run(made.headings_), "", "--format");
  if (!tried && (tried.error().code == ENOENT || table)) return std::unexpected(tried.error());
  return made;
}

Result<std::string> Format::text(const std::vector<Value>& rows) const {
  std::string out;
  if (table_) out = CGX_TRY(located(template_.run(headings_), "", "--format")) + "\n";
  for (const Value& row : rows) out += CGX_TRY(located(template_.run(row), "", "--format")) + "\n";
  return table_ ? aligned(out) : out;
}

}  // namespace cgx::launcher
