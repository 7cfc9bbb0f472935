// SPDX-License-Identifier: Apache-2.0
// From the text of a template to its steps.
#include <array>
#include <cerrno>
#include <optional>

#include <fmt/format.h>

#include "cgx/sys/text.h"

#include "template.h"

namespace cgx::launcher::templates {
namespace {

constexpr std::size_t most_template = 64U << 10U;
constexpr unsigned most_depth = 64;

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool begins_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool in_name(char c) { return begins_name(c) || is_digit(c); }

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<std::vector<Step>> whole() {
    if (text_.size() > most_template) return wrong(fmt::format("is longer than {} bytes", most_template));
    std::vector<Step> steps;
    const std::string_view end = CGX_TRY(block(steps));
    if (!end.empty()) return wrong(fmt::format("has {{{{{}}}}} without its beginning", end));
    return steps;
  }

 private:
  [[nodiscard]] std::unexpected<Error> wrong(std::string what) const { return bad_value(text_, std::move(what)); }
  [[nodiscard]] bool at_end() const { return at_ >= text_.size(); }
  [[nodiscard]] std::string_view rest() const { return text_.substr(at_); }
  [[nodiscard]] char peek() const { return at_end() ? '\0' : text_[at_]; }
  bool take(std::string_view word) {
    if (!rest().starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  void blanks() {
    while (!at_end() && is_blank(text_[at_])) ++at_;
  }

  // Up to the end of the text, or to an `end` or `else`, which is answered.
  Result<std::string_view> block(std::vector<Step>& steps) {
    if (++depth_ > most_depth) return wrong("has blocks that are nested too deep");
    while (!at_end()) {
      const std::size_t open = std::min(text_.find("{{", at_), text_.size());
      plain(steps, text_.substr(at_, open - at_));
      at_ = open;
      if (at_end()) break;
      at_ += 2;
      if (rest().starts_with("-") && rest().size() > 1 && is_blank(rest()[1])) {
        ++at_;
        trim_end(steps);
      }
      blanks();
      if (rest().starts_with("/*")) {
        const std::size_t end = text_.find("*/", at_ + 2);
        if (end == std::string_view::npos) return wrong("has a comment without its end");
        at_ = end + 2;
        CGX_CHECK(close());
        continue;
      }
      const std::string_view word = name_here();
      if (word == "end" || word == "else") {
        at_ += word.size();
        --depth_;
        return word;
      }
      CGX_CHECK(action(steps, word));
    }
    --depth_;
    return std::string_view();
  }

  void plain(std::vector<Step>& steps, std::string_view text) {
    if (trims_) {
      while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
      trims_ = false;
    }
    if (!text.empty()) steps.push_back({.kind = Step::Kind::text, .text = std::string(text)});
  }
  static void trim_end(std::vector<Step>& steps) {
    if (steps.empty() || steps.back().kind != Step::Kind::text) return;
    std::string& text = steps.back().text;
    while (!text.empty() && is_blank(text.back())) text.pop_back();
  }

  [[nodiscard]] std::string_view name_here() const {
    std::size_t n = 0;
    while (at_ + n < text_.size() && in_name(text_[at_ + n])) ++n;
    return begins_name(peek()) ? text_.substr(at_, n) : std::string_view();
  }

  Result<> action(std::vector<Step>& steps, std::string_view word) {
    static constexpr std::array<std::string_view, 5> not_known{"define", "template", "block", "break", "continue"};
    for (const std::string_view other : not_known)
      if (word == other) return wrong(fmt::format("has {{{{{}}}}}, which is not supported", other));
    Step step{.kind = word == "if"      ? Step::Kind::when
                      : word == "with"  ? Step::Kind::with
                      : word == "range" ? Step::Kind::range
                                        : Step::Kind::print};
    if (step.kind != Step::Kind::print) at_ += word.size();
    step.pipeline = CGX_TRY(pipeline(step.kind == Step::Kind::range ? 2 : 1));
    CGX_CHECK(close());
    if (step.kind != Step::Kind::print) CGX_CHECK(bodies(step));
    steps.push_back(std::move(step));
    return {};
  }

  // `else if` is an else with an if in it that ends where this one does.
  Result<> bodies(Step& step) {
    std::string_view end = CGX_TRY(block(step.body));
    if (end == "else") {
      blanks();
      if (const std::string_view word = name_here(); word == "if" || word == "with") {
        if (++depth_ > most_depth) return wrong("has blocks that are nested too deep");
        Step inner{.kind = word == "if" ? Step::Kind::when : Step::Kind::with};
        at_ += word.size();
        inner.pipeline = CGX_TRY(pipeline(1));
        CGX_CHECK(close());
        CGX_CHECK(bodies(inner));
        step.otherwise.push_back(std::move(inner));
        --depth_;
        return {};
      }
      CGX_CHECK(close());
      end = CGX_TRY(block(step.otherwise));
    }
    if (end != "end") return wrong("has a block without {{end}}");
    return close();
  }

  // The `}}` of an action.
  Result<> close() {
    blanks();
    trims_ = at_ > 0 && is_blank(text_[at_ - 1]) && rest().starts_with("-}}");
    if (trims_) ++at_;
    if (take("}}")) return {};
    if (at_end()) return wrong("has {{ without }}");
    return wrong(fmt::format("has \"{}\" where {} is expected", rest().substr(0, 20), "}}"));
  }

  [[nodiscard]] bool action_ends() const {
    return at_end() || rest().starts_with("}}") || rest().starts_with("-}}") || peek() == ')' || peek() == '|';
  }

  Result<Pipeline> pipeline(std::size_t most_declared) {
    Pipeline made;
    blanks();
    CGX_CHECK(declarations(made, most_declared));
    while (true) {
      Command command;
      for (blanks(); !action_ends(); blanks()) command.push_back(CGX_TRY(operand()));
      if (command.empty()) return wrong("has a command that is empty");
      made.commands.push_back(std::move(command));
      if (peek() != '|') return made;
      ++at_;
    }
  }

  // `$x :=`, `$i, $x :=`, `$x =`. Where none of these follows, the variables are a part of the command.
  Result<> declarations(Pipeline& made, std::size_t most) {
    const std::size_t begin = at_;
    std::vector<std::string> names;
    while (take("$")) {
      names.emplace_back(name_here());
      at_ += names.back().size();
      blanks();
      if (!take(",")) break;
      blanks();
    }
    if (!names.empty() && (take(":=") || (made.assigns = take("=")))) {
      if (names.size() > most)
        return wrong(fmt::format("declares more than {} at once", most == 1 ? "one variable" : "two variables"));
      made.declared = std::move(names);
    } else {
      at_ = begin;
    }
    return {};
  }

  Result<Operand> operand() {
    Operand made;
    const char c = peek();
    if (c == '(') {
      if (++depth_ > most_depth) return wrong("has parentheses that are nested too deep");
      ++at_;
      made.kind = Operand::Kind::inner;
      made.inner = std::make_shared<const Pipeline>(CGX_TRY(pipeline(0)));
      if (!take(")")) return wrong("has ( without )");
      --depth_;
    } else if (c == '"' || c == '`') {
      made.kind = Operand::Kind::literal;
      made.literal = Value::text(CGX_TRY(quoted()));
      return made;
    } else if (is_digit(c) || ((c == '-' || c == '+') && at_ + 1 < text_.size() && is_digit(text_[at_ + 1]))) {
      return number();
    } else if (c == '$') {
      ++at_;
      made.kind = Operand::Kind::variable;
      made.name = name_here();
      at_ += made.name.size();
    } else if (c == '.') {
      made.kind = Operand::Kind::dot;
      if (at_ + 1 >= text_.size() || !begins_name(text_[at_ + 1])) {
        ++at_;
        return made;
      }
    } else if (const std::string_view name = name_here(); !name.empty()) {
      at_ += name.size();
      return word(name);
    } else {
      return wrong(fmt::format("has \"{}\", which is not understood", rest().substr(0, 20)));
    }
    while (peek() == '.') {
      ++at_;
      const std::string_view field = name_here();
      if (field.empty()) return wrong("has a . without the name of a field");
      made.fields.emplace_back(field);
      at_ += field.size();
    }
    return made;
  }

  Result<Operand> word(std::string_view name) const {
    if (name == "true" || name == "false")
      return Operand{.kind = Operand::Kind::literal, .literal = Value::boolean(name == "true")};
    if (name == "nil") return Operand{.kind = Operand::Kind::literal};
    if (!is_function(name)) return wrong(fmt::format("has the function \"{}\", which is not supported", name));
    return Operand{.kind = Operand::Kind::function, .name = std::string(name)};
  }

  Result<Operand> number() {
    std::size_t n = 1;
    while (at_ + n < text_.size() && (in_name(text_[at_ + n]) || text_[at_ + n] == '.')) ++n;
    std::string_view digits = text_.substr(at_, n);
    at_ += n;
    Operand made{.kind = Operand::Kind::literal};
    if (digits.starts_with('+')) digits.remove_prefix(1);
    const auto value =
        sys::parse_i64(digits, std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max());
    if (!value) return wrong(fmt::format("has the number \"{}\", which is none", digits));
    made.literal = Value::number(*value);
    return made;
  }

  Result<std::string> quoted() {
    const char quote = text_[at_++];
    std::string out;
    while (!at_end() && peek() != quote) {
      char c = text_[at_++];
      if (c == '\\' && quote == '"') {
        static constexpr std::string_view letters = "abfnrtv\\\"'", bytes = "\a\b\f\n\r\t\v\\\"'";
        const std::size_t which = at_end() ? std::string_view::npos : letters.find(text_[at_]);
        if (which == std::string_view::npos)
          return wrong(fmt::format("has \"\\{}\" in a text, which is not supported", rest().substr(0, 1)));
        c = bytes[which];
        ++at_;
      }
      out += c;
    }
    if (at_end()) return wrong("has a text without its closing quote");
    ++at_;
    return out;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  bool trims_ = false;
  unsigned depth_ = 0;
};

}  // namespace

Result<std::vector<Step>> parse(std::string_view text) { return Parser(text).whole(); }

}  // namespace cgx::launcher::templates
