// SPDX-License-Identifier: Apache-2.0
// The templates of --format: the part of Go's text/template that docker's users type, over values that are made of JSON
// or by a command. Fields, variables, pipelines, if, with, range, and the functions of template_functions.cc; define,
// template, block, break and continue are refused. Pure: knows no container and prints nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "cgx/container/json_tree.h"
#include "cgx/sys/result.h"

namespace cgx::launcher {

struct Member;
struct Value;
using Values = std::vector<Value>;
using Members = std::vector<Member>;

// A number that is no int64, as it was written.
struct Real {
  std::string text;
  bool operator==(const Real&) const = default;
};

// Cheap to copy: lists and objects are shared, and never change.
struct Value {
  std::variant<std::monostate,
               bool,
               std::int64_t,
               Real,
               std::string,
               std::shared_ptr<const Values>,
               std::shared_ptr<const Members>>
      is;

  [[nodiscard]] static Value boolean(bool b) { return {.is = b}; }
  [[nodiscard]] static Value number(std::int64_t n) { return {.is = n}; }
  [[nodiscard]] static Value text(std::string text) { return {.is = std::move(text)}; }
  [[nodiscard]] static Value list(Values values);
  [[nodiscard]] static Value object(Members members);

  [[nodiscard]] bool null() const { return std::holds_alternative<std::monostate>(is); }
  [[nodiscard]] const Values* as_list() const;      // nullptr: it is none
  [[nodiscard]] const Members* as_object() const;   // nullptr: it is none
  [[nodiscard]] const std::string* as_text() const  // nullptr: it is none
  {
    return std::get_if<std::string>(&is);
  }
};

struct Member {
  // plain; of_key: `.Label "name"`, a member of the object by that name; heading: the same in a table's first line.
  enum class How : std::uint8_t { plain, of_key, heading };
  std::string key;
  Value value;
  How how = How::plain;  // others are for a call: neither json nor range shows them
};

[[nodiscard]] Value value_of(const container::json::Value& json);
[[nodiscard]] std::string json_of(const Value& value);
// As a template prints it: `[a b]`, `map[a:1]`, `<no value>`.
[[nodiscard]] std::string text_of(const Value& value);

namespace templates {

struct Pipeline;
struct Operand {
  enum class Kind : std::uint8_t { literal, dot, variable, function, inner };
  Kind kind = Kind::dot;
  Value literal;
  std::string name;                 // of a variable, without `$`, or of a function
  std::vector<std::string> fields;  // .A.B behind it
  std::shared_ptr<const Pipeline> inner;
};
using Command = std::vector<Operand>;
struct Pipeline {
  std::vector<std::string> declared;  // variables; of range one or two
  bool assigns = false;               // `=`: they are there
  std::vector<Command> commands;
};
struct Step {
  enum class Kind : std::uint8_t { text, print, when, with, range };
  Kind kind = Kind::text;
  std::string text;
  Pipeline pipeline;
  std::vector<Step> body, otherwise;
};

[[nodiscard]] Result<std::vector<Step>> parse(std::string_view text);
[[nodiscard]] bool is_function(std::string_view name);
[[nodiscard]] Result<Value> call_function(std::string_view name, const Values& arguments);
[[nodiscard]] bool holds(const Value& value);  // what `if` asks

}  // namespace templates

class Template {
 public:
  // Errors are Fault::usage, and say what is wrong in the text.
  [[nodiscard]] static Result<Template> parse(std::string_view text);
  // ENOENT: a field that is not there, with the list of those that are. EINVAL: a function that got what it does not
  // take, and all else.
  [[nodiscard]] Result<std::string> run(const Value& dot) const;

 private:
  std::string text_;
  std::vector<templates::Step> steps_;
};

}  // namespace cgx::launcher
