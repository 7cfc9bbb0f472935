// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/supervise.h"

#include <cerrno>
#include <csignal>

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/limit_hits.h"
#include "cgx/container/limits.h"
#include "cgx/container/net_devices.h"
#include "cgx/container/state.h"
#include "cgx/sys/json.h"

namespace cgx::container {
namespace {

bool at_program(Stage stage) { return stage == Stage::program || stage == Stage::exec; }

std::unexpected<Error> staged(Stage stage, int code, const std::string& reason) {
  if (!at_program(stage)) {
    Error error{.code = code, .what = fmt::format("stage {}: {}", stage_name(stage), reason)};
    if (stage == Stage::user && code == EINVAL)
      error.hint =
          "without root, the ids of a container come from the lines of this user in /etc/subuid and /etc/subgid";
    return std::unexpected(std::move(error));
  }
  // What is wrong with the program is told in the words of all container engines.
  Error error{.code = code, .what = reason};
  error.fault = Fault::program;
  return std::unexpected(std::move(error));
}

// The state of the container process that the specification has for agents of seccomp notifications.
std::string listener_state(const Supervision& s, pid_t pid) {
  sys::JsonWriter json;
  json.open_object().key("ociVersion").string(s.spec->oci_version);
  json.key("fds").open_array().string("seccompFd").close_array();
  json.key("pid").integer(pid);
  json.key("metadata").string(s.spec->linux_.seccomp->listener_metadata);
  std::string text = json.text();
  text += ",\"state\":" + s.state_json("creating", pid) + "}";
  return text;
}

// The child says the number of its descriptor only: its filter may already stop it at sendmsg(2).
Result<> pass_listener(const Supervision& s, const Born& born, int number) {
  if (!s.spec->linux_.seccomp || s.spec->linux_.seccomp->listener_path.empty() || !s.state_json)
    return fail(EINVAL, "SCMP_ACT_NOTIFY is used, and linux.seccomp.listenerPath is not given");
  const sys::Fd listener(static_cast<int>(syscall(SYS_pidfd_getfd, born.pidfd.get(), number, 0)));
  if (!listener.valid()) return fail_errno(errno, "pidfd_getfd");
  const auto agent = connect_unix(s.spec->linux_.seccomp->listener_path);
  if (!agent) return fail(agent.error().code, "failed to connect with seccomp agent: " + agent.error().what);
  return send_descriptor(agent->get(), listener_state(s, born.pid), listener.get());
}

class Talk {
 public:
  Talk(Birth& birth, const Supervision& supervision, const Born& born, const Readings& memory)
      : channel_(birth.channel()), progress_(*birth.progress()), s_(supervision), born_(born), memory_(memory) {}

  // True: the process is on its way. The text of a failure that has no more to say is in the error.
  Result<> run() {
    if (born_.pid > 0) CGX_CHECK(or_its_end(begin()));
    while (true) {
      auto message = CGX_TRY(channel_.receive());
      if (!message) {
        CGX_CHECK(ended());
        break;
      }
      if (message->word == Notice::go) break;
      if (message->word == Notice::failed) return staged(message->stage, message->value, message->text);
      CGX_CHECK(or_its_end(answer(*message)));
    }
    devices_.keep();
    return {};
  }
  std::vector<std::string> warnings;
  sys::Fd terminal;

 private:
  Result<> begin() {
    if (s_.made) CGX_CHECK(s_.made(born_.pid));
    return s_.says_go_first ? go() : Result<>();
  }
  // A process that has ended meanwhile makes what is done for it fail: why it ended is the reason.
  Result<> or_its_end(Result<> done) const {
    if (done) return done;
    const int code = done.error().code;
    const bool may_be_gone = code == ESRCH || code == EPIPE || code == ECONNRESET;
    if (!progress_.failed && (!may_be_gone || !is_ending())) return done;
    auto end = ended();
    return end ? done : end;
  }
  // Its descriptors are closed a little before it can be waited for.
  [[nodiscard]] bool is_ending() const {
    constexpr int milliseconds = 1000;
    pollfd end{.fd = born_.pidfd.get(), .events = POLLIN, .revents = 0};
    return born_.pidfd.valid() && poll(&end, 1, milliseconds) == 1;
  }
  Result<> go() { return channel_.send(Notice::go, Stage::unborn); }
  [[nodiscard]] Result<> ended() const {
    const Stage stage = progress_.stage;
    if (progress_.failed) return staged(stage, progress_.code, progress_.text.data());
    if (born_.pid > 0 && has_executed(born_.pid).value_or(stage >= Stage::start)) return {};
    // The kernel counts before it kills.
    const Cause cause = s_.group != nullptr ? memory_cause(memory_, read_memory(*s_.group)) : Cause{};
    std::string how = cause.count == 0 ? how_it_ended() : "was killed for memory: " + cause.memory_text();
    if (cause.count == 0 && !cause.unread.empty())
      how += fmt::format("; whether for memory is unknown, because {}", cause.unread);
    const std::string place = at_program(stage) ? fmt::format("exec \"{}\": ", s_.process->args.front()) : "";
    Error error = staged(stage, ECHILD, fmt::format("{}the process {}", place, how)).error();
    if (cause.count != 0 && !cause.limit.empty())
      error.hint = "give the container more memory: starting it takes some too";
    return std::unexpected(std::move(error));
  }
  [[nodiscard]] std::string how_it_ended() const {
    siginfo_t info{};
    if (born_.pid <= 0 || waitid(P_PID, static_cast<id_t>(born_.pid), &info, WEXITED | WNOWAIT) != 0) return "ended";
    if (info.si_code == CLD_EXITED) return fmt::format("ended with status {}", info.si_status);
    if (info.si_status == SIGSYS && s_.seccomp != nullptr)
      return fmt::format("was killed by the seccomp filter (SIGSYS){}",
                         s_.seccomp->notifies ? "" : ": it has to allow execve");
    return fmt::format("was killed by signal {}", info.si_status);
  }
  Result<> ready() {
    if (s_.trace) s_.trace(fmt::format("process {} is ready", born_.pid));
    if (s_.record) CGX_CHECK(s_.record(born_.pid));
    if (s_.pidfd_socket < 0) return {};
    auto sent = send_descriptor(s_.pidfd_socket, s_.pidfd_word, born_.pidfd.get());
    return sent ? Result<>() : fail(sent.error().code, "pidfd socket: " + sent.error().what);
  }
  Result<> answer(Message& message) {
    const auto in_stage = [&](Result<> done) -> Result<> {
      if (!done) return staged(message.stage, done.error().code, done.error().text());
      return go();
    };
    switch (message.word) {
      case Notice::warning:
        warnings.push_back(std::move(message.text));
        return {};
      case Notice::trace:
        if (s_.trace) s_.trace(fmt::format("stage {}", stage_name(message.stage)));
        return {};
      case Notice::terminal:
        terminal = std::move(message.fd);
        return {};
      case Notice::devices:
        return in_stage(devices_.move(s_.proc, born_.pid, s_.spec->linux_.net_devices));
      case Notice::hooks:
        return in_stage(s_.hooks ? s_.hooks(born_.pid) : Result<>());
      case Notice::limits:
        return in_stage(set_rlimits(born_.pid, s_.process->rlimits));
      case Notice::listener:
        return in_stage(pass_listener(s_, born_, message.value));
      case Notice::ready:
        return in_stage(ready());
      case Notice::failed:
      case Notice::go:
        return {};
    }
    return fail(EPROTO, "the child said what is not known");
  }

  const Channel& channel_;
  const Progress& progress_;
  const Supervision& s_;
  const Born& born_;
  const Readings& memory_;  // of its group, before it was made
  NetDevices devices_;
};

}  // namespace

Result<Launched> supervise(Birth& birth, const Supervision& supervision) {
  for (bool new_group = supervision.new_group;; new_group = false) {
    Readings memory;
    if (supervision.group != nullptr)
      memory = new_group ? read_memory_above(*supervision.group) : read_memory(*supervision.group);
    Born born = CGX_TRY(birth.make());
    Talk talk(birth, supervision, born, memory);
    auto done = talk.run();
    if (supervision.trace && done) supervision.trace(fmt::format("process {} is on its way", born.pid));
    if (done)
      return Launched{.pid = born.pid,
                      .pidfd = std::move(born.pidfd),
                      .terminal = std::move(talk.terminal),
                      .warnings = std::move(talk.warnings)};
    end_process(born);
    if (!birth.may_try_again()) return std::unexpected(std::move(done).error());
  }
}

Result<sys::Fd> host_proc() {
  sys::Fd proc = CGX_TRY(sys::open_path("/proc", O_PATH | O_DIRECTORY));
  struct statfs fs{};
  if (fstatfs(proc.get(), &fs) != 0) return fail_errno(errno, "/proc");
  if (fs.f_type != PROC_SUPER_MAGIC) return fail(EINVAL, "/proc is no proc file system");
  return proc;
}

Result<sys::Fd> console_for(const Process& process, const std::string& socket, bool foreground) {
  if (!process.terminal) {
    if (!socket.empty()) return fail(EINVAL, "a console socket is given, and the process has no terminal");
    return sys::Fd();
  }
  if (!socket.empty()) return connect_unix(socket);
  if (!foreground) return fail(EINVAL, "cannot allocate a terminal for a detached process without a console socket");
  return sys::Fd();
}

}  // namespace cgx::container
