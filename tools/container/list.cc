// SPDX-License-Identifier: Apache-2.0
// container ls. --json:
//   {"containers": [{"name": "web", "id": 64 digits, "image": "oci:images/debian:12", "command": ["httpd", "-f"],
//                    "created": "2026-01-31T12:00:00.123456789Z", "started": "...", "ended": "..." | null,
//                    "status": "running", "monitored": true, "text": "Up 3 minutes", "pid": 17 | null,
//                    "exit_status": 137 | null, "group": "cgx/web" | null, "labels": {...}}]}
#include <algorithm>
#include <array>
#include <cerrno>
#include <map>

#include <time.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

#include "commands.h"
#include "filters.h"
#include "format.h"
#include "table.h"
#include "view.h"

namespace cgx::launcher {
namespace {

std::string age_text(const std::string& time, std::int64_t now) {
  const auto then = parse_rfc3339(time);
  return then ? fmt::format("{} ago", ago_text(now - *then)) : std::string("?");
}

std::string listed_json(const std::vector<Known>& containers, std::int64_t now) {
  sys::JsonWriter json;
  json.open_object().key("containers").open_array();
  for (const Known& known : containers) {
    const Record& r = known.record;
    json.open_object()
        .key("name")
        .string(r.id)
        .key("id")
        .string(r.hex_id)
        .key("image")
        .string(r.image)
        .key("command")
        .open_array();
    for (const std::string& word : r.command) json.string(word);
    json.close_array().key("created").string(r.created);
    write_optional(json.key("started"), r.started);
    write_optional(json.key("ended"), known.ending && known.status == Status::stopped ? known.ending->ended : "");
    json.key("status").string(container::status_word(known.status)).key("monitored").boolean(known.monitored);
    json.key("text").string(status_text(known, now));
    write_process(json, known);
    write_optional(json.key("group"), group_of(known));
    write_labels(json, r.labels);
    json.close_object();
  }
  return json.close_array().close_object().take() + "\n";
}

// Docker's fields, as far as they are known here, and three more; in the order of their names, which is that of JSON.
constexpr std::array<Field, 15> fields{{{"Command", "COMMAND"},
                                        {"CreatedAt", "CREATED AT"},
                                        {"ExitCode", "EXIT CODE"},
                                        {"Group", "GROUP"},
                                        {"ID", "CONTAINER ID"},
                                        {"Image", "IMAGE"},
                                        {"Labels", "LABELS"},
                                        {"Names", "NAMES"},
                                        {"Networks", "NETWORKS"},
                                        {"Pid", "PID"},
                                        {"Ports", "PORTS"},
                                        {"RunningFor", "CREATED"},
                                        {"State", "STATE"},
                                        {"Status", "STATUS"},
                                        {"Label", "LABEL", Member::How::heading}}};

// 2026-01-31 12:00:00 +0000 UTC
std::string created_text(const std::string& created) {
  const auto usec = parse_rfc3339(created);
  if (!usec) return created;
  const auto when = static_cast<time_t>(*usec / 1'000'000);
  tm parts{};
  (void)localtime_r(&when, &parts);
  std::array<char, 64> text{};
  return {text.data(), strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S %z %Z", &parts)};
}

std::string quoted_command(const Record& record, bool whole) {
  constexpr std::size_t most = 20;
  std::string words;
  for (const std::string& word : record.command) words.append(words.empty() ? "" : " ").append(word);
  if (!whole && shown_width(words) > most) {
    words = shortened(words, most);
    words.replace(words.size() - 1, 1, "…");
  }
  sys::JsonWriter json;
  return json.string(words).take();
}

Value row_of(const Known& known, std::int64_t now, bool whole, bool clean) {
  const Record& r = known.record;
  std::map<std::string, std::string> labels;
  for (const auto& [name, value] : r.labels) labels.insert_or_assign(name, value);
  const auto text = [&](const std::string& plain) { return Value::text(clean ? escaped(plain) : plain); };
  std::string pairs;
  Members by_name;
  for (const auto& [name, value] : labels) {
    pairs.append(pairs.empty() ? "" : ",").append(name).append("=").append(value);
    by_name.push_back({.key = name, .value = text(value)});
  }
  const std::string id = r.hex_id.empty() ? r.id : r.hex_id;
  const bool over = known.status == Status::stopped && known.ending;
  return Value::object({{"Command", text(quoted_command(r, whole))},
                        {"CreatedAt", text(created_text(r.created))},
                        {"ExitCode", text(over ? std::to_string(known.ending->status) : "")},
                        {"Group", text(known.state.group)},
                        {"ID", text(whole || r.hex_id.empty() ? id : id.substr(0, 12))},
                        {"Image", text(r.image)},
                        {"Labels", text(pairs)},
                        {"Names", text(r.id)},
                        {"Networks", text(r.network)},
                        {"Pid", text(runs(known) ? std::to_string(known.state.pid) : "")},
                        {"Ports", text("")},
                        {"RunningFor", text(age_text(r.created, now))},
                        {"State", text(std::string(docker_state(known)))},
                        {"Status", text(status_text(known, now))},
                        {"Label", Value::object(std::move(by_name)), Member::How::of_key}});
}

std::string listed_table(const std::vector<Known>& containers, std::int64_t now, bool whole) {
  const auto cell = [&](const std::string& text, std::size_t columns) {
    return whole ? text : shortened(escaped(text), columns);
  };
  std::vector<Cells> rows;
  for (const Known& known : containers) {
    const Record& r = known.record;
    rows.push_back({r.id,
                    cell(r.image, 40),
                    cell(command_text(r.command), 30),
                    age_text(r.created, now),
                    status_text(known, now)});
  }
  return table_text({{"NAME"}, {"IMAGE"}, {"COMMAND"}, {"CREATED"}, {"STATUS"}}, rows);
}

// What is shown of all: -a, filters, and the last ones made.
struct Choice {
  Filters filters;
  bool all = false;
  std::size_t last = static_cast<std::size_t>(-1);
};

Result<Choice> choice_of(const Call& call) {
  Choice choice{.filters = CGX_TRY(Filters::parse(call, ls_filters))};
  if (call.on("latest")) choice.last = 1;
  if (call.on("last") && !call.on("latest")) {
    const auto n = sys::parse_i64(call.get("last"), -1, 1'000'000);
    if (!n) return located(Result<Choice>(bad_value(call.get("last"), "is no number")), "", "--last");
    if (*n > 0) choice.last = static_cast<std::size_t>(*n);
  }
  // Who asks for what has ended gets it.
  choice.all = call.on("all") || choice.last != static_cast<std::size_t>(-1) || choice.filters.has("status") ||
               choice.filters.has("exited");
  return choice;
}

}  // namespace

Result<int> ls(const Call& call) {
  if (call.on("size")) {
    Error e{.code = ENOTSUP, .what = "is not supported", .knob = "--size", .fault = Fault::usage};
    e.hint = "du -sh of the directory paths.layer of cgx container inspect";
    return std::unexpected(std::move(e));
  }
  const std::int64_t now = now_usec();
  const Choice choice = CGX_TRY(choice_of(call));
  const std::string_view wanted = call.get("format");
  std::optional<Format> format;
  if (!wanted.empty() && wanted != "table") format = CGX_TRY(Format::parse(wanted, fields));
  Listing listing = CGX_TRY(list_containers());
  int status = 0;
  for (const Error& e : listing.damaged) status = std::max(status, tool::report(e, call.command->name, call.json));
  std::vector<Known>& found = listing.containers;
  std::erase_if(found, [&](const Known& k) { return (!choice.all && !goes_on(k)) || !choice.filters.accept(k); });
  if (found.size() > choice.last) found.erase(found.begin(), found.end() - static_cast<std::ptrdiff_t>(choice.last));
  const bool whole = call.on("no-trunc");
  if (call.json) {
    tool::print(listed_json(found, now));
  } else if (call.on("quiet")) {
    std::string names;
    for (const Known& known : found) names.append(known.record.id).append("\n");
    tool::print(names);
  } else if (format) {
    const bool clean = format->table() || isatty(STDOUT_FILENO) == 1;
    std::vector<Value> rows;
    for (const Known& known : found) rows.push_back(row_of(known, now, whole, clean));
    tool::print(CGX_TRY(format->text(rows)));
  } else {
    tool::print(listed_table(found, now, whole));
  }
  return status;
}

}  // namespace cgx::launcher
