// SPDX-License-Identifier: Apache-2.0
#include "cgx/policy/schema.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "cgx/policy/schema_value.h"

namespace cgx::policy {
namespace {

using schema_value::decimal;
using schema_value::integer;
using schema_value::Json;
using schema_value::one_of_words;
using schema_value::reference;
using schema_value::size_unit;
using schema_value::time_unit;
using schema_value::value_of;
using schema_value::words;

// Parts of names: not . and not ..
constexpr std::string_view group_name_pattern = R"(^/?(?!\.{1,2}(/|$))[^/]+(/(?!\.{1,2}(/|$))[^/]+)*/?$)";

std::string signal_names() {
  std::string out;
  for (int n = 1; n < 32; ++n)
    if (const char* name = sigabbrev_np(n); name != nullptr) out += fmt::format("{}{}", out.empty() ? "" : "|", name);
  return out;
}

void field_value(Json& out, const Field& f) {
  switch (f.takes) {
    case Takes::boolean:
      out.open_object().key("type").string("boolean").close_object();
      return;
    case Takes::word:
      return one_of_words(out, f.words);
    case Takes::names:
      out.open_object().key("type").string("array").key("items").open_object();
      out.key("type").string("string").key("minLength").number(1).key("maxLength").number(15);
      out.close_object().close_object();
      return;
    case Takes::program:
      out.open_object().key("type").string("array").key("minItems").number(1);
      out.key("prefixItems").open_array();
      words(out, "^/");
      out.close_array().key("items");
      reference(out, "text");
      out.close_object();
      return;
    case Takes::signal:
      return words(out, fmt::format("^((SIG)?({})|[1-9]|[1-5][0-9]|6[0-4])$", signal_names()), "integer", 1);
    case Takes::budget:
      return words(out, fmt::format("^[1-9][0-9]*/(?!0*(\\.0*)?[a-zA-Z]){}{}$", decimal, time_unit));
    case Takes::groups:
      return reference(out, "groups");
    case Takes::defaults:
      return reference(out, "defaults");
    case Takes::rules:
      out.open_object().key("type").string("array").key("items");
      reference(out, "rule");
      out.close_object();
      return;
    case Takes::time:
      return reference(out, "time");
    case Takes::size:
      return reference(out, "size");
    case Takes::amount:
      return reference(out, "amount");
    case Takes::user:
    case Takes::owner:
    case Takes::match:
      return words(out, f.takes == Takes::match ? "." : "^[^ \\t/-][^ \\t/]*$", "integer");
    case Takes::group:
      return words(out, group_name_pattern, "integer");
    case Takes::target:
      return words(
          out, R"(^(/|/?(?!\.{1,2}(/|$))([^/%]|%[uUgGpc%])+(/(?!\.{1,2}(/|$))([^/%]|%[uUgGpc%])+)*/?)$)", "integer");
    case Takes::glob:
      if (f.name == "command") return words(out, R"(^(.{1,15}|.*[*?\[\\].*)$)", "integer");
      if (f.name == "exe") return words(out, R"(^(/.*|.*[*?\[\\].*)$)");
      return words(out, ".", "integer");
    case Takes::actions:
      return reference(out, "actions");
    case Takes::pressure:
      out.open_object()
          .key("type")
          .string("array")
          .key("minItems")
          .number(1)
          .key("maxItems")
          .number(most_actions)
          .key("items");
      reference(out, "pressure");
      out.close_object();
      return;
    case Takes::trigger:
      return reference(out, "trigger");
    case Takes::files:
      out.open_object().key("type").string("object").key("propertyNames");
      words(
          out,
          R"(^(?!cgroup\.(procs|threads|type|subtree_control|event_control)$)[a-z_0-9]+\.[^/ \n]+$|^notify_on_release$)");
      out.key("additionalProperties");
      reference(out, "text");
      out.close_object();
      return;
    case Takes::devices:  // schema_value.cc
    case Takes::text:
      break;
  }
  reference(out, "text");
}

// ---- maps -----------------------------------------------------------------------------------------------------------

// Keeps the description beside what the value may be: a $ref may have neighbours in this version of the language.
template <class Write>
void described(Json& out, std::string_view key, std::string_view doc, Write write) {
  out.key(key).open_object().key("description").string(doc).key("allOf").open_array();
  write();
  out.close_array().close_object();
}

void fields(Json& out, std::span<const Field> list) {
  for (const Field& f : list) described(out, f.name, f.doc, [&] { field_value(out, f); });
}

void required(Json& out, std::span<const Field> list) {
  if (std::ranges::none_of(list, &Field::required)) return;
  out.key("required").open_array();
  for (const Field& f : list)
    if (f.required) out.string(f.name);
  out.close_array();
}

// Sections stand among the definitions, since groups, defaults and an action have them. What the memory of a group has
// besides its knobs, an action does not.
void section(Json& out, const Section& s, std::string_view name, std::span<const Field> more) {
  out.key(name);
  if (s.whole) return value_of(out, *s.knobs[0]);
  out.open_object().key("type").string("object").key("additionalProperties").boolean(false);
  out.key("properties").open_object();
  for (const Knob* k : s.knobs) described(out, name_of(k->key), k->doc, [&] { value_of(out, *k); });
  fields(out, more);
  out.close_object().close_object();
}

void limit_sections(Json& out, bool of_group) {
  for (const Section& s : sections()) {
    const bool other = s.name == "memory" && !of_group;
    const std::string name = fmt::format("{}_{}", other ? "set" : "limits", s.name);
    if (s.whole) {
      described(out, s.name, s.knobs[0]->doc, [&] { reference(out, name); });
      continue;
    }
    out.key(s.name);
    reference(out, name);
  }
}

void closed_map(Json& out, std::span<const Field> list) {
  out.key("type").string("object").key("additionalProperties").boolean(false);
  required(out, list);
  out.key("properties").open_object();
  fields(out, list);
  out.close_object();
}

void group(Json& out, bool defaults) {
  out.key(defaults ? "defaults" : "group").open_object().key("type").open_array().string("object");
  if (!defaults) out.string("null");
  out.close_array().key("additionalProperties").boolean(false).key("properties").open_object();
  limit_sections(out, true);
  for (const Field& f : group_fields())
    if (!defaults || !f.single) described(out, f.name, f.doc, [&] { field_value(out, f); });
  out.close_object().close_object();
}

void action(Json& out) {
  out.key("action").open_object().key("anyOf").open_array();
  const auto bare = [](const ActionRow& row) {
    return !row.limits && std::ranges::none_of(row.fields, &Field::required);
  };
  out.open_object().key("enum").open_array();
  for (const ActionRow& row : action_rows())
    if (bare(row)) out.string(row.name);
  out.close_array().close_object();
  for (const ActionRow& row : action_rows()) {
    out.open_object().key("type").string("object").key("description").string(row.doc);
    out.key("additionalProperties").boolean(false).key("required").open_array().string(row.name).close_array();
    out.key("properties").open_object().key(row.name).open_object().key("anyOf").open_array();
    if (bare(row)) out.open_object().key("type").string("null").close_object();
    if (row.name == "log") reference(out, "text");
    out.open_object().key("type").string("object").key("additionalProperties").boolean(false);
    required(out, row.fields);
    out.key("properties").open_object();
    if (row.limits) limit_sections(out, false);
    fields(out, row.fields);
    fields(out, action_fields());
    out.close_object();
    if (row.limits) {
      out.key("anyOf").open_array();
      for (const Section& s : sections())
        out.open_object().key("required").open_array().string(s.name).close_array().close_object();
      out.open_object().key("required").open_array().string("raw").close_array().close_object().close_array();
    }
    out.close_object().close_array().close_object().close_object().close_object();
  }
  out.close_array().close_object();
}

void definitions(Json& out) {
  out.key("text").open_object().key("type").open_array();
  out.string("string").string("number").string("boolean").close_array().close_object();
  out.key("limit_size").open_object().key("anyOf").open_array();
  out.open_object().key("type").string("integer").key("minimum").integer(0).close_object();
  out.open_object().key("const").integer(-1).close_object();
  words(out, fmt::format("^(max|-1|{}{})$", decimal, size_unit));
  out.close_array().close_object();
  out.key("size");
  words(out, fmt::format("^(?!0*(\\.0*)?[a-zA-Z]*$){}{}$", decimal, size_unit), "integer", 1);
  out.key("amount");
  words(out, fmt::format("^([1-9][0-9]{{0,3}}%|(?!0*(\\.0*)?[a-zA-Z]*$){}{})$", decimal, size_unit), "integer", 1);
  out.key("count");
  integer(out, 0, sys::unlimited, true);
  out.key("time");
  words(out, fmt::format("^(?!0*(\\.0*)?[a-zA-Z]+$){}{}$", decimal, time_unit));
  out.key("time_or_0").open_object().key("anyOf").open_array();
  out.open_object().key("const").number(0).close_object();
  words(out, fmt::format("^({}{}|0)$", decimal, time_unit));
  out.close_array().close_object();
  out.key("groups").open_object().key("type").string("object").key("propertyNames");
  words(out, group_name_pattern);
  out.key("additionalProperties");
  reference(out, "group");
  out.close_object();
  for (const Section& s : sections()) {
    const bool memory = s.name == "memory";
    section(out, s, fmt::format("limits_{}", s.name), memory ? memory_fields() : std::span<const Field>());
    if (memory) section(out, s, "set_memory", {});
  }
  group(out, false);
  group(out, true);
  out.key("actions").open_object().key("type").string("array").key("minItems").number(1);
  out.key("maxItems").number(most_actions).key("items");
  reference(out, "action");
  out.close_object();
  action(out);
  out.key("pressure").open_object();
  closed_map(out, pressure_fields());
  out.close_object();
  out.key("trigger").open_object();
  closed_map(out, trigger_fields());
  out.key("oneOf").open_array();
  for (const char* name : {"memory", "cpu", "io"})
    out.open_object().key("required").open_array().string(name).close_array().close_object();
  out.close_array().close_object();
  out.key("rule").open_object();
  closed_map(out, rule_fields());
  // Where it goes, or that it stays; and something to match on.
  out.key("oneOf").open_array();
  for (const char* name : {"group", "leave"})
    out.open_object().key("required").open_array().string(name).close_array().close_object();
  out.close_array().key("not").open_object().key("properties").open_object();
  out.key("leave").open_object().key("const").boolean(false).close_object().close_object();
  out.key("required").open_array().string("leave").close_array().close_object();
  out.key("minProperties").number(2).close_object();
}

// JSON a line a value.
std::string indented(std::string_view json) {
  std::string out;
  std::size_t depth = 0;
  bool inside = false;
  const auto line = [&] { out += '\n' + std::string(2 * depth, ' '); };
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (inside) {
      out += c;
      if (c == '\\')
        out += json[++i];
      else if (c == '"')
        inside = false;
      continue;
    }
    if (c == '{' || c == '[') {
      out += c;
      ++depth;
      if (json[i + 1] != '}' && json[i + 1] != ']') line();
      continue;
    }
    if (c == '}' || c == ']') {
      --depth;
      if (json[i - 1] != '{' && json[i - 1] != '[') line();
    }
    inside = c == '"';
    out += c;
    if (c == ',') line();
    if (c == ':') out += ' ';
  }
  return out + '\n';
}

}  // namespace

std::string schema() {
  Json out;
  out.open_object().key("$schema").string("https://json-schema.org/draft/2020-12/schema");
  out.key("title").string("A policy of cgx");
  out.key("$comment").string("Made by tools/gen_schema from the rows of knobs and keys; do not edit");
  closed_map(out, file_fields());
  out.key("patternProperties").open_object().key("^x-").boolean(true).close_object();
  out.key("$defs").open_object();
  definitions(out);
  out.close_object().close_object();
  return indented(out.text());
}

}  // namespace cgx::policy
