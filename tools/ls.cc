// SPDX-License-Identifier: Apache-2.0
// cgx ls, cgx procs.
//
// ls --json: [{"name": "web/api", "hierarchies": ["cpu", "memory", "unified"]}, ...]
// procs --json: [{"pid": 17, "command": "sh", "group": "web"}, ...]; with --threads also "tid". "group" is one in which
// the process is: the named one or, with -r, one below it.
#include <algorithm>
#include <array>
#include <cerrno>
#include <map>

#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/walk.h"
#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

#include "groups.h"
#include "processes.h"

namespace cgx::tool {
namespace {

// The process of a thread; nullopt: it has gone.
std::optional<pid_t> process_of(pid_t thread) {
  const auto status = sys::read_path(fmt::format("/proc/{}/status", thread));
  if (!status) return {};
  for (const std::string_view line : sys::lines(*status))
    if (line.starts_with("Tgid:")) return parse_pid(sys::trim(line.substr(5))).value_or(0);
  return {};
}

struct Listing {
  pid_t id;
  pid_t process;
  std::string command;
  std::string group;
};

}  // namespace

Result<int> run_ls(const Call& call) {
  const std::string name = call.words.empty() ? std::string() : CGX_TRY(parse_group_name(call.words[0]));
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  const std::vector<Listed> groups =
      CGX_TRY(walk(Cgroup(hierarchies, name), call.on("recursive") ? Depth::all : Depth::children));
  std::string out;
  if (!call.json) {
    const bool terminal = isatty(STDOUT_FILENO) == 1;  // asked once: printable() asks for each name
    for (const Listed& l : groups) out.append(terminal ? without_controls(l.name) : l.name).append("\n");
    print(out);
    return 0;
  }
  sys::JsonWriter json;
  json.open_array();
  for (const Listed& l : groups) {
    json.open_object().key("name").string(l.name).key("hierarchies").open_array();
    for (const Hierarchy& h : hierarchies.all())
      if (l.in(h)) json.string(h.label());
    json.close_array().close_object();
  }
  json.close_array();
  print(json.take() + "\n");
  return 0;
}

Result<int> run_procs(const Call& call) {
  const Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  const std::string name = CGX_TRY(existing_name(hierarchies, call.words[0]));
  const Cgroup top(hierarchies, name);
  const Tasks which = call.on("threads") ? Tasks::threads : Tasks::processes;
  std::map<pid_t, std::string> found;
  for (const pid_t id : CGX_TRY(tasks_of(top, which))) found.emplace(id, name);
  if (call.on("recursive"))
    for (const Listed& inner : CGX_TRY(walk(top, Depth::all))) {
      // The deepest one counts: in the groups above it may be by another hierarchy only.
      for (const pid_t id : CGX_TRY(tasks_of(hierarchies, inner, which))) found.insert_or_assign(id, inner.name);
    }
  std::vector<Listing> listed;
  for (const auto& [id, group] : found) {
    const auto comm = sys::read_path(fmt::format("/proc/{}/comm", id));
    const auto process = which == Tasks::threads ? process_of(id) : std::optional(id);
    if (!comm || !process) continue;  // it has ended since
    listed.push_back({id, *process, std::string(sys::trim(*comm)), group});
  }
  if (!call.json) {
    std::string out;
    for (const Listing& l : listed) out += fmt::format("{:>7} {}\n", l.id, without_controls(l.command));
    print(out);
    return 0;
  }
  sys::JsonWriter json;
  json.open_array();
  for (const Listing& l : listed) {
    json.open_object().key("pid").integer(l.process);
    if (which == Tasks::threads) json.key("tid").integer(l.id);
    json.key("command").string(l.command).key("group").string(shown(l.group)).close_object();
  }
  json.close_array();
  print(json.take() + "\n");
  return 0;
}

}  // namespace cgx::tool
