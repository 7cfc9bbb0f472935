// SPDX-License-Identifier: Apache-2.0
#include "inspect_docker.h"

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "cgx/container/spec.h"
#include "cgx/sys/text.h"

#include "filters.h"
#include "tools/signals.h"
#include "view.h"

namespace cgx::launcher {
namespace {

using container::Spec;

void write_words(sys::JsonWriter& json, std::string_view key, const std::vector<std::string>& texts) {
  json.key(key).open_array();
  for (const std::string& text : texts) json.string(text);
  json.close_array();
}

void write_docker_state(sys::JsonWriter& json, const Known& known) {
  const std::string_view state = docker_state(known);
  const Ending ending = runs(known) ? Ending() : known.ending.value_or(Ending());
  json.key("State").open_object().key("Status").string(state).key("Running").boolean(runs(known));
  json.key("Paused").boolean(state == "paused").key("Restarting").boolean(state == "restarting");
  json.key("Dead").boolean(state == "dead").key("OOMKilled").boolean(ending.oom_kills > 0);
  json.key("Pid").integer(runs(known) ? known.state.pid : 0).key("ExitCode").integer(ending.status);
  // What has not been yet is the zero of Go's times for docker.
  const auto time = [](const std::string& text) { return text.empty() ? "0001-01-01T00:00:00Z" : text.c_str(); };
  json.key("Error").string(ending.error).key("StartedAt").string(time(known.record.started));
  json.key("FinishedAt").string(time(ending.ended)).close_object();
}

void write_docker_config(sys::JsonWriter& json, const Record& r, const Spec& spec) {
  json.key("Config").open_object().key("Image").string(r.image).key("Tty").boolean(r.terminal);
  json.key("OpenStdin").boolean(r.interactive).key("StopSignal").string("SIG" + tool::signal_name(r.stop_signal));
  json.key("StopTimeout").integer(r.stop_timeout);
  json.key("Hostname").string(spec.hostname).key("Domainname").string(spec.domainname).key("User").string(r.user);
  write_words(json, "Env", spec.process ? spec.process->env : std::vector<std::string>());
  json.key("WorkingDir").string(spec.process ? spec.process->cwd : "");
  write_words(json, "Cmd", r.command);
  std::map<std::string_view, std::string_view> labels;  // of a name that is there twice the last one counts
  for (const auto& [name, value] : r.labels) labels.insert_or_assign(name, value);
  json.key("Labels").open_object();
  for (const auto& [name, value] : labels) json.key(name).string(value);
  json.close_object().close_object();
}

bool holds(const std::vector<std::string>& words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

bool is_read_only(const container::Mount& m) { return holds(m.options, "ro") || holds(m.options, "rro"); }

// What -v, --mount and --tmpfs have made, and not what every container has.
bool was_asked_for(const Known& known, const container::Mount& m) {
  if (m.type == "tmpfs") return m.destination != "/dev" && m.source != "shm";
  return m.type == "bind" && m.source != "/sys" && !m.source.starts_with(known.record.data + "/") &&
         m.destination != "/dev/cgx-init" && !(m.destination == "/dev/shm" && m.source == "/dev/shm");
}

void write_mounts(sys::JsonWriter& json, const Known& known, const Spec& spec) {
  json.key("Mounts").open_array();
  for (const container::Mount& m : spec.mounts) {
    if (!was_asked_for(known, m)) continue;
    const bool bind = m.type == "bind";
    json.open_object().key("Type").string(m.type).key("Source").string(bind ? m.source : "");
    json.key("Destination").string(m.destination).key("Mode").string(is_read_only(m) ? "ro" : "");
    json.key("RW").boolean(!is_read_only(m)).key("Propagation");
    std::string_view propagation;
    for (const std::string_view word : {"rprivate", "private", "rshared", "shared", "rslave", "slave"})
      if (bind && holds(m.options, word)) propagation = word;
    json.string(propagation).close_object();
  }
  json.close_array();
}

// The last text of a flag; nullptr: it was not given.
const std::string* limit_of(const Record& r, std::string_view flag) {
  const auto found = std::ranges::find(r.limits.rbegin(), r.limits.rend(), flag, &Pairs::value_type::first);
  return found == r.limits.rend() ? nullptr : &found->second;
}

std::uint64_t limit_size(const Record& r, std::string_view flag) {
  const std::string* text = limit_of(r, flag);
  const auto size = text != nullptr ? sys::parse_size(*text) : Result<std::uint64_t>(std::uint64_t{0});
  return size && *size != sys::unlimited ? *size : 0;
}

// As docker: 0 and an empty text for what is not limited.
void write_docker_limits(sys::JsonWriter& json, const Record& r) {
  const auto text = [&](std::string_view flag) {
    const std::string* given = limit_of(r, flag);
    return given != nullptr ? *given : std::string();
  };
  json.key("Memory").number(limit_size(r, "--mem")).key("MemorySwap").number(limit_size(r, "--memsw"));
  json.key("MemoryReservation")
      .number(limit_size(r, "--mem-soft"))
      .key("CpuShares")
      .number(limit_size(r, "--cpu-shares"));
  const std::string quota_text = text("--cpu-quota");
  const auto quota = quota_text.empty() ? Result<sys::Quota>(sys::Quota()) : sys::parse_quota(quota_text);
  const bool limited = quota && quota->quota != sys::unlimited;
  const std::uint64_t period = limited && quota->period != 0 ? quota->period : 100'000;
  json.key("CpuQuota").number(limited ? quota->quota : 0).key("CpuPeriod").number(limited ? period : 0);
  json.key("NanoCpus").number(limited ? quota->quota * 1'000'000'000 / period : 0);
  json.key("CpusetCpus").string(text("--cpus")).key("CpusetMems").string(text("--mems")).key("PidsLimit");
  if (const std::uint64_t pids = limit_size(r, "--pids"); pids != 0)
    json.number(pids);
  else
    json.null();
}

void write_host_config(sys::JsonWriter& json, const Known& known, const Spec& spec) {
  const Record& r = known.record;
  const auto mode = [](const std::string& word) { return word == "private" ? std::string() : word; };
  json.key("HostConfig").open_object().key("AutoRemove").boolean(r.remove).key("NetworkMode").string(r.network);
  json.key("PidMode").string(mode(r.pid)).key("UTSMode").string(mode(r.uts)).key("IpcMode").string(r.ipc);
  json.key("ReadonlyRootfs").boolean(spec.root.readonly).key("LogConfig").open_object();
  json.key("Type").string(r.log_size == 0 ? "none" : "json-file").close_object();
  json.key("RestartPolicy").open_object().key("Name").string(restart_word(r.restart));
  json.key("MaximumRetryCount").number(r.restart_most).close_object().key("Binds").open_array();
  for (const container::Mount& m : spec.mounts)
    if (m.type == "bind" && was_asked_for(known, m))
      json.string(fmt::format("{}:{}{}", m.source, m.destination, is_read_only(m) ? ":ro" : ""));
  json.close_array();
  write_docker_limits(json, r);
  json.close_object();
}

}  // namespace

void write_docker_members(sys::JsonWriter& json, const Known& known) {
  const Record& r = known.record;
  auto read = container::read_spec(known.state.config, known.state.bundle);
  const Spec spec = read ? std::move(*read) : Spec();
  json.key("Id").string(r.hex_id.empty() ? r.id : r.hex_id);
  json.key("Name").string("/" + r.id).key("Created").string(r.created);
  json.key("Path").string(r.command.empty() ? "" : r.command[0]).key("Args").open_array();
  for (std::size_t i = 1; i < r.command.size(); ++i) json.string(r.command[i]);
  json.close_array();
  write_docker_state(json, known);
  json.key("Image").string(r.image).key("LogPath").string(r.log_size == 0 ? "" : r.data + "/log");
  json.key("RestartCount").number(r.restarts);
  write_mounts(json, known, spec);
  write_docker_config(json, r, spec);
  write_host_config(json, known, spec);
}

}  // namespace cgx::launcher
