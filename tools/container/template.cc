// SPDX-License-Identifier: Apache-2.0
// What a template prints of a value.
#include "template.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <limits>

#include <fmt/format.h>

#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

namespace cgx::launcher {
namespace {

using templates::Command;
using templates::Operand;
using templates::Pipeline;
using templates::Step;

constexpr std::size_t most_output = 16U << 20U;
constexpr std::size_t most_text = 4U << 20U;
constexpr std::size_t most_steps = 1'000'000;
constexpr std::size_t most_listed = 40;  // fields in an error

std::unexpected<Error> failed(std::string what, int code = EINVAL) {
  return std::unexpected(Error{.code = code, .what = std::move(what), .fault = Fault::usage});
}

std::string field_list(const Members& members) {
  std::string list;
  std::size_t n = 0;
  for (const Member& m : members) {
    if (n++ == most_listed) return list + ", ...";
    list.append(list.empty() ? "." : ", .").append(m.key);
  }
  return list.empty() ? "none" : list;
}

// Where programs of Go have another name for a field than their JSON, docker and podman take both, some of them only
// one.
struct OtherName {
  std::string_view typed, key;
};
constexpr std::array other_names{OtherName{"ID", "Id"},
                                 OtherName{"Id", "ID"},
                                 OtherName{"CPUShares", "CpuShares"},
                                 OtherName{"CPUQuota", "CpuQuota"},
                                 OtherName{"CPUPeriod", "CpuPeriod"},
                                 OtherName{"NanoCPUs", "NanoCpus"}};

Members::const_iterator find_member(const Members& members, std::string_view field) {
  const auto found = std::ranges::find(members, field, &Member::key);
  const auto other = std::ranges::find(other_names, field, &OtherName::typed);
  return found != members.end() || other == other_names.end() ? found
                                                              : std::ranges::find(members, other->key, &Member::key);
}

std::unexpected<Error> no_field(const Members& members, std::string_view field, std::string_view place) {
  auto error =
      failed(fmt::format("has {}.{}, which is not a field (fields: {})", place, field, field_list(members)), ENOENT);
  std::vector<std::string_view> known;
  for (const Member& m : members) known.push_back(m.key);
  if (const std::string_view close = sys::nearest(field, known); !close.empty())
    error.error().hint = fmt::format("did you mean {}.{}?", place, close);
  return error;
}

// The last part of a label's name, as docker heads the column.
std::string heading_of(std::string_view label) {
  std::string heading(label.substr(label.rfind('.') + 1));
  for (char& c : heading) {
    if (c == '-' || c == '_') c = ' ';
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return heading;
}

class Runner {
 public:
  explicit Runner(const Value& root) : root_(root) {}

  Result<> run(const std::vector<Step>& steps, const Value& dot) {
    for (const Step& step : steps) {
      if (++steps_ > most_steps) return failed("takes too many steps");
      CGX_CHECK(one(step, dot));
      if (out_.size() > most_output) return failed("prints too much");
    }
    return {};
  }
  std::string take() { return std::move(out_); }

 private:
  Result<> one(const Step& step, const Value& dot) {
    if (step.kind == Step::Kind::text) return out_ += step.text, Result<>();
    const std::size_t outer = variables_.size();
    const Value value = CGX_TRY(evaluate(step.pipeline, dot));
    if (step.kind == Step::Kind::print) {
      if (step.pipeline.declared.empty()) out_ += text_of(value);
      return declare(step.pipeline, value);
    }
    if (step.kind == Step::Kind::range) {
      CGX_CHECK(range(step, value, dot));
    } else {
      CGX_CHECK(declare(step.pipeline, value));
      const bool yes = templates::holds(value);
      CGX_CHECK(run(yes ? step.body : step.otherwise, yes && step.kind == Step::Kind::with ? value : dot));
    }
    variables_.resize(outer);
    return {};
  }

  Result<> declare(const Pipeline& pipeline, const Value& value) {
    if (pipeline.declared.empty()) return {};
    const std::string& name = pipeline.declared.front();
    if (!pipeline.assigns) return variables_.emplace_back(name, value), Result<>();
    const auto found =
        std::find_if(variables_.rbegin(), variables_.rend(), [&](const auto& v) { return v.first == name; });
    if (found == variables_.rend()) return failed(fmt::format("has no variable ${}", name));
    found->second = value;
    return {};
  }

  Result<> range(const Step& step, const Value& value, const Value& dot) {
    std::vector<std::pair<Value, Value>> items;  // key, value
    if (const Values* list = value.as_list()) {
      for (const Value& v : *list) items.emplace_back(Value::number(static_cast<std::int64_t>(items.size())), v);
    } else if (const Members* members = value.as_object()) {
      for (const Member& m : *members)
        if (m.how == Member::How::plain) items.emplace_back(Value::text(m.key), m.value);
      std::ranges::stable_sort(items, {}, [](const auto& item) { return *item.first.as_text(); });
    } else if (!value.null()) {
      return failed(fmt::format("ranges over {}, which is no list", text_of(value)));
    }
    if (items.empty()) return run(step.otherwise, dot);
    const std::vector<std::string>& names = step.pipeline.declared;
    for (const auto& [key, item] : items) {
      const std::size_t outer = variables_.size();
      if (names.size() == 2) variables_.emplace_back(names[0], key);
      if (!names.empty()) variables_.emplace_back(names.back(), item);
      CGX_CHECK(run(step.body, item));
      variables_.resize(outer);
    }
    return {};
  }

  Result<Value> evaluate(const Pipeline& pipeline, const Value& dot) {
    Value value;
    for (std::size_t i = 0; i < pipeline.commands.size(); ++i)
      value = CGX_TRY(command(pipeline.commands[i], dot, i == 0 ? nullptr : &value));
    return value;
  }

  // `piped`: what the command before it has made is its last argument.
  Result<Value> command(const Command& command, const Value& dot, const Value* piped) {
    const Operand& first = command.front();
    Values arguments;
    for (std::size_t i = 1; i < command.size(); ++i) arguments.push_back(CGX_TRY(operand(command[i], dot, {})));
    if (piped != nullptr) arguments.push_back(*piped);
    if (first.kind == Operand::Kind::function) {
      auto made = templates::call_function(first.name, arguments);
      if (!made) return failed(fmt::format("{}: {}", first.name, made.error().what));
      if (const std::string* text = made->as_text(); text != nullptr && text->size() > most_text)
        return failed(fmt::format("{}: makes a text that is too long", first.name));
      return made;
    }
    return operand(first, dot, arguments);
  }

  Result<Value> operand(const Operand& operand, const Value& dot, const Values& arguments) {
    Value value;
    switch (operand.kind) {
      case Operand::Kind::literal:
        value = operand.literal;
        break;
      case Operand::Kind::dot:
        value = dot;
        break;
      case Operand::Kind::variable:
        value = CGX_TRY(variable(operand.name));
        break;
      case Operand::Kind::function:
        value = CGX_TRY(templates::call_function(operand.name, {}));
        break;
      case Operand::Kind::inner:
        value = CGX_TRY(evaluate(*operand.inner, dot));
        break;
    }
    std::string place = operand.kind == Operand::Kind::variable ? "$" + operand.name : "";
    for (const std::string& field : operand.fields) {
      const bool last = &field == &operand.fields.back();
      value = CGX_TRY(member(value, field, place, last ? arguments : Values()));
      place.append(".").append(field);
    }
    if (operand.fields.empty() && !arguments.empty())
      return failed(fmt::format("{} takes no argument", place.empty() ? "what is no function" : place));
    return value;
  }

  [[nodiscard]] Result<Value> variable(const std::string& name) const {
    if (name.empty()) return root_;
    for (auto v = variables_.rbegin(); v != variables_.rend(); ++v)
      if (v->first == name) return v->second;
    return failed(fmt::format("has no variable ${}", name));
  }

  static Result<Value> member(const Value& value,
                              const std::string& field,
                              const std::string& place,
                              const Values& arguments) {
    const Members* members = value.as_object();
    if (members == nullptr)
      return failed(fmt::format(
          "has .{} of {}, which is {}", field, place.empty() ? "." : place, value.null() ? "not there" : "no object"));
    const auto found = find_member(*members, field);
    if (found == members->end()) return no_field(*members, field, place);
    if (found->how == Member::How::plain) {
      if (arguments.empty()) return found->value;
      return failed(fmt::format("{}.{} takes no argument", place, field));
    }
    const std::string* key = arguments.size() == 1 ? arguments[0].as_text() : nullptr;
    if (key == nullptr) return failed(fmt::format("{0}.{1} takes one text: {0}.{1} \"name\"", place, field));
    if (found->how == Member::How::heading) return Value::text(heading_of(*key));
    return templates::call_function("index", {found->value, arguments[0]});
  }

  const Value& root_;
  std::vector<std::pair<std::string, Value>> variables_;
  std::string out_;
  std::size_t steps_ = 0;
};

void write_real(sys::JsonWriter& json, const std::string& text) {
  if (const auto n = sys::parse_u64(text))
    json.number(*n);
  else
    json.real(std::strtod(text.c_str(), nullptr));
}

void write_value(sys::JsonWriter& json, const Value& value) {
  if (const Values* list = value.as_list()) {
    json.open_array();
    for (const Value& v : *list) write_value(json, v);
    json.close_array();
  } else if (const Members* members = value.as_object()) {
    json.open_object();
    for (const Member& m : *members)
      if (m.how == Member::How::plain) write_value(json.key(m.key), m.value);
    json.close_object();
  } else if (const std::string* text = value.as_text()) {
    json.string(*text);
  } else if (const bool* b = std::get_if<bool>(&value.is)) {
    json.boolean(*b);
  } else if (const std::int64_t* n = std::get_if<std::int64_t>(&value.is)) {
    json.integer(*n);
  } else if (const Real* real = std::get_if<Real>(&value.is)) {
    write_real(json, real->text);
  } else {
    json.null();
  }
}

void append_text(std::string& out, const Value& value, bool top) {
  if (const Values* list = value.as_list()) {
    out += '[';
    for (const Value& v : *list) {
      if (&v != &list->front()) out += ' ';
      append_text(out, v, false);
    }
    out += ']';
  } else if (const Members* members = value.as_object()) {
    std::vector<const Member*> sorted;
    for (const Member& m : *members)
      if (m.how == Member::How::plain) sorted.push_back(&m);
    std::ranges::stable_sort(sorted, {}, [](const Member* m) { return std::string_view(m->key); });
    out += "map[";
    for (const Member* m : sorted) {
      if (m != sorted.front()) out += ' ';
      append_text(out.append(m->key).append(":"), m->value, false);
    }
    out += ']';
  } else if (const std::string* text = value.as_text()) {
    out += *text;
  } else if (const bool* b = std::get_if<bool>(&value.is)) {
    out += *b ? "true" : "false";
  } else if (const std::int64_t* n = std::get_if<std::int64_t>(&value.is)) {
    out += std::to_string(*n);
  } else if (const Real* real = std::get_if<Real>(&value.is)) {
    out += real->text;
  } else {
    out += top ? "<no value>" : "<nil>";
  }
}

}  // namespace

Value Value::list(Values values) { return {.is = std::make_shared<const Values>(std::move(values))}; }
Value Value::object(Members members) { return {.is = std::make_shared<const Members>(std::move(members))}; }
const Values* Value::as_list() const {
  const auto* list = std::get_if<std::shared_ptr<const Values>>(&is);
  return list == nullptr ? nullptr : list->get();
}
const Members* Value::as_object() const {
  const auto* members = std::get_if<std::shared_ptr<const Members>>(&is);
  return members == nullptr ? nullptr : members->get();
}

Value value_of(const container::json::Value& json) {
  using container::json::Kind;
  switch (json.kind()) {
    case Kind::boolean:
      return Value::boolean(json.boolean().value_or(false));
    case Kind::natural:
    case Kind::negative:
      if (const auto n =
              json.integer(std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()))
        return Value::number(*n);
      return {.is = Real{std::to_string(json.natural(0, std::numeric_limits<std::uint64_t>::max()).value_or(0))}};
    case Kind::real:
      return {.is = Real{std::string(json.raw_text())}};
    case Kind::text:
      return Value::text(std::string(json.raw_text()));
    case Kind::list: {
      Values values;
      for (const container::json::Value item : json) values.push_back(value_of(item));
      return Value::list(std::move(values));
    }
    case Kind::object: {
      Members members;
      for (const container::json::Value item : json)
        members.push_back({.key = std::string(item.key()), .value = value_of(item)});
      return Value::object(std::move(members));
    }
    case Kind::null:
      break;
  }
  return {};
}

std::string json_of(const Value& value) {
  sys::JsonWriter json;
  write_value(json, value);
  return json.take();
}

std::string text_of(const Value& value) {
  std::string out;
  append_text(out, value, true);
  return out;
}

Result<Template> Template::parse(std::string_view text) {
  Template made;
  made.text_ = text;
  made.steps_ = CGX_TRY(templates::parse(text));
  return made;
}

Result<std::string> Template::run(const Value& dot) const {
  Runner runner(dot);
  const Result<> done = runner.run(steps_, dot);
  if (done) return runner.take();
  Error e = done.error();
  e.value = text_;
  return std::unexpected(std::move(e));
}

}  // namespace cgx::launcher
