// SPDX-License-Identifier: Apache-2.0
// container inspect: JSON, in lines that people can read. What is not known, or not so, is null.
//   [{"id": "web", "image": "oci:images/debian:12", "layers": ["/..."], "command": ["httpd", "-f"],
//     "created": TIME, "started": TIME|null, "ended": TIME|null,        of the last run
//     "status": {"word": "running", "text": "Up 3 minutes", "pid": 17|null, "exit_status": 137|null,
//                "signal": 9|null, "error": "..."|null},
//     "death": null|{"why": "..."|null,                                 of a container that has ended
//                    "oom": null|{"kills": 1, "group": "cgx/web", "limit": "memory.max"},
//                    "pids": null|{"refused": 3, "group": "cgx/web", "limit": "..."},
//                    "policy": "..."|null},
//     "group": "cgx/web"|null, "systemd_scope": "..."|null,
//     "limits": {"given": [{"flag": "--mem", "value": "1G"}],           as it was given; a file where it was --set
//                "in_force": null|{FILE: {"value": V, "flag": "mem"|null, "file": PATH}}},     as `cgx get` shows them
//     "network": "none", "namespaces": {"pid": "private", "uts": "private", "ipc": "private"},
//     "labels": {...}, "remove": false, "terminal": false, "interactive": false,
//     "restart": {"policy": "on-failure", "most": 3, "count": 0}, "stop": {"signal": 15, "timeout": 10},
//     "log": {"size": 20971520}|null,                                   at most; null: none is kept
//     "paths": {"data": "/...", "log": "/..."|null, "layer": "/...", "bundle": "/..."|null, "rootfs": "/..."|null},
//     "monitor": {"pid": 16|null}}]
#include <cerrno>
#include <optional>

#include <fmt/format.h>

#include "cgx/cgroupfs/presence.h"
#include "cgx/sys/json.h"

#include "commands.h"
#include "inspect_docker.h"
#include "template.h"
#include "tools/groups.h"
#include "tools/oci/oci.h"
#include "view.h"

namespace cgx::launcher {
namespace {

void write_texts(sys::JsonWriter& json, std::string_view key, const std::vector<std::string>& texts) {
  json.key(key).open_array();
  for (const std::string& text : texts) json.string(text);
  json.close_array();
}

void write_status(sys::JsonWriter& json, const Known& known, std::int64_t now) {
  const Ending* ending = known.ending && !runs(known) ? &*known.ending : nullptr;
  json.key("status").open_object().key("word").string(container::status_word(known.status));
  json.key("text").string(status_text(known, now));
  write_process(json, known);
  json.key("signal");
  if (ending != nullptr && ending->signal != 0)
    json.integer(ending->signal);
  else
    json.null();
  write_optional(json.key("error"), ending != nullptr ? std::string_view(ending->error) : std::string_view());
  json.close_object();
}

void write_death(sys::JsonWriter& json, const Known& known) {
  json.key("death");
  if (!known.ending || runs(known)) {
    json.null();
    return;
  }
  const Ending& e = *known.ending;
  write_optional(json.open_object().key("why"), e.why);
  json.key("oom");
  if (e.oom_kills == 0 && e.oom_group.empty() && e.oom_limit.empty()) {
    json.null();
  } else {
    write_optional(json.open_object().key("kills").number(e.oom_kills).key("group"), e.oom_group);
    write_optional(json.key("limit"), e.oom_limit);
    json.close_object();
  }
  json.key("pids");
  if (e.pids_refused == 0) {
    json.null();
  } else {
    write_optional(json.open_object().key("refused").number(e.pids_refused).key("group"), e.pids_group);
    write_optional(json.key("limit"), e.pids_limit);
    json.close_object();
  }
  write_optional(json.key("policy"), e.policy);
  json.close_object();
}

Result<> write_limits(sys::JsonWriter& json, const Known& known) {
  // Where the hierarchies are not mounted any more, all else is still known.
  const auto hierarchies = container::hierarchies_of(known.state);
  std::optional<Cgroup> group;
  if (hierarchies && !known.state.group.empty()) {
    group.emplace(*hierarchies, known.state.group);
    if (!CGX_TRY(is_there(*group))) group.reset();
  }
  json.key("limits").open_object().key("given").open_array();
  for (const auto& [flag, value] : known.record.limits)
    json.open_object().key("flag").string(flag).key("value").string(value).close_object();
  json.close_array().key("in_force");
  if (group)
    CGX_CHECK(tool::write_knobs(json, *group));
  else
    json.null();
  json.close_object();
  return {};
}

using Further = void (*)(sys::JsonWriter& json, const Known& known);

Result<> write_known(sys::JsonWriter& json, const Known& known, std::int64_t now, Further further = nullptr) {
  const Record& r = known.record;
  json.open_object().key("id").string(r.id).key("image").string(r.image);
  write_texts(json, "layers", r.layers);
  write_texts(json, "command", r.command);
  json.key("created").string(r.created);
  write_optional(json.key("started"), r.started);
  write_optional(json.key("ended"), known.ending && !runs(known) ? known.ending->ended : "");
  write_status(json, known, now);
  write_death(json, known);
  write_optional(json.key("group"), group_of(known));
  write_optional(json.key("systemd_scope"), known.state.systemd_scope);
  CGX_CHECK(write_limits(json, known));
  json.key("network").string(r.network);
  json.key("namespaces").open_object().key("pid").string(r.pid).key("uts").string(r.uts).key("ipc").string(r.ipc);
  json.close_object();
  write_labels(json, r.labels);
  json.key("remove").boolean(r.remove).key("terminal").boolean(r.terminal).key("interactive").boolean(r.interactive);
  json.key("restart").open_object().key("policy").string(restart_word(r.restart)).key("most").number(r.restart_most);
  json.key("count").number(r.restarts).close_object();
  json.key("stop").open_object().key("signal").integer(r.stop_signal).key("timeout").integer(r.stop_timeout);
  json.close_object().key("log");
  if (r.log_size == 0)
    json.null();
  else
    json.open_object().key("size").number(2 * r.log_size).close_object();
  json.key("paths").open_object().key("data").string(r.data).key("log");
  write_optional(json, r.log_size == 0 ? "" : r.data + "/log");
  json.key("layer").string(r.data + "/upper");
  write_optional(json.key("bundle"), known.state.bundle);
  write_optional(json.key("rootfs"), known.state.rootfs);
  json.close_object().key("monitor").open_object().key("pid");
  if (known.monitored)
    json.integer(r.monitor);
  else
    json.null();
  json.close_object();
  if (further != nullptr) further(json, known);
  json.close_object();
  return {};
}

// What no container here has.
constexpr std::string_view networks = ".NetworkSettings";

Error without_networks(Error error, std::string_view format) {
  if (error.code != ENOENT || format.find(networks) == std::string_view::npos) return error;
  error.code = ENOTSUP;
  error.what = fmt::format("has {}, which is not supported: a container has no address of its own", networks);
  error.hint = "{{.HostConfig.NetworkMode}} is none, host or container:NAME";
  return error;
}

Result<int> inspect_by_template(const Call& call) {
  const std::string_view text = call.get("format");
  const Template wanted = CGX_TRY(located(Template::parse(text == "json" ? "{{json .}}" : text), "", "--format"));
  const std::int64_t now = now_usec();
  return for_each_name(call, [&](const std::string& name) -> Result<> {
    const Known known = CGX_TRY(find(name));
    sys::JsonWriter json;
    CGX_CHECK(write_known(json, known, now, write_docker_members));
    const auto tree = CGX_TRY(container::json::parse(json.take()));
    const auto out = located(wanted.run(value_of(container::json::Value(tree, 0))), "", "--format");
    if (!out) return std::unexpected(without_networks(out.error(), call.get("format")));
    tool::print(*out + "\n");
    return {};
  });
}

}  // namespace

Result<int> inspect(const Call& call) {
  if (call.on("format")) return inspect_by_template(call);
  const std::int64_t now = now_usec();
  sys::JsonWriter json;
  json.open_array();
  const int status = for_each_name(call, [&](const std::string& name) -> Result<> {
    const Known known = CGX_TRY(find(name));
    const sys::JsonWriter before = json;  // of one that fails nothing is shown
    auto written = write_known(json, known, now);
    if (!written) json = before;
    return written;
  });
  json.close_array();
  tool::print(oci::pretty_json(json.take()) + "\n");
  return status;
}

}  // namespace cgx::launcher
