// SPDX-License-Identifier: Apache-2.0
#include "create.h"

#include <array>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdlib>
#include <ctime>

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/user_namespace.h"
#include "cgx/sys/text.h"

#include "notify.h"

namespace cgx::oci {
namespace {

struct Bundle {
  std::string directory, config;
};

Result<Bundle> read_bundle(const Invocation& call) {
  const std::string given(call.get("bundle", "."));
  std::array<char, PATH_MAX> real{};
  if (realpath(given.empty() ? "." : given.c_str(), real.data()) == nullptr)
    return fail(errno,
                fmt::format("chdir {}: {}", given, errno == ENOENT ? "no such file or directory" : errno_text(errno)));
  Bundle bundle{.directory = real.data(), .config = {}};
  const std::string_view named = call.get("config", "config.json");
  const std::string file = named.starts_with('/') ? std::string(named) : fmt::format("{}/{}", bundle.directory, named);
  auto text = sys::read_path(file);
  if (!text) {
    if (text.error().code == ENOENT) return fail(ENOENT, fmt::format("JSON specification file {} not found", named));
    return fail(text.error().code, fmt::format("JSON specification file {}: {}", named, errno_text(text.error().code)));
  }
  bundle.config = std::move(*text);
  return bundle;
}

Result<> check_terminal(const Spec& spec, bool has_socket, bool detach) {
  const bool terminal = spec.process && spec.process->terminal;
  if (has_socket && (!terminal || !detach))
    return fail(EINVAL, "cannot use console socket if cgx-oci will not detach or allocate tty");
  if (terminal && detach && !has_socket)
    return fail(EINVAL, "cannot allocate tty if cgx-oci will detach without setting console socket");
  return {};
}

// Mappings that a new user namespace needs, where the specification has none: the process's user is the caller.
void fill_mappings(const Invocation& call, Spec& spec) {
  const container::Namespace* user = spec.find(container::NamespaceType::user);
  if (user == nullptr || !user->path.empty() || !spec.process) return;
  const auto fill = [&](std::vector<container::IdMapping>& maps,
                        std::string_view key,
                        const char* file,
                        std::uint32_t own,
                        std::uint32_t inside) {
    if (!maps.empty()) return;
    maps = container::default_mappings(file, geteuid(), own, inside);
    call.log->warning(fmt::format("linux.{} is missing: {} of the container is {} of the host", key, inside, own));
  };
  const container::User& inside = spec.process->user;
  fill(spec.linux_.uid_mappings, "uidMappings", "/etc/subuid", geteuid(), inside.uid);
  fill(spec.linux_.gid_mappings, "gidMappings", "/etc/subgid", getegid(), inside.gid);
}

class Maker {
 public:
  Maker(const Invocation& call, Start start, bool detach)
      : call_(call), start_(start), detach_(detach), spec_(std::make_unique<Spec>()), groups_(call, *spec_) {}

  Result<Made> run() {
    const std::string& id = call_.words[0];
    CGX_CHECK(Store::check_id(id));
    Bundle bundle = CGX_TRY(read_bundle(call_));
    *spec_ = CGX_TRY(container::read_spec(bundle.config, bundle.directory));
    fill_mappings(call_, *spec_);
    CGX_CHECK(check_terminal(*spec_, call_.has("console-socket"), detach_));
    preserve_ = CGX_TRY(count_of(call_, "preserve-fds"));
    Store store = CGX_TRY(Store::open(call_.root()));
    Container made{.entry = CGX_TRY(store.create(id)), .state = {}};
    State& state = made.state;
    state.id = id;
    state.bundle = bundle.directory;
    state.rootfs = spec_->root.path;
    state.oci_version = spec_->oci_version;
    state.created = container::time_now();
    const std::string name = container::account_of(getuid());
    state.owner = name.empty() ? fmt::format("#{}", getuid()) : name;
    state.annotations = spec_->annotations;
    state.config = std::move(bundle.config);
    if (has_notify_socket())
      if (auto added = add_notify(*spec_, made.entry, call_.root()); !added) {
        give_up(made);
        return std::unexpected(std::move(added.error()));
      }
    auto launched = launch(made);
    if (!launched) {
      give_up(made);
      return std::unexpected(std::move(launched.error()));
    }
    for (const std::string& warning : launched->warnings) call_.log->warning(warning);
    made.status = start_ == Start::wait ? Status::created : Status::running;
    return Made{std::move(made), std::move(spec_), std::move(*launched), std::move(ready_)};
  }

 private:
  Result<container::Launched> launch(Container& made) {
    call_.log->debug(
        fmt::format("{}: bundle {}, root file system {}", made.state.id, made.state.bundle, made.state.rootfs));
    CGX_CHECK(groups_.make(made.state, [&] { return made.entry.write(made.state); }));
    call_.log->debug(
        fmt::format("{}: {}", made.state.id, made.state.group.empty() ? "no group" : "group " + made.state.group));
    container::LaunchRequest request;
    if (spec_->linux_.seccomp) {
      // No id begins with '@'.
      request.seccomp =
          CGX_TRY(container::compile_seccomp(*spec_->linux_.seccomp, fmt::format("{}/@seccomp", call_.root())));
      for (const std::string& note : request.seccomp->notes) call_.log->debug(note);
      if (spec_->switched_on("run.oci.seccomp_fail_unknown_syscall") && !request.seccomp->notes.empty())
        return fail(EINVAL, fmt::format("invalid seccomp syscall `{}`", request.seccomp->notes.front()));
    }
    request.spec = spec_.get();
    request.id = made.state.id;
    request.bundle = made.state.bundle;
    request.group = groups_.group();
    request.new_group = made.state.group_made && made.state.systemd_scope.empty();
    request.rootfs.spec = spec_.get();
    request.rootfs.pivot = !call_.on("no-pivot");
    request.console_socket = call_.get("console-socket");
    request.pidfd_socket = call_.get("pidfd-socket");
    request.foreground_terminal = spec_->process && spec_->process->terminal && !detach_;
    request.preserve_fds = preserve_;
    request.no_new_keyring = call_.on("no-new-keyring");
    request.limits_before = call_.limits_before;
    sys::Fd fifo;
    if (start_ == Start::wait) {
      CGX_CHECK(made.entry.make_start_fifo(geteuid()));
      fifo = CGX_TRY(made.entry.open_start_fifo(O_PATH));
      request.start_fifo = fifo.get();
    } else if (has_notify_socket()) {
      ready_ = CGX_TRY(listen_for_ready(made.entry));
    }
    request.state_json = [&](std::string_view status, pid_t pid) {
      return container::state_json(made.state, status, pid);
    };
    // The process waits for this: whatever ends this program, there is a state that names it, or it ends too.
    if (call_.log->debugs())
      request.trace = [&](std::string_view what) { call_.log->debug(fmt::format("{}: {}", made.state.id, what)); };
    request.record = [&](pid_t pid) -> Result<> {
      made.state.pid = pid;
      made.state.pid_start = CGX_TRY(container::start_time_of(pid));
      made.state.ready = true;
      CGX_CHECK(made.entry.write(made.state));
      return write_pid_file(call_.get("pid-file"), pid);
    };
    return container::launch(request);
  }

  void give_up(Container& made) {
    auto undone = end_processes(made.state);
    if (auto gone = groups_.undo(made.state); undone) undone = std::move(gone);
    // The record goes last, and stays for `delete` where something is left.
    if (undone) undone = made.entry.remove();
    if (!undone) call_.log->warning(undone.error().text());
    // What the hooks of the making have made, a network or a device, is for these to take away.
    run_poststop(call_, *spec_, made.state);
  }

  const Invocation& call_;
  Start start_;
  bool detach_;
  int preserve_ = 0;
  sys::Fd ready_;
  std::unique_ptr<Spec> spec_;
  GroupMaker groups_;
};

}  // namespace

Result<Made> make_container(const Invocation& call, Start start, bool detach) {
  return Maker(call, start, detach).run();
}

Result<int> run_create(const Invocation& call) {
  (void)CGX_TRY(make_container(call, Start::wait, true));
  return 0;
}

}  // namespace cgx::oci
