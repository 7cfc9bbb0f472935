// SPDX-License-Identifier: Apache-2.0
// Inside gen_man: a page of man(7), and the parts of it that are made from the rows of knobs.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cgx/model/knob.h"

namespace cgx::man {

// Text as man(7) wants it: backslashes, and dots and quotes at the start of a line, mean themselves.
[[nodiscard]] std::string escaped(std::string_view text);
// The same where a '-' is one that people type, not a hyphen.
[[nodiscard]] std::string literal(std::string_view text);

// A row's doc as a sentence: it starts with a small letter and has no full stop there. The letter stays small where the
// doc begins with a value as it is typed: one of `words`, a default, or what has a sign in it as no English word has.
[[nodiscard]] std::string sentence(std::string_view doc, std::span<const std::string> words = {});
// `kill|pause`: the words; none where the text has no alternatives.
[[nodiscard]] std::vector<std::string> words_of(std::string_view alternatives);

// Builds one page; lines of at most 78 bytes, so that mandoc(1) has nothing to say.
class Page {
 public:
  Page(std::string_view title, int section, std::string_view date, std::string_view version);
  Page& section(std::string_view heading);
  Page& subsection(std::string_view heading);
  // Paragraphs of the text are apart by empty lines.
  Page& paragraphs(std::string_view text);
  // A paragraph with a hanging tag, in bold; `argument` in italics after it.
  Page& item(std::string_view tag, std::string_view argument, std::string_view text);
  // Lines as they are.
  Page& example(std::string_view lines);
  // man(7) source, from a fragment.
  Page& source(std::string_view text);
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  void fill(std::string_view text);
  std::string text_;
};

// The flag of a knob with its argument, for the synopsis of a limit: "SIZE"; empty for --cpu-idle.
[[nodiscard]] std::string argument_of(const Knob& knob);
// One sentence or two: what the flag does, and what it writes on v1 and on v2.
[[nodiscard]] std::string limit_text(const Knob& knob);
// Every knob, a section a controller, for cgx-knobs(7).
void add_knobs(Page& page);
// The part of cgx-policy(5) that a line of its fragment stands for (@LIMITS@ ...); false: there is none of that name.
[[nodiscard]] bool add_policy_part(Page& page, std::string_view name);
// What works on which layout, a row of Markdown a flag, for README.md.
[[nodiscard]] std::string limits_table();

}  // namespace cgx::man
