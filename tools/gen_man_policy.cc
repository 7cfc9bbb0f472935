// SPDX-License-Identifier: Apache-2.0
// What cgx-policy(5) says of keys. Nothing here knows a key by name, but where an example needs one.
#include <fmt/format.h>

#include "cgx/policy/keys.h"
#include "cgx/sys/text.h"

#include "gen_man.h"

namespace cgx::man {
namespace {

using policy::Field;

std::string_view takes(const Field& f) {
  switch (f.takes) {
    case policy::Takes::text:
      return "TEXT";
    case policy::Takes::boolean:
      return "true|false";
    case policy::Takes::word:
      return f.words;
    case policy::Takes::time:
      return "TIME";
    case policy::Takes::size:
      return "SIZE";
    case policy::Takes::amount:
      return "SIZE|PERCENT%";
    case policy::Takes::names:
      return "[NAME, ...]";
    case policy::Takes::program:
      return "[PROGRAM, ARGUMENT, ...]";
    case policy::Takes::user:
      return "USER";
    case policy::Takes::signal:
      return "SIGNAL";
    case policy::Takes::budget:
      return "TIMES/TIME";
    case policy::Takes::group:
    case policy::Takes::target:
      return "GROUP";
    case policy::Takes::glob:
      return "PATTERN";
    case policy::Takes::match:
      return "USER|@GROUP|*";
    case policy::Takes::owner:
      return "USER[:GROUP]";
    case policy::Takes::actions:
      return "[ACTION, ...]";
    case policy::Takes::pressure:
      return "[{when: ..., do: ...}, ...]";
    case policy::Takes::trigger:
      return "{RESOURCE: some|full, stall: TIME, window: TIME}";
    case policy::Takes::files:
      return "{FILE: TEXT, ...}";
    case policy::Takes::groups:
      return "{NAME: GROUP, ...}";
    case policy::Takes::defaults:
      return "GROUP";
    case policy::Takes::rules:
    case policy::Takes::devices:
      return "[RULE, ...]";
  }
  return {};
}

void add_fields(Page& page, std::span<const Field> fields) {
  for (const Field& f : fields) {
    std::string doc = sentence(f.doc, words_of(takes(f)));
    if (f.required) doc += " It has to be there.";
    page.item(fmt::format("{}:", f.name), takes(f), doc);
  }
}

// The form of a value in a file, where it is not the one of a flag.
std::string form_of(const Knob& knob) {
  switch (knob.format) {
    case Format::flag:
      return "true|false";
    case Format::list:
      return "LIST";
    case Format::io_max:
      return "{DEV: {rbps: SIZE, wbps: SIZE, riops: N, wiops: N}}";
    case Format::io_latency:
      return "{DEV: TIME}";
    case Format::io_weight:
      return "N|{default: N, DEV: N}";
    case Format::hugetlb:
      return "{SIZE: LIMIT}";
    case Format::key_count:
      return "{KEY: N}";
    case Format::dev_key_count:
      return "{DEV: {KEY: N}}";
    case Format::if_count:
      return "{IF: N}";
    case Format::if_rate:
      return "{IF: RATE}";
    case Format::device_rules:
      return "{default: deny, allow: [RULE, ...]}";
    default:
      return argument_of(knob);
  }
}

std::string where(const Knob& knob) {
  if (!knob.v1.present()) return " v2 only.";
  if (!knob.v2.present()) return " v1 only.";
  return {};
}

void add_limits(Page& page) {
  for (const policy::Section& s : policy::sections()) {
    page.subsection(s.name);
    for (const Knob* k : s.knobs) {
      const std::string_view name = s.whole ? s.name : policy::name_of(k->key);
      page.item(fmt::format("{}:", name),
                form_of(*k),
                fmt::format("{}{} As --{}.", sentence(k->doc, words_of(k->words)), where(*k), k->flag));
    }
    if (s.name == "memory") add_fields(page, policy::memory_fields());
    if (s.knobs[0]->format != Format::device_rules) continue;
    page.source(".PP\nThe map may have:");
    add_fields(page, policy::device_fields());
  }
}

void add_actions(Page& page) {
  for (const policy::ActionRow& row : policy::action_rows()) {
    page.subsection(row.name);
    page.paragraphs(sentence(row.doc));
    add_fields(page, row.fields);
  }
}

}  // namespace

bool add_policy_part(Page& page, std::string_view name) {
  if (name == "@FILE@")
    add_fields(page, policy::file_fields());
  else if (name == "@GROUP@")
    add_fields(page, policy::group_fields());
  else if (name == "@LIMITS@")
    add_limits(page);
  else if (name == "@ACTIONS@")
    add_actions(page);
  else if (name == "@COMMON@")
    add_fields(page, policy::action_fields());
  else if (name == "@PRESSURE@")
    add_fields(page, policy::pressure_fields());
  else if (name == "@TRIGGER@")
    add_fields(page, policy::trigger_fields());
  else if (name == "@RULES@")
    add_fields(page, policy::rule_fields());
  else
    return false;
  return true;
}

}  // namespace cgx::man
