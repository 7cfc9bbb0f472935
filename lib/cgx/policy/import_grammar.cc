// SPDX-License-Identifier: Apache-2.0
// Reads cgconfig.conf(5). Words are as libcgroup's scanner has them: quotes keep blanks and signs, `#` begins a comment
// that goes to the end of the line.
#include <fmt/format.h>

#include "cgx/policy/import_parts.h"

namespace cgx::policy {
namespace {

struct Token {
  enum class Kind : std::uint8_t { word, sign, end };
  Kind kind = Kind::end;
  std::string text;
  bool quoted = false;
  unsigned line = 0;
};

class Scanner {
 public:
  Scanner(std::string_view text, Told& told) : text_(text), told_(told) {}

  Token next() {
    skip_blanks();
    Token token{.kind = Token::Kind::end, .text = {}, .quoted = false, .line = line_};
    if (at_ == text_.size()) return token;
    const char c = text_[at_];
    if (is_sign(c)) {
      ++at_;
      token.kind = Token::Kind::sign;
      token.text = c;
      return token;
    }
    token.kind = Token::Kind::word;
    if (c == '"') return quoted(std::move(token));
    while (at_ < text_.size() && !is_sign(text_[at_]) && !is_blank(text_[at_]) && text_[at_] != '"')
      token.text += text_[at_++];
    return token;
  }

 private:
  static bool is_sign(char c) { return c == '{' || c == '}' || c == '=' || c == ';'; }
  static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }

  void skip_blanks() {
    while (at_ < text_.size()) {
      if (text_[at_] == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
        continue;
      }
      if (!is_blank(text_[at_])) return;
      if (text_[at_] == '\n') ++line_;
      ++at_;
    }
  }

  Token quoted(Token token) {
    token.quoted = true;
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\n') ++line_;
      token.text += text_[at_];
    }
    if (at_ == text_.size())
      told_.wrong(token.line, "", "a quote is never closed");
    else
      ++at_;
    return token;
  }

  std::string_view text_;
  Told& told_;
  std::size_t at_ = 0;
  unsigned line_ = 1;
};

class Parser {
 public:
  Parser(std::string_view text, Told& told) : scanner_(text, told), told_(told) { step(); }

  ConfigFile run() {
    while (now_.kind != Token::Kind::end) section();
    return std::move(file_);
  }

 private:
  void step() { now_ = scanner_.next(); }
  [[nodiscard]] bool is(char sign) const { return now_.kind == Token::Kind::sign && now_.text[0] == sign; }
  bool take(char sign) {
    if (!is(sign)) return false;
    step();
    return true;
  }

  void expected(std::string_view what, const std::string& path) {
    const std::string found = now_.kind == Token::Kind::end ? "the file ends" : fmt::format("\"{}\"", now_.text);
    told_.wrong(now_.line, path, fmt::format("{} where {} is expected", found, what));
  }
  // Past the section that is open, or the whole file.
  void skip_section() {
    for (int depth = 1; depth > 0 && now_.kind != Token::Kind::end; step()) {
      if (is('{')) ++depth;
      if (is('}')) --depth;
    }
  }

  void section() {
    const Token word = now_;
    if (word.kind != Token::Kind::word) {
      expected("mount, group, template, default, namespace or systemd", "");
      step();
      return;
    }
    step();
    if (word.text == "group" || word.text == "template") return group(word);
    const auto known = [&](std::string_view name) { return !word.quoted && word.text == name; };
    if (!known("mount") && !known("default") && !known("namespace") && !known("systemd")) {
      told_.wrong(word.line,
                  "",
                  fmt::format("\"{}\" is no section: they are mount, group, template, default, "
                              "namespace and systemd",
                              word.text));
      // As far as one can tell it has the form of one.
      while (now_.kind == Token::Kind::word) step();
      if (take('{')) skip_section();
      return;
    }
    if (!take('{')) return expected("{", word.text);
    if (word.text == "default") return default_section();
    auto& list = word.text == "mount" ? file_.mounts : word.text == "systemd" ? file_.systemd : file_.namespaces;
    params(list, word.text);
  }

  // `NAME = VALUE;` lines up to the closing brace, which is taken.
  void params(std::vector<ConfigParam>& list, const std::string& path) {
    while (now_.kind == Token::Kind::word)
      if (!param(list, path)) return skip_section();
    if (!take('}')) {
      expected("NAME = VALUE;", path);
      skip_section();
    }
  }

  bool param(std::vector<ConfigParam>& list, const std::string& path) {
    ConfigParam p{.name = now_.text, .value = {}, .line = now_.line};
    step();
    if (!take('=')) {
      expected("=", path + ": " + p.name);
      return false;
    }
    if (now_.kind != Token::Kind::word) {
      expected("a value", path + ": " + p.name);
      return false;
    }
    p.value = now_.text;
    step();
    if (!take(';')) {
      expected("; (values with blanks need quotes)", path + ": " + p.name);
      return false;
    }
    list.push_back(std::move(p));
    return true;
  }

  void default_section() {
    while (now_.kind == Token::Kind::word) {
      if (now_.text != "perm") break;
      file_.default_perm = perm("default");
    }
    if (take('}')) return;
    expected("perm", "default");
    skip_section();
  }

  ConfigPerm perm(const std::string& path) {
    ConfigPerm p{.task_uid = {}, .task_gid = {}, .admin_uid = {}, .admin_gid = {}, .modes = false, .line = now_.line};
    step();
    if (!take('{')) {
      expected("{", path + ": perm");
      return p;
    }
    while (now_.kind == Token::Kind::word && (now_.text == "task" || now_.text == "admin")) {
      const bool task = now_.text == "task";
      step();
      if (!take('{')) {
        expected("{", path + ": perm");
        break;
      }
      std::vector<ConfigParam> values;
      params(values, path + ": perm");
      for (const ConfigParam& v : values) {
        if (v.name == "uid")
          (task ? p.task_uid : p.admin_uid) = v.value;
        else if (v.name == "gid")
          (task ? p.task_gid : p.admin_gid) = v.value;
        else if (v.name == "fperm" || v.name == "dperm")
          p.modes = true;
        else
          told_.wrong(v.line, path + ": perm", fmt::format("\"{}\" is none of uid, gid, fperm and dperm", v.name));
      }
    }
    if (!take('}')) {
      expected("task or admin", path + ": perm");
      skip_section();
    }
    return p;
  }

  void group(const Token& word) {
    ConfigGroup g{.name = {}, .is_template = word.text == "template", .perm = {}, .controllers = {}, .line = word.line};
    if (now_.kind != Token::Kind::word) return expected("the name of a group", word.text);
    g.name = now_.text;
    const std::string path = word.text + " " + g.name;
    step();
    if (!take('{')) return expected("{", path);
    while (now_.kind == Token::Kind::word) {
      if (now_.text == "perm" && !now_.quoted) {
        g.perm = perm(path);
        continue;
      }
      ConfigController c{.name = now_.text, .params = {}, .line = now_.line};
      step();
      if (!take('{')) {
        expected("{", path + ": " + c.name);
        skip_section();
        file_.groups.push_back(std::move(g));
        return;
      }
      params(c.params, path);
      g.controllers.push_back(std::move(c));
    }
    if (!take('}')) {
      expected("a controller", path);
      skip_section();
    }
    file_.groups.push_back(std::move(g));
  }

  Scanner scanner_;
  Told& told_;
  Token now_;
  ConfigFile file_;
};

}  // namespace

ConfigFile parse_cgconfig(std::string_view text, Told& told) { return Parser(text, told).run(); }

}  // namespace cgx::policy
