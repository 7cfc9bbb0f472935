// SPDX-License-Identifier: Apache-2.0
// attach and exec: into a container that runs.
#include <cerrno>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/limit_hits.h"
#include "cgx/container/proc_fd.h"
#include "cgx/container/root_dir.h"
#include "cgx/sys/text.h"

#include "commands.h"
#include "making.h"
#include "options.h"
#include "relay.h"
#include "rootless.h"
#include "tools/exec_memory.h"

namespace cgx::launcher {
namespace {

// The container's root as its first process has it; the process is the one of the state before and after.
Result<sys::Fd> root_of(const State& state) {
  auto root = container::open_in_proc(state.pid, state.pid_start, "root", O_PATH | O_DIRECTORY);
  if (!root && root.error().code == ESRCH) return fail(ESRCH, "does not run");
  return root;
}

Result<Known> running(const std::string& name) {
  Known known = CGX_TRY(find(name));
  if (known.status == Status::paused) {
    Error e{.code = EBUSY, .what = "is paused", .group = known.record.id};
    e.hint = "cgx container unpause " + known.record.id;
    return std::unexpected(std::move(e));
  }
  if (known.status != Status::running) {
    Error e{.code = ESRCH, .what = "does not run", .group = known.record.id};
    e.hint = "cgx container ls -a shows how it ended";
    return std::unexpected(std::move(e));
  }
  return known;
}

// Files first: what a flag says itself wins.
Result<std::vector<std::string>> environment_of(const Call& call) {
  std::vector<std::string> all;
  for (const std::string_view path : call.all("env-file")) {
    const auto variables = CGX_TRY(read_env_file(std::string(path)));
    all.insert(all.end(), variables.begin(), variables.end());
  }
  for (const std::string_view text : call.all("env")) {
    auto variable = located(parse_env(text), "", "--env");
    if (!variable) return std::unexpected(variable.error());
    if (*variable) all.push_back(**std::move(variable));
  }
  return all;
}

}  // namespace

Result<int> attach(const Call& call) {
  const std::string keys = CGX_TRY(located(parse_detach_keys(call.get("detach-keys")), "", "--detach-keys"));
  const Known known = CGX_TRY(running(call.words[0]));
  const bool input = known.record.interactive && !call.on("no-stdin");
  if (!check_input(input, known.record.terminal)) {
    Error e{.code = ENOTTY, .what = "has a terminal, and standard input is no terminal", .group = known.record.id};
    e.hint = "--no-stdin shows its output alone";
    return std::unexpected(std::move(e));
  }
  const auto monitor = connect_in(known.entry.directory());
  if (!monitor)
    return fail(ECONNREFUSED,
                fmt::format("the monitor of {} was killed; cgx container logs has what it wrote", known.record.id));
  CGX_CHECK(send_packet(monitor->get(), Word::watch));
  Foreground foreground{.socket = monitor->get(),
                        .input = input,
                        .terminal = known.record.terminal,
                        .directory = fmt::format("{}/{}", CGX_TRY(run_root()), known.record.id),
                        .shown = fmt::format("container attach {}", known.record.id),
                        .signals = call.get("sig-proxy") != "false"};
  foreground.keys = keys;
  const int status = CGX_TRY(located(stay(foreground), known.record.id));
  return status < 0 ? 0 : status;
}

Result<int> exec(const Call& call) {
  if (call.program.empty()) {
    Error e{.code = EINVAL, .what = "no command is given", .hint = "cgx container exec CONTAINER CMD [ARG...]"};
    e.fault = Fault::usage;
    return std::unexpected(std::move(e));
  }
  if (call.on("detach") && call.on("tty"))
    return std::unexpected(Error{.code = ENOTSUP,
                                 .what = "is not supported with --detach: nobody would keep the terminal",
                                 .knob = "--tty",
                                 .hint = "leave out -t; or start it with -it, and leave it by ctrl-p ctrl-q",
                                 .fault = Fault::usage});
  if (!call.on("detach")) CGX_CHECK(check_input(call.on("interactive"), call.on("tty")));
  const std::string keys = CGX_TRY(located(parse_detach_keys(call.get("detach-keys")), "", "--detach-keys"));
  const std::vector<std::string> environment = CGX_TRY(environment_of(call));
  close_others();
  const Known known = CGX_TRY(running(call.words[0]));
  CGX_CHECK(enter_namespace_of(known));
  RuntimeCall runtime(CGX_TRY(run_root()), "container exec");
  oci::Invocation& inner = runtime.call();
  for (const oci::Command& row : oci::commands())
    if (row.name == "exec") inner.command = &row;
  if (call.on("tty")) inner.options.emplace_back("tty", "true");
  if (call.on("detach")) {
    inner.options.emplace_back("detach", "true");
    inner.options.emplace_back("no-streams", "true");
  }
  if (!call.get("workdir").empty()) inner.options.emplace_back("cwd", std::string(call.get("workdir")));
  for (const std::string& variable : environment) inner.options.emplace_back("env", variable);
  if (call.on("privileged")) {
    for (int i = 0; !container::capability_name(i).empty(); ++i)
      inner.options.emplace_back("cap", container::capability_name(i));
    inner.options.emplace_back("apparmor", "");
  }
  if (call.on("tty")) inner.options.emplace_back("detach-keys", keys);
  if (const std::string_view user = call.get("user"); !user.empty()) {
    const sys::Fd root = CGX_TRY(located(root_of(known.state), known.record.id));
    const ImageUser found = CGX_TRY(located(find_user(root.get(), user), known.record.id, "--user"));
    inner.options.emplace_back("user", fmt::format("{}:{}", found.uid, found.gid));
    inner.options.emplace_back("no-groups", "true");
    for (const std::uint32_t gid : found.groups) inner.options.emplace_back("additional-gids", std::to_string(gid));
  }
  inner.words.push_back(known.record.id);
  inner.words.insert(inner.words.end(), call.program.begin(), call.program.end());
  if (!call.on("interactive") && !call.on("tty") && !call.on("detach")) {
    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0) (void)dup2(null, STDIN_FILENO);
  }
  // No descriptor of the group is open while the command starts.
  const auto hierarchies = container::hierarchies_of(known.state);
  const bool counts = hierarchies && !known.state.group.empty() && !call.on("detach");
  const auto before = counts ? container::read_memory(Cgroup(*hierarchies, known.state.group)) : container::Readings();
  const auto status = oci::run_exec(inner);
  if (counts && status && *status == 128 + SIGKILL)
    tool::tell_of_memory(
        before, Cgroup(*hierarchies, known.state.group), {"container exec", known.record.id, call.json});
  if (status) return *status < 0 ? 0 : *status;  // it was left running
  Error error = status.error();
  if (error.group.empty()) error.group = known.record.id;
  return std::unexpected(std::move(error));
}

}  // namespace cgx::launcher
