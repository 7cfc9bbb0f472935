// SPDX-License-Identifier: Apache-2.0
#include "cgx/policy/schema_value.h"

#include <fmt/format.h>

namespace cgx::policy::schema_value {

// A word of a pattern; YAML has also read some of them as numbers.
void words(Json& out, std::string_view pattern, std::string_view number, std::uint64_t low) {
  out.open_object();
  if (!number.empty()) {
    out.key("anyOf").open_array().open_object().key("type").string(number);
    out.key("minimum").number(low).close_object().open_object();
  }
  out.key("type").string("string").key("pattern").string(pattern);
  if (!number.empty()) out.close_object().close_array();
  out.close_object();
}

void reference(Json& out, std::string_view name) {
  out.open_object().key("$ref").string(fmt::format("#/$defs/{}", name)).close_object();
}

void one_of_words(Json& out, std::string_view list) {
  out.open_object().key("enum").open_array();
  for (const std::string_view w : sys::split(list, '|')) {
    // Numbers have no quotes in YAML.
    if (const auto n = sys::parse_u64(w)) out.number(*n);
    out.string(w);
  }
  out.close_array().close_object();
}

void integer(Json& out, std::uint64_t low, std::uint64_t high, bool max) {
  out.open_object().key("anyOf").open_array();
  out.open_object().key("type").string("integer").key("minimum").number(low);
  if (high != sys::unlimited) out.key("maximum").number(high);
  out.close_object();
  words(out, max ? "^(max|-1|[0-9]+)$" : "^[0-9]+$");
  if (max) out.open_object().key("const").integer(-1).close_object();
  out.close_array().close_object();
}

namespace {

// A map of names to values, or the words of flags, or a list of them.
template <class Value>
void table(Json& out, std::string_view flag, Value value) {
  out.open_object().key("anyOf").open_array();
  words(out, flag);
  out.open_object().key("type").string("array").key("items");
  words(out, flag);
  out.close_object();
  out.open_object().key("type").string("object").key("minProperties").number(1).key("propertyNames");
  words(out, "^[^=]+$");
  out.key("additionalProperties");
  value();
  out.close_object().close_array().close_object();
}

void device_value(Json& out) {
  const auto list = [&] {
    out.open_object().key("anyOf").open_array();
    words(out, "^(?!(allow|deny) )");
    out.open_object().key("type").string("array").key("items");
    words(out, "^(?!(allow|deny) )");
    out.close_object().close_array().close_object();
  };
  const auto rules = [&] {
    out.open_object().key("type").string("array").key("items");
    words(out, ".");
    out.close_object();
  };
  out.open_object().key("anyOf").open_array();
  words(out, ".");
  rules();
  out.open_object()
      .key("type")
      .string("object")
      .key("additionalProperties")
      .boolean(false)
      .key("properties")
      .open_object();
  out.key("default");
  one_of_words(out, "allow|deny");
  out.key("allow");
  list();
  out.key("deny");
  list();
  out.close_object().close_object();
  out.open_object()
      .key("type")
      .string("object")
      .key("additionalProperties")
      .boolean(false)
      .key("properties")
      .open_object();
  out.key("rules");
  rules();
  out.close_object().close_object();
  out.close_array().close_object();
}

}  // namespace

void value_of(Json& out, const Knob& knob) {
  const auto io_field = [&](std::string_view name) {
    out.key(name);
    reference(out, name.ends_with("bps") ? "limit_size" : "count");
  };
  switch (knob.format) {
    case Format::size:
      return reference(out, "limit_size");
    case Format::count:
      return reference(out, "count");
    case Format::number:
      return integer(out, knob.low, knob.high, false);
    case Format::usec:
      return reference(out, "time_or_0");
    case Format::flag:
      out.open_object().key("enum").open_array();
      out.boolean(true).boolean(false).number(0).number(1).string("0").string("1").close_array().close_object();
      return;
    case Format::quota:
      return words(out, fmt::format("^(max|-1|{}%?|([0-9]+|max|-1)/[0-9]+)$", decimal), "number");
    case Format::rt:
      return words(out, fmt::format("^({0}{1}|0)/{0}{1}$", decimal, time_unit));
    case Format::list:
      out.open_object().key("anyOf").open_array();
      out.open_object().key("type").string("integer").key("minimum").number(0).close_object();
      words(out, "^[0-9]+(-[0-9]+(:[0-9]+(/[0-9]+)?)?)?(,[0-9]+(-[0-9]+(:[0-9]+(/[0-9]+)?)?)?)*$");
      out.open_object().key("type").string("array").key("minItems").number(1).key("items");
      words(out, "^[0-9,:/-]+$", "integer");
      out.close_object().close_array().close_object();
      return;
    case Format::word:
      return one_of_words(out, knob.words);
    case Format::classid:
      return words(out, "^([0-9a-fA-F]{1,4}:[0-9a-fA-F]{1,4}|0)$");
    case Format::io_max:
      return table(out, ":.+=", [&] {
        out.open_object().key("anyOf").open_array();
        words(out, "^[^=]+=");
        out.open_object().key("type").string("object").key("minProperties").number(1);
        out.key("additionalProperties").boolean(false).key("properties").open_object();
        for (const char* name : {"rbps", "wbps", "riops", "wiops"}) io_field(name);
        out.close_object().close_object().close_array().close_object();
      });
    case Format::io_latency:
      return table(out, ":", [&] { reference(out, "time_or_0"); });
    case Format::io_weight:
      out.open_object().key("anyOf").open_array();
      integer(out, knob.low, knob.high, false);
      table(out, ":|^[0-9]+$", [&] { integer(out, knob.low, knob.high, false); });
      out.close_array().close_object();
      return;
    case Format::hugetlb:
      return table(out, "=", [&] { reference(out, "limit_size"); });
    case Format::key_count:
      return table(out, "=", [&] { reference(out, "count"); });
    case Format::if_count:
      return table(out, "=", [&] { integer(out, 0, knob.high, false); });
    case Format::if_rate:
      return table(out, "=", [&] { words(out, fmt::format("^({}[a-zA-Z]+|max)$", decimal)); });
    case Format::dev_key_count:
      return table(out, ":.+=", [&] {
        out.open_object().key("anyOf").open_array();
        words(out, "^[^=]+=");
        out.open_object().key("type").string("object").key("minProperties").number(1).key("additionalProperties");
        reference(out, "count");
        out.close_object().close_array().close_object();
      });
    case Format::device_rules:
      return device_value(out);
    case Format::integer:
    case Format::percent:
    case Format::keyed:
    case Format::text:
      break;
  }
  reference(out, "text");
}

}  // namespace cgx::policy::schema_value
