// SPDX-License-Identifier: Apache-2.0
// container ls. --json:
//   {"containers": [{"name": "web", "id": 64 digits, "image": "oci:images/debian:12", "command": ["httpd", "-f"],
//                    "created": "2026-01-31T12:00:00.123456789Z", "started": "...", "ended": "..." | null,
//                    "status": "running", "monitored": true, "text": "Up 3 minutes", "pid": 17 | null,
//                    "exit_status": 137 | null, "group": "cgx/web" | null, "labels": {...}}]}
#include <algorithm>

#include <fmt/format.h>

#include "cgx/sys/json.h"

#include "commands.h"
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

}  // namespace

Result<int> ls(const Call& call) {
  const std::int64_t now = now_usec();
  Listing listing = CGX_TRY(list_containers());
  int status = 0;
  for (const Error& e : listing.damaged) status = std::max(status, tool::report(e, call.command->name, call.json));
  if (!call.on("all")) std::erase_if(listing.containers, [](const Known& known) { return !goes_on(known); });
  if (call.json) {
    tool::print(listed_json(listing.containers, now));
    return status;
  }
  if (call.on("quiet")) {
    std::string names;
    for (const Known& known : listing.containers) names.append(known.record.id).append("\n");
    tool::print(names);
    return status;
  }
  std::vector<Cells> rows;
  for (const Known& known : listing.containers) {
    const Record& r = known.record;
    rows.push_back({r.id,
                    shortened(escaped(r.image), 40),
                    shortened(escaped(command_text(r.command)), 30),
                    age_text(r.created, now),
                    status_text(known, now)});
  }
  tool::print(table_text({{"NAME"}, {"IMAGE"}, {"COMMAND"}, {"CREATED"}, {"STATUS"}}, rows));
  return status;
}

}  // namespace cgx::launcher
