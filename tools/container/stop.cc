// SPDX-License-Identifier: Apache-2.0
// stop, kill, rm, wait: the end of containers.
#include <array>
#include <cerrno>
#include <chrono>

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/json.h"
#include "cgx/sys/text.h"

#include "commands.h"
#include "ended.h"
#include "making.h"
#include "relay.h"
#include "remove.h"
#include "rootless.h"
#include "tools/signals.h"

namespace cgx::launcher {
namespace {

// None, where the process has ended. What cannot be opened for another reason is not gone.
Result<sys::Fd> if_there(Result<sys::Fd> process) {
  if (!process && process.error().code == ESRCH) return sys::Fd();
  return process;
}

// The monitor, where it is there.
Result<sys::Fd> open_monitor(const Known& known) {
  if (!known.monitored) return sys::Fd();
  return if_there(container::open_process(known.record.monitor, known.record.monitor_start));
}

// False: not in that time. -1: without an end.
Result<bool> ended_within(const sys::Fd& pidfd, std::int64_t ms) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  while (true) {
    pollfd one{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    const int n = poll(&one, 1, ms < 0 ? -1 : static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (n > 0) return true;
    if (n == 0) return false;
    if (errno != EINTR) return fail_errno(errno, "poll");
  }
}

// It is not started again: from now on the next end is the last one. Behind the monitor's answer no start is under way.
void forbid_restart(const Known& known) {
  const auto monitor = connect_in(known.entry.directory());
  if (!monitor || !send_packet(monitor->get(), Word::stop)) return;
  pollfd one{.fd = monitor->get(), .events = POLLIN, .revents = 0};
  while (poll(&one, 1, 10'000) < 0 && errno == EINTR) continue;
}

std::unexpected<Error> not_running(const Known& known) {
  Error e{.code = ESRCH, .what = "does not run", .group = known.record.id};
  e.hint = fmt::format("cgx container ls -a shows how it ended");
  return std::unexpected(std::move(e));
}

// On v1 a frozen process does not see a signal, and does not even die.
void let_it_see(const Known& known) {
  if (known.status != Status::paused) return;
  const auto hierarchies = container::hierarchies_of(known.state);
  if (hierarchies) (void)thaw(Cgroup(*hierarchies, known.state.group), oci::in_seconds(10));
}

Result<> end_it(const Known& known, int signal, std::uint64_t seconds) {
  CGX_CHECK(enter_namespace_of(known));
  const sys::Fd monitor = CGX_TRY(open_monitor(known));
  forbid_restart(known);
  // It may have been started again before that.
  const auto now = find(known.record.id);
  if (!now && now.error().code == ENOENT) return {};
  const State& state = now && now->record.created == known.record.created ? now->state : known.state;
  const sys::Fd init = CGX_TRY(if_there(oci::open_init(state)));
  if (init.valid()) {
    if (signal != SIGKILL) {
      (void)oci::send_signal(init, signal);
      let_it_see(known);
      if (!CGX_TRY(ended_within(init, static_cast<std::int64_t>(seconds) * 1000))) CGX_CHECK(oci::end_processes(state));
    } else {
      CGX_CHECK(oci::end_processes(state));
    }
    (void)CGX_TRY(ended_within(init, 60'000));
  }
  // The record of its end is the monitor's.
  if (monitor.valid() && !CGX_TRY(ended_within(monitor, 60'000)))
    return fail(ETIMEDOUT, fmt::format("its monitor, process {}, does not end", known.record.monitor));
  return {};
}

Result<std::uint64_t> seconds_of(const Call& call, std::uint64_t otherwise) {
  const std::string_view text = call.get("time");
  if (text.empty()) return otherwise;
  const auto seconds = sys::parse_u64(text, 0, 86400);
  if (!seconds)
    return located(Result<std::uint64_t>(bad_value(text, "is no number of seconds up to 86400")), "", "--time");
  return *seconds;
}

}  // namespace

Result<int> stop(const Call& call) {
  (void)CGX_TRY(seconds_of(call, 0));
  std::optional<int> signal;
  if (call.on("signal")) signal = CGX_TRY(located(tool::parse_signal(call.get("signal")), "", "--signal"));
  return for_each_name(call, [&](const std::string& name) -> Result<> {
    const Known known = CGX_TRY(find(name));
    const Record& r = known.record;
    // What has ended is as it is to be.
    if (known.status != Status::stopped || known.monitored)
      CGX_CHECK(
          located(end_it(known, signal.value_or(r.stop_signal), CGX_TRY(seconds_of(call, r.stop_timeout))), r.id));
    if (!call.json) tool::print(name + "\n");
    return {};
  });
}

Result<int> kill(const Call& call) {
  const std::string_view word = call.get("signal", "KILL");
  const auto signal = tool::parse_signal(word);
  if (!signal) return located(Result<int>(bad_value(word, "is no signal")), "", "--signal");
  return for_each_name(call, [&](const std::string& name) -> Result<> {
    const Known known = CGX_TRY(find(name));
    CGX_CHECK(enter_namespace_of(known));
    // What waits to be started again is not: a signal that would end it does that.
    const bool waits = known.status == Status::stopped && known.monitored && known.record.restart != Restart::no;
    const bool ends = *signal == SIGKILL || (waits && *signal == known.record.stop_signal);
    if (ends) forbid_restart(known);
    sys::Fd init = CGX_TRY(located(if_there(oci::open_init(known.state)), known.record.id));
    if (waits) {
      const auto now = find(known.record.id);  // it may have been started just before
      if (!now || now->status == Status::stopped) return ends ? Result<>() : not_running(known);
      init = CGX_TRY(located(if_there(oci::open_init(now->state)), known.record.id));
    }
    if (!init.valid() || (known.status == Status::stopped && !waits)) return not_running(known);
    CGX_CHECK(located(oci::send_signal(init, *signal), known.record.id));
    if (*signal == SIGKILL) let_it_see(known);
    return {};
  });
}

Result<int> rm(const Call& call) {
  const bool force = call.on("force");
  return for_each_name(call, [&](const std::string& name) -> Result<> {
    auto known = find(name);
    if (!known && force && known.error().code == ENOENT) return {};
    if (!known) return std::unexpected(known.error());
    const std::string id = known->record.id;
    if (known->status != Status::stopped || known->monitored) {
      if (!force) {
        Error e{.code = EBUSY, .what = "runs", .group = id};
        e.hint = fmt::format("cgx container stop {0} ends it, cgx container rm -f {0} kills it first", id);
        return std::unexpected(std::move(e));
      }
      CGX_CHECK(located(end_it(*known, SIGKILL, 0), id));
    }
    CGX_CHECK(enter_own_namespace());
    auto again = find(id, Store::How::change);
    if (!again) {
      if (again.error().code == ENOENT) return {};  // with --rm, or by somebody else
      return std::unexpected(again.error());
    }
    if (again->record.created != known->record.created) return {};  // another one of that name
    return located(remove_container(std::move(*again)), id);
  });
}

Result<int> wait(const Call& call) {
  sys::JsonWriter json;
  json.open_object().key("containers").open_array();
  const int status = for_each_name(call, [&](const std::string& name) -> Result<> {
    const auto tell = [&](const std::string& id, int status) {
      if (call.json)
        json.open_object().key("name").string(id).key("status").integer(status).close_object();
      else
        tool::print(fmt::format("{}\n", status));
    };
    auto found = find(name);
    if (!found) {
      const auto kept = found.error().code == ENOENT ? kept_ending(CGX_TRY(run_root()), name) : std::nullopt;
      if (!kept) return std::unexpected(std::move(found).error());
      return tell(name, kept->status), Result<>();
    }
    const Known known = std::move(*found);
    std::optional<int> ended;
    const sys::Fd process = CGX_TRY(open_monitor(known));
    const auto monitor = connect_in(known.entry.directory());
    while (monitor && !ended) {
      const auto packet = CGX_TRY(receive_packet(monitor->get()));
      if (!packet) break;
      if (packet->word == Word::ended || packet->word == Word::last) ended = data_number(packet->data);
      // `rm` wants the monitor gone, which is so in a moment.
      if (packet->word == Word::last && process.valid()) (void)CGX_TRY(ended_within(process, 1000));
    }
    if (!ended) {
      // It had ended before, or its monitor was killed.
      const sys::Fd init = CGX_TRY(if_there(oci::open_init(known.state)));
      if (init.valid()) (void)CGX_TRY(ended_within(init, -1));
      if (process.valid()) (void)CGX_TRY(ended_within(process, 10'000));
      auto ending = read_ending(known.entry);
      if (!ending)
        if (auto kept = kept_ending(CGX_TRY(run_root()), known.record.id)) ending = *std::move(kept);
      if (!ending) {
        Error e{.code = ECHILD, .what = "ended, and nobody saw how: its monitor was killed", .group = known.record.id};
        return std::unexpected(std::move(e));
      }
      ended = ending->status;
    }
    tell(known.record.id, *ended);
    return {};
  });
  if (call.json) tool::print(json.close_array().close_object().take() + "\n");
  return status;
}

}  // namespace cgx::launcher
