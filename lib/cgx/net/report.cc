// SPDX-License-Identifier: Apache-2.0
#include "cgx/net/report.h"

#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

namespace cgx::net {

namespace {

// The record's own text stands at the end of the line, so that it is found without parsing JSON.
constexpr std::string_view undo_member = ",\"undo\":\"";
constexpr std::string_view line_end = "\"}";

}  // namespace

void write_record(sys::JsonWriter& json, const Record& record) {
  json.open_object().key("class");
  if (record.id.value == 0)
    json.null();
  else
    json.string(format_class(record.id));
  json.key("allocated").boolean(record.allocated);
  json.key("classifier").string(classifier_name(record.classifier));
  json.key("rates").open_object();
  for (const Shape& s : record.shapes) json.key(s.interface).number(s.bits);
  json.close_object().key("prios").open_object();
  for (const Priority& p : record.priorities) json.key(p.interface).number(p.value);
  json.close_object().close_object();
}

std::string change_json(const Change& change) {
  sys::JsonWriter json;
  json.open_object().key("key").string(change.key).key("now");
  write_record(json, change.after);
  json.key("replaced");
  write_record(json, change.before);
  json.key("elsewhere").open_array();
  for (const std::string& name : change.elsewhere) json.string(name);
  json.close_array().key("undo").string(change.before.text()).close_object();
  return json.take();
}

Result<Record> parse_undo(std::string_view json) {
  const std::string_view line = sys::trim(json);
  const std::size_t at = line.rfind(undo_member);
  const std::size_t around = undo_member.size() + line_end.size();
  if (!line.starts_with('{') || !line.ends_with(line_end) || at == std::string_view::npos || at + around > line.size())
    return bad_value(line.substr(0, 40), "is not the output of cgx-net set, restore or release");
  std::string text;
  const std::string_view escaped = line.substr(at + undo_member.size(), line.size() - around - at);
  bool literal = false;  // of the escapes only \" and \\ occur: a record is printable ASCII
  for (const char c : escaped) {
    const bool escape = c == '\\' && !literal;
    if (!escape) text += c;
    literal = escape;
  }
  if (literal) return bad_value(escaped, "ends within an escape");
  return Record::parse(text);
}

}  // namespace cgx::net
