// SPDX-License-Identifier: Apache-2.0
// exec: a further process in a running container.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/resources.h"
#include "cgx/sys/text.h"

#include "container.h"
#include "tools/foreground.h"

namespace cgx::oci {
namespace {

Result<std::uint32_t> id_number(std::string_view text, std::string_view flag) {
  const auto n = sys::parse_u64(text, 0, 0xfffffffe);
  if (!n) return fail(EINVAL, fmt::format("parsing {} as a number for --{} failed", text, flag));
  return static_cast<std::uint32_t>(*n);
}

Result<container::Process> process_of(const Invocation& call, const Spec& spec) {
  if (call.has("process")) {
    const std::string file(call.get("process"));
    const auto text = sys::read_path(file);
    if (!text) return fail(text.error().code, fmt::format("open {}: {}", file, errno_text(text.error().code)));
    return container::read_process(*text, spec.process ? &*spec.process : nullptr);
  }
  if (call.words.size() < 2) return fail(EINVAL, "process args cannot be empty");
  if (!spec.process) return fail(EINVAL, "the container has no process, whose rights another one could have");
  container::Process process = *spec.process;
  process.args.assign(call.words.begin() + 1, call.words.end());
  process.terminal = call.on("tty");
  process.console_size.reset();
  if (call.has("cwd")) process.cwd = call.get("cwd");
  for (std::string& variable : call.all("env")) process.env.push_back(std::move(variable));
  if (call.has("user")) {
    const std::string_view user = call.get("user");
    const std::size_t colon = user.find(':');
    process.user.uid = CGX_TRY(id_number(user.substr(0, colon), "user"));
    if (colon != std::string_view::npos) process.user.gid = CGX_TRY(id_number(user.substr(colon + 1), "user"));
  }
  // Of no row: the launcher's, whose groups are all that the other user has. runc's --user keeps the container's.
  if (call.on("no-groups")) process.user.additional_gids.clear();
  for (const std::string& gid : call.all("additional-gids"))
    process.user.additional_gids.push_back(CGX_TRY(id_number(gid, "additional-gids")));
  for (const std::string& name : call.all("cap")) {
    const int number = container::capability_number(name);
    if (number < 0) return fail(EINVAL, fmt::format("unknown capability {}", name));
    const std::uint64_t bit = std::uint64_t{1} << static_cast<unsigned>(number);
    if (!process.capabilities) process.capabilities.emplace();
    for (auto set :
         {&container::Capabilities::bounding, &container::Capabilities::effective, &container::Capabilities::permitted})
      (*process.capabilities).*set |= bit;
    // Ambient ones are for who is not root, and must be inheritable.
    if (process.user.uid != 0 && process.capabilities->ambient != 0) {
      process.capabilities->inheritable |= bit;
      process.capabilities->ambient |= bit;
    }
  }
  return process;
}

void overlay(const Invocation& call, container::Process& process) {
  if (call.has("apparmor")) process.apparmor_profile = call.get("apparmor");
  if (call.has("process-label")) process.selinux_label = call.get("process-label");
  if (call.on("no-new-privs")) process.no_new_privileges = true;
  if (call.on("tty")) process.terminal = true;
}

Result<> check_exec_terminal(const Invocation& call, const container::Process& process) {
  const bool socket = call.has("console-socket");
  const bool detach = call.on("detach");
  if (process.terminal && detach && !socket)
    return fail(EINVAL, "cannot allocate tty if cgx-oci will detach without setting console socket");
  if (socket && (!process.terminal || !detach))
    return fail(EINVAL, "cannot use console socket if cgx-oci will not detach or allocate tty");
  return {};
}

Result<> check_status(const Invocation& call, Status status) {
  switch (status) {
    case Status::running:
    case Status::created:
      return {};
    case Status::paused:
      if (call.on("ignore-paused")) return {};
      return fail(EBUSY, "cannot exec in a paused container (use --ignore-paused to override)");
    case Status::creating:
      return fail(EBUSY, "cannot exec in a container that is being created");
    case Status::stopped:
      break;
  }
  return fail(ESRCH, "cannot exec in a stopped container");
}

std::unexpected<Error> wrong_group(std::string_view text, std::string_view why) {
  return fail(EINVAL, fmt::format("invalid --cgroup argument: {} ({})", text, why));
}

Result<std::string> below(const State& state, std::string_view text, std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  if (path.empty()) return state.group;
  const auto name = parse_group_name(path);
  if (name) return child_of(state.group, *name);
  return wrong_group(text, fmt::format("bad sub cgroup path: {} is not a sub cgroup path", path));
}

// With the words that other runtimes have for it, as in membership_of().
std::unexpected<Error> no_such_group(const Hierarchy& h, const std::string& group) {
  return fail(ENOENT,
              fmt::format("there is no such group: adding pid to {}: no such file or directory",
                          h.path(group, "cgroup.procs")));
}

const Hierarchy* hierarchy_of(const Hierarchies& hierarchies, std::string_view name) {
  const auto c = find_controller(name);
  if (c && row(*c).v1_name == name) return hierarchies.of(*c);
  for (const Hierarchy& h : hierarchies.named())
    if (h.label() == name) return &h;
  return nullptr;
}

// --cgroup: one path for all hierarchies, or CONTROLLER[,CONTROLLER...]:PATH for some of v1.
struct ExecGroups {
  std::string group;
  std::vector<container::SubGroup> apart;
};
Result<ExecGroups> exec_groups(const Invocation& call, const State& state, const Hierarchies& hierarchies) {
  ExecGroups groups{.group = state.group, .apart = {}};
  const std::vector<std::string> given = call.all("cgroup");
  for (const std::string& text : given) {
    const auto wrong = [&](std::string_view why) { return wrong_group(text, why); };
    const std::size_t colon = text.find(':');
    if (colon == std::string::npos) {
      if (given.size() != 1) return wrong("missing <controller>: prefix");
      groups.group = CGX_TRY(below(state, text, text));
      continue;
    }
    const std::string group = CGX_TRY(below(state, text, std::string_view(text).substr(colon + 1)));
    for (const std::string_view name : sys::split(std::string_view(text).substr(0, colon), ',')) {
      if (name.empty()) return wrong("empty <controller> prefix");
      const Hierarchy* h = hierarchy_of(hierarchies, name);
      if (h == nullptr) return wrong(fmt::format("unknown controller {}: no hierarchy has it", name));
      if (h->version() == Version::v2) return wrong(fmt::format("{} is in cgroup2, which has one path for all", name));
      const auto same = std::ranges::find(groups.apart, h, &container::SubGroup::hierarchy);
      if (same != groups.apart.end() && same->group != group)
        return wrong(fmt::format("the hierarchy {} is named twice", h->label()));
      if (same == groups.apart.end()) groups.apart.push_back({.hierarchy = h, .group = group});
    }
  }
  return groups;
}

// As long as it is there, standard input, output and error are /dev/null: what is started then has none of the
// caller's.
class NoStreams {
 public:
  NoStreams() = default;
  NoStreams(const NoStreams&) = delete;
  NoStreams& operator=(const NoStreams&) = delete;
  ~NoStreams() {
    for (std::size_t i = 0; i < kept_.size(); ++i)
      if (kept_[i].valid()) (void)dup2(kept_[i].get(), static_cast<int>(i));
  }

  Result<> close() {
    const sys::Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    if (!null.valid()) return fail_errno(errno, "/dev/null");
    for (std::size_t i = 0; i < kept_.size(); ++i) {
      const int fd = static_cast<int>(i);
      kept_[i] = sys::Fd(fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
      if (!kept_[i].valid()) return fail_errno(errno, fmt::format("dup {}", fd));
      if (dup2(null.get(), fd) < 0) return fail_errno(errno, fmt::format("dup2 {}", fd));
    }
    return {};
  }

 private:
  std::array<sys::Fd, 3> kept_;
};

}  // namespace

Result<int> run_exec(const Invocation& call) {
  Container container = CGX_TRY(find_container(call, call.words[0], Store::How::look));
  CGX_CHECK(check_status(call, container.status));
  const Spec spec = CGX_TRY(container::read_spec(container.state.config, container.state.bundle));
  container::EnterRequest request;
  request.process = CGX_TRY(process_of(call, spec));
  overlay(call, request.process);
  if (request.process.args.empty()) return fail(EINVAL, "process args cannot be empty");
  CGX_CHECK(check_exec_terminal(call, request.process));
  request.spec = &spec;
  request.id = container.state.id;
  request.init = container.state.pid;
  request.init_start = container.state.pid_start;
  request.state_json = [&](std::string_view status, pid_t pid) {
    return container::state_json(container.state, status, pid);
  };
  if (call.log->debugs())
    request.trace = [&](std::string_view what) { call.log->debug(fmt::format("{}: {}", container.state.id, what)); };
  request.record = [&](pid_t pid) { return write_pid_file(call.get("pid-file"), pid); };
  request.preserve_fds = CGX_TRY(count_of(call, "preserve-fds"));
  request.console_socket = call.get("console-socket");
  request.pidfd_socket = call.get("pidfd-socket");
  request.foreground_terminal = request.process.terminal && !call.on("detach");
  request.no_new_keyring = call.on("no-new-keyring");
  request.limits_before = call.limits_before;
  std::optional<Hierarchies> hierarchies;
  std::unique_ptr<Cgroup> group;
  if (!container.state.group.empty()) {
    hierarchies = CGX_TRY(container::hierarchies_of(container.state));
    ExecGroups groups = CGX_TRY(exec_groups(call, container.state, *hierarchies));
    group = std::make_unique<Cgroup>(*hierarchies, std::move(groups.group));
    request.apart = std::move(groups.apart);
    if (auto there = group->require(); !there) {
      if (there.error().code != ENOENT || hierarchies->all().empty()) return std::unexpected(std::move(there.error()));
      return no_such_group(hierarchies->all().front(), group->name());
    }
    request.group = group.get();
    request.top_group = container.state.group;
  } else if (call.has("cgroup")) {
    return wrong_group(call.get("cgroup"), "the container has no group");
  }
  if (spec.linux_.seccomp)
    request.seccomp =
        CGX_TRY(container::compile_seccomp(*spec.linux_.seccomp, fmt::format("{}/@seccomp", call.root())));
  container::Launched launched = CGX_TRY([&]() -> Result<container::Launched> {
    NoStreams streams;
    if (call.on("no-streams")) CGX_CHECK(streams.close());  // of no row: the launcher's
    return container::enter(request);
  }());
  for (const std::string& warning : launched.warnings) call.log->warning(warning);
  if (call.on("detach")) return 0;
  return tool::wait_in_foreground(launched, call.get("detach-keys"));  // of no row: the launcher's
}

}  // namespace cgx::oci
