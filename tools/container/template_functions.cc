// SPDX-License-Identifier: Apache-2.0
// The functions of templates: those of Go's that docker's users type, and docker's own.
#include <algorithm>
#include <array>
#include <cerrno>
#include <compare>
#include <optional>

#include <fmt/format.h>

#include "cgx/sys/count.h"
#include "cgx/sys/text.h"

#include "template.h"

namespace cgx::launcher::templates {
namespace {

constexpr std::int64_t most_width = 4096;

std::unexpected<Error> wrong(std::string what) { return fail(EINVAL, std::move(what)); }

char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

Result<Value> to_json(const Values& v) { return Value::text(json_of(v[0])); }

// What is not in an object is an empty text, as of docker's labels.
Result<Value> index(const Values& v) {
  Value value = v[0];
  for (std::size_t i = 1; i < v.size(); ++i) {
    if (const Values* list = value.as_list()) {
      const std::int64_t* at = std::get_if<std::int64_t>(&v[i].is);
      if (at == nullptr) return wrong(fmt::format("{} is no number of a place in a list", text_of(v[i])));
      if (*at < 0 || static_cast<std::size_t>(*at) >= list->size())
        return wrong(fmt::format("{} is outside of a list of {}", *at, list->size()));
      value = Value((*list)[static_cast<std::size_t>(*at)]);
    } else if (const Members* members = value.as_object()) {
      const std::string* key = v[i].as_text();
      if (key == nullptr) return wrong(fmt::format("{} is no name of a member", text_of(v[i])));
      const auto found = std::ranges::find(*members, *key, &Member::key);
      value = found == members->end() ? Value::text("") : Value(found->value);
    } else if (value.null()) {
      return Value::text("");
    } else {
      return wrong(fmt::format("\"{}\" is no list and no object", text_of(value)));
    }
  }
  return value;
}

Result<Value> length(const Values& v) {
  std::size_t n = 0;
  if (const Values* list = v[0].as_list())
    n = list->size();
  else if (const Members* members = v[0].as_object())
    n = static_cast<std::size_t>(std::ranges::count(*members, Member::How::plain, &Member::how));
  else if (const std::string* text = v[0].as_text())
    n = text->size();
  else if (!v[0].null())
    return wrong(fmt::format("{} has no length", text_of(v[0])));
  return Value::number(static_cast<std::int64_t>(n));
}

// Nothing: they cannot be compared.
std::optional<std::strong_ordering> compared(const Value& a, const Value& b) {
  const auto* m = std::get_if<std::int64_t>(&a.is);
  const auto* n = std::get_if<std::int64_t>(&b.is);
  if (m != nullptr && n != nullptr) return *m <=> *n;
  if (a.as_text() != nullptr && b.as_text() != nullptr) return *a.as_text() <=> *b.as_text();
  const auto* p = std::get_if<bool>(&a.is);
  const auto* q = std::get_if<bool>(&b.is);
  if (p != nullptr && q != nullptr) return *p <=> *q;
  if (a.null() && b.null()) return std::strong_ordering::equal;
  if (a.null() != b.null()) return std::strong_ordering::less;
  return std::nullopt;
}

template <class F>
Result<Value> comparison(const Value& a, const Value& b, F holds_for) {
  const auto order = compared(a, b);
  if (!order) return wrong(fmt::format("\"{}\" and \"{}\" cannot be compared", text_of(a), text_of(b)));
  return Value::boolean(holds_for(*order));
}

Result<Value> eq(const Values& v) {
  for (std::size_t i = 1; i < v.size(); ++i) {
    Value same = CGX_TRY(comparison(v[0], v[i], [](auto o) { return o == 0; }));
    if (holds(same)) return same;
  }
  return Value::boolean(false);
}
Result<Value> ne(const Values& v) {
  return comparison(v[0], v[1], [](auto o) { return o != 0; });
}
Result<Value> lt(const Values& v) {
  return comparison(v[0], v[1], [](auto o) { return o < 0; });
}
Result<Value> le(const Values& v) {
  return comparison(v[0], v[1], [](auto o) { return o <= 0; });
}
Result<Value> gt(const Values& v) {
  return comparison(v[0], v[1], [](auto o) { return o > 0; });
}
Result<Value> ge(const Values& v) {
  return comparison(v[0], v[1], [](auto o) { return o >= 0; });
}

Result<Value> all_of(const Values& v) {
  const auto first = std::ranges::find_if(v, [](const Value& x) { return !holds(x); });
  return first == v.end() ? v.back() : *first;
}
Result<Value> any_of(const Values& v) {
  const auto first = std::ranges::find_if(v, [](const Value& x) { return holds(x); });
  return first == v.end() ? v.back() : *first;
}
Result<Value> negation(const Values& v) { return Value::boolean(!holds(v[0])); }

// With a blank between two that are both no texts, as Go's Sprint.
Result<Value> print(const Values& v) {
  std::string out;
  for (std::size_t i = 0; i < v.size(); ++i) {
    if (i > 0 && v[i].as_text() == nullptr && v[i - 1].as_text() == nullptr) out += ' ';
    out += text_of(v[i]);
  }
  return Value::text(std::move(out));
}
Result<Value> println(const Values& v) {
  std::string out;
  for (std::size_t i = 0; i < v.size(); ++i) out.append(i > 0 ? " " : "").append(text_of(v[i]));
  return Value::text(out + "\n");
}

void padded(std::string& out, std::string_view text, std::int64_t width, bool left, char with) {
  const auto characters =
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; });
  const std::string fill(static_cast<std::size_t>(std::max<std::int64_t>(width - characters, 0)), with);
  out.append(left ? "" : fill).append(text).append(left ? fill : "");
}

// %[-0][WIDTH] with s, v, d, q, t, x or %.
Result<Value> printf_(const Values& v) {
  const std::string* format = v[0].as_text();
  if (format == nullptr) return wrong("its first argument is no text");
  std::string out;
  std::size_t next = 1;
  for (std::size_t i = 0; i < format->size(); ++i) {
    if ((*format)[i] != '%') {
      out += (*format)[i];
      continue;
    }
    bool left = false, zeros = false;
    std::int64_t width = 0;
    for (++i; i < format->size() && ((*format)[i] == '-' || (*format)[i] == '0'); ++i)
      ((*format)[i] == '-' ? left : zeros) = true;
    for (; i < format->size() && (*format)[i] >= '0' && (*format)[i] <= '9'; ++i)
      width = std::min<std::int64_t>(width * 10 + ((*format)[i] - '0'), most_width);
    const char verb = i < format->size() ? (*format)[i] : '\0';
    if (verb == '%') {
      out += '%';
      continue;
    }
    if (verb == '\0' || std::string_view("svdqtx").find(verb) == std::string_view::npos)
      return wrong(fmt::format("\"{}\" has a verb that is none of %s %v %d %q %t %x %", *format));
    if (next >= v.size()) return wrong(fmt::format("\"{}\" needs more arguments", *format));
    const Value& value = v[next++];
    const auto* n = std::get_if<std::int64_t>(&value.is);
    if (verb == 'd' && n == nullptr) return wrong(fmt::format("\"{}\" is no number for %d", text_of(value)));
    std::string text = text_of(value);
    if (verb == 'q') text = json_of(Value::text(text));
    if (verb == 'x') {
      const std::string bytes = std::move(text);
      text = n != nullptr ? fmt::format("{:x}", *n) : "";
      for (std::size_t k = 0; n == nullptr && k < bytes.size(); ++k)
        text += fmt::format("{:02x}", static_cast<unsigned char>(bytes[k]));
    }
    padded(out, text, width, left, zeros && !left ? '0' : ' ');
  }
  return Value::text(std::move(out));
}

template <class F>
Result<Value> of_text(const Value& value, F change) {
  std::string text = text_of(value);
  std::ranges::transform(text, text.begin(), change);
  return Value::text(std::move(text));
}
Result<Value> to_upper(const Values& v) { return of_text(v[0], upper); }
Result<Value> to_lower(const Values& v) { return of_text(v[0], lower); }
Result<Value> title(const Values& v) {
  bool first = true;
  return of_text(v[0], [&](char c) {
    const char made = first ? upper(c) : c;
    first = c == ' ' || c == '\t' || c == '\n';
    return made;
  });
}

Result<Value> join(const Values& v) {
  const Values* list = v[0].as_list();
  if (list == nullptr && !v[0].null()) return wrong(fmt::format("\"{}\" is no list", text_of(v[0])));
  std::string out;
  for (std::size_t i = 0; list != nullptr && i < list->size(); ++i) {
    if (i > 0) out += text_of(v[1]);
    out += text_of((*list)[i]);
  }
  return Value::text(std::move(out));
}

Result<Value> split(const Values& v) {
  const std::string text = text_of(v[0]), by = text_of(v[1]);
  if (by.empty()) return wrong("the separator is empty");
  Values parts;
  for (std::size_t at = 0;;) {
    const std::size_t end = text.find(by, at);
    parts.push_back(Value::text(text.substr(at, end == std::string::npos ? end : end - at)));
    if (end == std::string::npos) return Value::list(std::move(parts));
    at = end + by.size();
  }
}

Result<std::int64_t> natural(const Value& value, std::int64_t most) {
  const auto* n = std::get_if<std::int64_t>(&value.is);
  if (n == nullptr || *n < 0 || *n > most)
    return wrong(fmt::format("\"{}\" is no number from 0 to {}", text_of(value), most));
  return *n;
}

Result<Value> truncate(const Values& v) {
  const std::string text = text_of(v[0]);
  return Value::text(text.substr(0, static_cast<std::size_t>(CGX_TRY(natural(v[1], INT64_MAX)))));
}

Result<Value> slice(const Values& v) {
  const std::string text = text_of(v[0]);
  const auto most = static_cast<std::int64_t>(text.size());
  const std::int64_t from = v.size() > 1 ? CGX_TRY(natural(v[1], most)) : 0;
  const std::int64_t to = v.size() > 2 ? CGX_TRY(natural(v[2], most)) : most;
  if (from > to) return wrong(fmt::format("{} is behind {}", from, to));
  return Value::text(text.substr(static_cast<std::size_t>(from), static_cast<std::size_t>(to - from)));
}

Result<Value> pad(const Values& v) {
  const std::string text = text_of(v[0]);
  const auto before = static_cast<std::size_t>(CGX_TRY(natural(v[1], most_width)));
  const auto after = static_cast<std::size_t>(CGX_TRY(natural(v[2], most_width)));
  if (text.empty()) return Value::text("");
  return Value::text(std::string(before, ' ') + text + std::string(after, ' '));
}

Result<Value> trim(const Values& v) {
  const std::string text = text_of(v[0]);
  return Value::text(std::string(sys::trim(text)));
}

struct Function {
  std::string_view name;
  std::size_t least, most;
  Result<Value> (*call)(const Values&);
};
constexpr std::size_t any_number = 100;
constexpr std::array<Function, 24> functions{{{"json", 1, 1, to_json},
                                              {"index", 1, any_number, index},
                                              {"len", 1, 1, length},
                                              {"eq", 2, any_number, eq},
                                              {"ne", 2, 2, ne},
                                              {"lt", 2, 2, lt},
                                              {"le", 2, 2, le},
                                              {"gt", 2, 2, gt},
                                              {"ge", 2, 2, ge},
                                              {"and", 1, any_number, all_of},
                                              {"or", 1, any_number, any_of},
                                              {"not", 1, 1, negation},
                                              {"print", 0, any_number, print},
                                              {"println", 0, any_number, println},
                                              {"printf", 1, any_number, printf_},
                                              {"upper", 1, 1, to_upper},
                                              {"lower", 1, 1, to_lower},
                                              {"title", 1, 1, title},
                                              {"join", 2, 2, join},
                                              {"split", 2, 2, split},
                                              {"truncate", 2, 2, truncate},
                                              {"slice", 1, 3, slice},
                                              {"pad", 3, 3, pad},
                                              {"trim", 1, 1, trim}}};

}  // namespace

bool is_function(std::string_view name) {
  const auto found = std::ranges::find(functions, name, &Function::name);
  return found != functions.end();
}

Result<Value> call_function(std::string_view name, const Values& arguments) {
  const auto found = std::ranges::find(functions, name, &Function::name);
  if (found == functions.end()) return wrong("is no function");
  if (arguments.size() < found->least || arguments.size() > found->most)
    return wrong(
        found->least == found->most
            ? fmt::format("takes {}, and not {}", sys::counted(found->least, "argument"), arguments.size())
            : fmt::format("takes at least {}, and not {}", sys::counted(found->least, "argument"), arguments.size()));
  return found->call(arguments);
}

bool holds(const Value& value) {
  if (const Values* list = value.as_list()) return !list->empty();
  if (const Members* members = value.as_object()) return !members->empty();
  if (const std::string* text = value.as_text()) return !text->empty();
  if (const bool* b = std::get_if<bool>(&value.is)) return *b;
  if (const std::int64_t* n = std::get_if<std::int64_t>(&value.is)) return *n != 0;
  return !value.null();
}

}  // namespace cgx::launcher::templates
