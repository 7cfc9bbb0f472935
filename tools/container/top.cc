// SPDX-License-Identifier: Apache-2.0
// container top: the processes of the container's group, by the host's /proc alone. --json:
//   {"name": "web", "processes": [{"pid": 17, "user": "root", "uid": 0, "started": "2026-01-31T12:00:00Z",
//                                  "cpu_usec": 1230000, "command": "httpd -f"}]}
// `pid` and `user` are those of the host.
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <map>
#include <optional>

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/sys/accounts.h"
#include "cgx/sys/process.h"
#include "cgx/sys/text.h"

#include "commands.h"
#include "making.h"
#include "table.h"
#include "view.h"

namespace cgx::launcher {
namespace {

struct ProcessRow {
  pid_t pid = 0;
  uid_t uid = 0;
  std::int64_t started = 0;  // seconds since 1970
  std::uint64_t cpu_usec = 0;
  std::string command;
};

// The beginning of a file, as much as fits; empty where it cannot be read.
std::string beginning_of(const std::string& path, std::size_t most) {
  const auto file = sys::open_path(path, O_RDONLY);
  if (!file) return {};
  std::string text(most, '\0');
  std::size_t done = 0;
  while (done < most) {
    const ssize_t n = read(file->get(), text.data() + done, most - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<std::size_t>(n);
  }
  text.resize(done);
  return text;
}

// Users of the host, by /etc/passwd alone: a static program must not load modules of NSS, and a name is a comfort.
std::map<uid_t, std::string> users_of_host() {
  std::map<uid_t, std::string> users;
  const std::string text = beginning_of("/etc/passwd", 1U << 20U);
  for (const std::string_view line : sys::lines(text))
    if (const auto account = sys::parse_passwd_line(line))
      users.emplace(account->uid, std::string(account->name));  // of two names the first one
  return users;
}

// When the host was started, by the clock of today.
std::int64_t boot_seconds() {
  timespec now{}, up{};
  (void)clock_gettime(CLOCK_REALTIME, &now);
  (void)clock_gettime(CLOCK_BOOTTIME, &up);
  return now.tv_sec - up.tv_sec;
}

// Of the second line of /proc/PID/status on; of the effective user, as ps has it.
std::optional<uid_t> user_of_process(std::string_view status) {
  for (const std::string_view line : sys::lines(status)) {
    if (!line.starts_with("Uid:")) continue;
    const auto ids = sys::words(line.substr(4));
    const auto uid = ids.size() < 2 ? Result<std::uint64_t>(fail(EINVAL, "")) : sys::parse_u64(ids[1], 0, 0xffffffff);
    return uid ? std::optional(static_cast<uid_t>(*uid)) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<ProcessRow> process_row(pid_t pid) {
  const std::string dir = fmt::format("/proc/{}/", pid);
  const std::string stat = beginning_of(dir + "stat", 4096);
  const auto said = sys::parse_stat(stat);
  const auto uid = user_of_process(beginning_of(dir + "status", 4096));
  if (!said || !uid) return std::nullopt;
  const auto ticks = static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
  ProcessRow row{.pid = pid, .uid = *uid};
  row.cpu_usec = (said->user_ticks + said->system_ticks) * (1'000'000 / ticks);
  row.started = boot_seconds() + static_cast<std::int64_t>(said->start / ticks);
  row.command = beginning_of(dir + "cmdline", 4096);
  while (row.command.ends_with('\0')) row.command.pop_back();
  std::ranges::replace(row.command, '\0', ' ');
  // Zombies, and threads of the kernel.
  if (row.command.empty()) row.command = fmt::format("[{}]", sys::name_in_stat(stat));
  return row;
}

std::string moment_text(std::int64_t seconds, const char* format, bool local) {
  const auto when = static_cast<time_t>(seconds);
  tm parts{};
  (void)(local ? localtime_r(&when, &parts) : gmtime_r(&when, &parts));
  std::array<char, 40> text{};
  return {text.data(), strftime(text.data(), text.size(), format, &parts)};
}

std::string processes_json(const std::string& name,
                           const std::vector<ProcessRow>& rows,
                           const std::map<uid_t, std::string>& users) {
  sys::JsonWriter json;
  json.open_object().key("name").string(name).key("processes").open_array();
  for (const ProcessRow& row : rows) {
    const auto user = users.find(row.uid);
    json.open_object().key("pid").integer(row.pid).key("user");
    json.string(user == users.end() ? std::to_string(row.uid) : user->second).key("uid").number(row.uid);
    json.key("started").string(moment_text(row.started, "%Y-%m-%dT%H:%M:%SZ", false));
    json.key("cpu_usec").number(row.cpu_usec).key("command").string(row.command).close_object();
  }
  return json.close_array().close_object().take() + "\n";
}

// As docker: what ps of the host prints with these options, and of that the lines of the container's processes.
Result<int> top_by_ps(const Call& call, const Known& known) {
  if (call.json) {
    Error e{.code = EINVAL, .what = "contradicts options of ps", .knob = "--json", .fault = Fault::usage};
    e.hint = fmt::format("cgx container top {} --json, or the options alone", call.words[0]);
    return std::unexpected(std::move(e));
  }
  RuntimeCall runtime(CGX_TRY(run_root()), "container top");
  oci::Invocation& inner = runtime.call();
  inner.words.push_back(known.record.id);
  inner.words.insert(inner.words.end(), call.program.begin(), call.program.end());
  return located(oci::run_ps(inner), known.record.id);
}

}  // namespace

Result<int> top(const Call& given) {
  // Behind CONTAINER all is for ps, which has no --json.
  Call call = given;
  if (std::erase(call.program, "--json") > 0) call.json = true;
  const Known known = CGX_TRY(find(call.words[0]));
  CGX_CHECK(needs_to_run(known));
  if (!call.program.empty()) return top_by_ps(call, known);
  std::vector<pid_t> pids{known.state.pid};  // without a group no more is known
  if (!known.state.group.empty()) {
    const Hierarchies hierarchies = CGX_TRY(container::hierarchies_of(known.state));
    const Cgroup group(hierarchies, known.state.group);
    CGX_CHECK(group.require());
    pids = CGX_TRY(tasks_below(group));
  }
  std::vector<ProcessRow> rows;
  for (const pid_t pid : pids)
    if (auto row = process_row(pid)) rows.push_back(std::move(*row));  // else it has ended since
  // The number may be another process by now.
  if (known.state.group.empty() && !CGX_TRY(container::init_lives(known.state))) rows.clear();
  const std::map<uid_t, std::string> users = users_of_host();
  if (call.json) {
    tool::print(processes_json(known.record.id, rows, users));
    return 0;
  }
  const std::int64_t now = now_usec() / 1'000'000;
  std::vector<Cells> cells;
  for (const ProcessRow& row : rows) {
    const auto user = users.find(row.uid);
    const std::uint64_t seconds = row.cpu_usec / 1'000'000;
    cells.push_back({std::to_string(row.pid),
                     user == users.end() ? std::to_string(row.uid) : user->second,
                     moment_text(row.started, now - row.started < 86400 ? "%H:%M" : "%Y-%m-%d", true),
                     fmt::format("{}:{:02}.{:02}", seconds / 60, seconds % 60, row.cpu_usec / 10'000 % 100),
                     row.command});
  }
  const auto right = Column::Align::right;
  tool::print(table_text({{"PID", right}, {"USER"}, {"STARTED", right}, {"TIME", right}, {"CMD"}}, cells));
  return 0;
}

}  // namespace cgx::launcher
