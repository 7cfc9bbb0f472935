// SPDX-License-Identifier: Apache-2.0
#include "container.h"

#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <regex.h>
#include <signal.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/resources.h"
#include "cgx/sys/process.h"
#include "cgx/sys/text.h"

#include "tools/own_limits.h"

namespace cgx::oci {

Result<Container> find_container(const Invocation& call, const std::string& id, Store::How how) {
  CGX_CHECK(Store::check_id(id));
  Store store = CGX_TRY(Store::open(call.root()));
  Container found{.entry = CGX_TRY(store.find(id, how)), .state = {}};
  found.state = CGX_TRY(found.entry.read());
  found.status = CGX_TRY(container::status_of(found.state, found.entry));
  return found;
}

Result<std::vector<std::string>> ids_meant(const Invocation& call) {
  if (!call.on("regex")) return std::vector{call.words[0]};
  regex_t pattern{};
  const std::string whole = fmt::format("^({})$", call.words[0]);
  if (regcomp(&pattern, whole.c_str(), REG_EXTENDED | REG_NOSUB) != 0)
    return bad_value(call.words[0], "is no regular expression");
  std::vector<std::string> ids;
  const auto store = Store::open(call.root());
  if (store)
    if (auto all = store->ids())
      for (const std::string& id : *all)
        if (regexec(&pattern, id.c_str(), 0, nullptr, 0) == 0) ids.push_back(id);
  regfree(&pattern);
  if (!store) return std::unexpected(store.error());
  return ids;
}

std::unique_ptr<Cgroup> group_of(const State& state, const Hierarchies& hierarchies) {
  if (state.group.empty()) return nullptr;
  return std::make_unique<Cgroup>(hierarchies, state.group);
}

Result<sys::Fd> open_init(const State& state) {
  if (state.pid <= 0) return fail(ESRCH, "container not running");
  auto pidfd = container::open_process(state.pid, state.pid_start);
  if (!pidfd && pidfd.error().code == ESRCH) return fail(ESRCH, "container not running");
  return pidfd;
}

Result<> send_signal(const sys::Fd& pidfd, int signal) {
  const int code = sys::signal_process(pidfd.get(), signal);
  if (code == 0) return {};
  if (code == ESRCH) return fail(ESRCH, "container not running");
  return fail_errno(code, "the container's process");
}

Result<const Hierarchies*> GroupPlace::hierarchies() {
  if (!found_) found_ = CGX_TRY(container::hierarchies_of(state_));
  return &*found_;
}

Result<> end_processes(const State& state, GroupPlace& place) {
  const auto init = open_init(state);
  if (!init && init.error().code != ESRCH) return std::unexpected(init.error());
  if (init) CGX_CHECK(send_signal(*init, SIGKILL));
  if (!state.group.empty()) {
    const Cgroup group(*CGX_TRY(place.hierarchies()), state.group);
    if (CGX_TRY(is_there(group))) {
      if (state.group_made) {
        // Mostly the first process was the last one.
        if (init || CGX_TRY(populated(group))) CGX_CHECK(kill_all(group, SIGKILL, in_seconds(10)));
      } else if (init && frozen(group).value_or(false)) {
        CGX_CHECK(thaw(group, in_seconds(10)));  // on v1 a frozen process does not die
      }
    }
  }
  if (!init) return {};
  pollfd ended{.fd = init->get(), .events = POLLIN, .revents = 0};
  int n = 0;
  // Its end waits for that of what `exec --detach` has left to the host's first process, which may take its time to
  // reap.
  do n = poll(&ended, 1, 60'000);
  while (n < 0 && errno == EINTR);
  if (n == 0) return fail(ETIMEDOUT, "container init still running");
  return {};
}

Result<> end_processes(const State& state) {
  GroupPlace place(state);
  return end_processes(state, place);
}

Result<> end_and_remove(const State& state) {
  GroupPlace place(state);
  CGX_CHECK(end_processes(state, place));
  return remove_groups(state, place);
}

namespace {

// Of a text of JSON: false where no object in it has `key`, also not with letters that are written as \u and digits.
bool may_have_key(std::string_view json, std::string_view key) {
  return json.find(key) != std::string_view::npos || json.find("\\u") != std::string_view::npos;
}

}  // namespace

Result<> destroy(const Invocation& call, Container& container) {
  const State& state = container.state;
  GroupPlace place(state);
  CGX_CHECK(end_processes(state, place));
  call.log->debug(
      fmt::format("{}: no process is left{}", state.id, state.group.empty() ? "" : ", removing group " + state.group));
  CGX_CHECK(remove_groups(state, place));
  CGX_CHECK(container.entry.remove());
  if (!may_have_key(state.config, "poststop")) return {};
  const auto spec = container::read_spec(state.config, state.bundle);
  if (!spec) {
    call.log->warning(fmt::format("poststop hooks, if there are any, did not run: {}", spec.error().text()));
    return {};
  }
  run_poststop(call, *spec, state);
  return {};
}

void run_poststop(const Invocation& call, const Spec& spec, const State& state) {
  if (spec.hooks.poststop.empty()) return;
  const auto streams = container::open_hook_streams(spec);
  if (!streams) call.log->warning(streams.error().text());
  const container::HookInput input{.state = container::state_json(state, "stopped", 0),
                                   .directory = state.bundle,
                                   .out = streams ? streams->out.get() : -1,
                                   .err = streams ? streams->err.get() : -1,
                                   .confine = tool::restore_limits};
  // They come after the end: what fails there is told, and the rest goes on.
  for (const container::Hook& hook : spec.hooks.poststop)
    if (const auto done = container::run_hooks({hook}, "poststop", input); !done)
      call.log->warning(done.error().text());
}

Result<int> count_of(const Invocation& call, std::string_view flag) {
  if (!call.has(flag)) return 0;
  const auto n = sys::parse_u64(call.get(flag), 0, 1'000'000);
  if (!n) return bad_value(call.get(flag), fmt::format("is no number for --{}", flag));
  return static_cast<int>(*n);
}

Result<> write_pid_file(std::string_view file, pid_t pid) {
  if (file.empty()) return {};
  const std::size_t slash = file.rfind('/');
  const std::size_t name = slash == std::string_view::npos ? 0 : slash + 1;
  const std::string fresh = fmt::format("{}.{}", file.substr(0, name), file.substr(name));
  sys::Fd fd(open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_TRUNC, 0666));
  if (!fd.valid() && errno == EEXIST) {
    (void)unlink(fresh.c_str());  // of a command that was ended here
    fd = sys::Fd(open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_TRUNC, 0666));
  }
  if (!fd.valid()) return fail_errno(errno, file);
  const std::string text = std::to_string(pid);
  if (write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      rename(fresh.c_str(), std::string(file).c_str()) != 0) {
    const int code = errno;
    (void)unlink(fresh.c_str());
    return fail_errno(code, file);
  }
  return {};
}

}  // namespace cgx::oci
