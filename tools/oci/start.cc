// SPDX-License-Identifier: Apache-2.0
// start, run, delete, kill: the life of a container.
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"

#include "create.h"
#include "notify.h"
#include "tools/foreground.h"
#include "tools/own_limits.h"
#include "tools/signals.h"

namespace cgx::oci {
namespace {

// What the container's process writes to the fifo until its end: nothing where the program has been executed, else why
// not.
Result<std::string> read_to_end(const sys::Fd& fifo, const sys::Fd& init) {
  std::string told;
  for (bool init_ended = false;;) {
    std::array<pollfd, 2> fds{pollfd{.fd = fifo.get(), .events = POLLIN, .revents = 0},
                              pollfd{.fd = init.get(), .events = POLLIN, .revents = 0}};
    if (poll(fds.data(), fds.size(), init_ended ? 0 : -1) < 0) {
      if (errno == EINTR) continue;
      return fail_errno(errno, "poll");
    }
    if (fds[0].revents != 0) {
      std::array<char, 4096> part{};
      const ssize_t n = read(fifo.get(), part.data(), part.size());
      if (n > 0) told.append(part.data(), static_cast<std::size_t>(n));
      if (n == 0) return told;
      if (n < 0 && errno != EAGAIN && errno != EINTR) return fail_errno(errno, "exec.fifo");
      continue;
    }
    // Once more for what it wrote last. A program that ran and ended at once has closed the fifo.
    if (init_ended) return fail(ESRCH, "container process is already dead");
    init_ended = fds[1].revents != 0;
  }
}

// Engines delete a container whose start failed, and they delete none that is not stopped.
void wait_for_end(const sys::Fd& init) {
  pollfd end{.fd = init.get(), .events = POLLIN, .revents = 0};
  while (poll(&end, 1, 10'000) < 0 && errno == EINTR) continue;
}

// Opens the fifo, which lets the container's process go on.
Result<> let_go(Container& container, bool filtered) {
  const sys::Fd init = CGX_TRY(open_init(container.state));
  const sys::Fd fifo = CGX_TRY(container.entry.open_start_fifo(O_RDONLY | O_NONBLOCK));
  auto told = read_to_end(fifo, init);
  if (told)
    if (auto removed = container.entry.remove_start_fifo(); !removed) told = std::unexpected(removed.error());
  if (!told) {  // it may run by now
    (void)send_signal(init, SIGKILL);
    wait_for_end(init);
    return std::unexpected(std::move(told).error());
  }
  // The end of the fifo is that of the process, or that it has executed its program. Nothing else tells them apart
  // where a seccomp filter refused what would have told the error. Who has been waited for since is not asked.
  const auto executed = container::has_executed(container.state.pid, container.state.pid_start);
  if (told->empty() && executed.value_or(true)) return {};
  wait_for_end(init);
  if (!told->empty()) return fail(EIO, *told);
  return fail(EPERM,
              fmt::format("the process ended before it executed its program{}",
                          filtered ? ": see whether its seccomp filter allows execve" : ""));
}

Result<> run_poststart(const Invocation& call, const Spec& spec, Container& container) {
  if (spec.hooks.poststart.empty()) return {};
  const auto streams = container::open_hook_streams(spec);
  auto done =
      streams ? container::run_hooks(spec.hooks.poststart,
                                     "poststart",
                                     {.state = container::state_json(container.state, "running", container.state.pid),
                                      .directory = container.state.bundle,
                                      .out = streams->out.get(),
                                      .err = streams->err.get(),
                                      .confine = tool::restore_limits})
              : Result<>(std::unexpected(streams.error()));
  if (done) return done;
  // The specification: the container is stopped and destroyed, and its poststop hooks run.
  if (const auto ended = destroy(call, container); !ended) call.log->warning(ended.error().text());
  return done;
}

}  // namespace

Result<int> run_start(const Invocation& call) {
  Container container = CGX_TRY(find_container(call, call.words[0], Store::How::change));
  switch (container.status) {
    case Status::created:
      break;
    case Status::stopped:
      return fail(EINVAL, "cannot start a container that has stopped");
    case Status::running:
      return fail(EINVAL, "cannot start an already running container");
    case Status::creating:
    case Status::paused:
      return fail(EINVAL, fmt::format("cannot start a container in the {} state", status_word(container.status)));
  }
  const Spec spec = CGX_TRY(container::read_spec(container.state.config, container.state.bundle));
  if (!spec.process) return fail(EINVAL, "cannot start a container without a process: process is not set");
  sys::Fd ready, init;
  if (has_notify_socket())
    if (auto socket = listen_for_ready(container.entry)) {
      ready = std::move(*socket);
      init = CGX_TRY(open_init(container.state));
    }
  call.log->debug(fmt::format("{}: process {} may go on", container.state.id, container.state.pid));
  CGX_CHECK(let_go(container, spec.linux_.seccomp.has_value()));
  call.log->debug(fmt::format("{}: the program is executed", container.state.id));
  CGX_CHECK(run_poststart(call, spec, container));
  if (ready.valid()) {
    container.entry.unlock();  // it may take its time
    CGX_CHECK(hand_on_ready(ready, init, container.state.pid));
  }
  return 0;
}

Result<int> run_run(const Invocation& call) {
  const bool detach = call.on("detach");
  Made made = CGX_TRY(make_container(call, Start::now, detach));
  CGX_CHECK(run_poststart(call, *made.spec, made.container));
  made.container.entry.unlock();
  if (made.ready.valid() && detach) CGX_CHECK(hand_on_ready(made.ready, made.launched.pidfd, made.launched.pid));
  if (detach) return 0;
  // In the foreground this process is between the container and its caller: another one waits for the word.
  if (made.ready.valid() && fork() == 0) {
    sys::close_all_but({STDERR_FILENO, made.ready.get(), made.launched.pidfd.get()});  // not the container's terminal
    (void)hand_on_ready(made.ready, made.launched.pidfd, made.launched.pid);
    _exit(0);
  }
  const auto status = tool::wait_in_foreground(made.launched);
  if (call.on("keep") && status) return status;
  // Somebody else may have deleted it meanwhile, or be about to.
  auto again = find_container(call, made.container.state.id, Store::How::change);
  if (again && again->state.pid == made.container.state.pid && again->state.created == made.container.state.created) {
    made.container = std::move(*again);
    if (const auto ended = destroy(call, made.container); !ended) {
      if (!status) return std::unexpected(status.error());
      call.log->error(ended.error().text());
    }
  }
  return status;
}

namespace {

Result<> kill_one(const Invocation& call, const std::string& id, int signal) {
  const Container container = CGX_TRY(find_container(call, id, Store::How::look));
  const bool all = call.on("all");
  if (container.status == Status::stopped && !all) return fail(ESRCH, "container not running");
  const Hierarchies hierarchies = CGX_TRY(container::hierarchies_of(container.state));
  const auto group = group_of(container.state, hierarchies);
  const bool has_group = group != nullptr && CGX_TRY(is_there(*group));
  if (all && has_group && container.state.group_made) {
    (void)CGX_TRY(kill_all(*group, signal, in_seconds(10)));
    return {};
  }
  if (container.status == Status::stopped) return {};
  call.log->debug(fmt::format("{}: signal {} to process {}", id, signal, container.state.pid));
  CGX_CHECK(send_signal(CGX_TRY(open_init(container.state)), signal));
  // On v1 a frozen process does not even die.
  if (signal == SIGKILL && has_group && container.status == Status::paused && freezer_of(*group) != nullptr &&
      freezer_of(*group)->version() == Version::v1)
    return thaw(*group, in_seconds(10));
  return {};
}

Result<> delete_one(const Invocation& call, const std::string& id) {
  const bool force = call.on("force");
  CGX_CHECK(Store::check_id(id));
  Store store = CGX_TRY(Store::open(call.root()));
  auto entry = store.find(id, Store::How::change);
  if (!entry) {
    if (force && entry.error().code == ENOENT) return {};
    return std::unexpected(entry.error());
  }
  auto state = entry->read();
  if (!state) {
    // `create` was ended before it had made anything else. Of a state that cannot be read nobody knows which processes
    // and groups there are: forgotten, they would go on without a name.
    if (force && state.error().code == ENOENT) return entry->remove();
    Error error = std::move(state).error();
    if (error.code != ENOENT) error.hint = fmt::format("end its processes, then remove {}/{} by hand", call.root(), id);
    return std::unexpected(std::move(error));
  }
  Container container{.entry = std::move(*entry), .state = std::move(*state)};
  container.status = CGX_TRY(container::status_of(container.state, container.entry));
  const bool ends = container.status == Status::stopped || container.status == Status::created ||
                    container.status == Status::creating;
  if (!ends && !force)
    return fail(EBUSY,
                fmt::format("cannot delete container {} that is not stopped: {}", id, status_word(container.status)));
  return destroy(call, container);
}

}  // namespace

Result<int> run_kill(const Invocation& call) {
  const std::string_view word = call.words.size() > 1 ? std::string_view(call.words[1]) : "TERM";
  int signal = 0;
  if (word != "0") {
    const auto parsed = tool::parse_signal(word);
    if (!parsed) return fail(EINVAL, fmt::format("unknown signal \"{}\"", word));
    signal = *parsed;
  }
  const auto ids = CGX_TRY(ids_meant(call));
  for (const std::string& id : ids) CGX_CHECK(kill_one(call, id, signal));
  return 0;
}

Result<int> run_delete(const Invocation& call) {
  const auto ids = CGX_TRY(ids_meant(call));
  for (const std::string& id : ids) CGX_CHECK(delete_one(call, id));
  return 0;
}

}  // namespace cgx::oci
