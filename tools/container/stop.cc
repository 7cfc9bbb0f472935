// SPDX-License-Identifier: Apache-2.0
// stop, kill, rm: the end of containers.
#include <cerrno>

#include <poll.h>
#include <signal.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"

#include "commands.h"
#include "making.h"
#include "relay.h"
#include "remove.h"
#include "rootless.h"
#include "tools/signals.h"
#include "waiting.h"

namespace cgx::launcher {
namespace {

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

// Between two runs of a container that is started again.
std::unexpected<Error> no_process_yet(const Known& known) {
  Error e{
      .code = ESRCH, .what = "waits to be started again: no process is there for a signal", .group = known.record.id};
  e.hint = fmt::format("cgx container stop {} keeps it from being started", known.record.id);
  return std::unexpected(std::move(e));
}

// On v1 a frozen process does not see a signal, and does not even die.
void let_it_see(const Known& known) {
  if (known.status != Status::paused) return;
  const auto hierarchies = container::hierarchies_of(known.state);
  if (hierarchies) (void)thaw(Cgroup(*hierarchies, known.state.group), oci::in_seconds(10));
}

Result<> end_it(const Known& known, int signal, std::int64_t seconds) {
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
      if (!CGX_TRY(ended_within(init, seconds * 1000))) CGX_CHECK(oci::end_processes(state));
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

// -1: without a bound, as docker has it.
Result<std::int64_t> seconds_of(const Call& call, std::int64_t otherwise) {
  const std::string_view text = call.get("time");
  if (text.empty()) return otherwise;
  const auto seconds = sys::parse_i64(text, -1, 86400);
  if (!seconds)
    return located(Result<std::int64_t>(bad_value(text, "is no number of seconds from -1 to 86400")), "", "--time");
  return *seconds;
}

Result<> remove_one(const Known& known, bool force) {
  const std::string& id = known.record.id;
  if (known.status != Status::stopped || known.monitored) {
    if (!force) {
      Error e{.code = EBUSY, .what = "runs", .group = id};
      e.hint = fmt::format("cgx container stop {0} ends it, cgx container rm -f {0} kills it first", id);
      return std::unexpected(std::move(e));
    }
    CGX_CHECK(located(end_it(known, SIGKILL, 0), id));
  }
  CGX_CHECK(enter_own_namespace());
  auto again = find(id, Store::How::change);
  if (!again) {
    if (again.error().code == ENOENT) return {};  // with --rm, or by somebody else
    return std::unexpected(again.error());
  }
  if (again->record.created != known.record.created) return {};  // another one of that name
  return located(remove_container(std::move(*again)), id);
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
    tell_done(call, name);
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
      if (!now || now->status == Status::stopped) {
        if (!ends) return now ? no_process_yet(known) : not_running(known);
        tell_done(call, name);
        return {};
      }
      init = CGX_TRY(located(if_there(oci::open_init(now->state)), known.record.id));
    }
    if (!init.valid() || (known.status == Status::stopped && !waits)) return not_running(known);
    CGX_CHECK(located(oci::send_signal(init, *signal), known.record.id));
    if (*signal == SIGKILL) let_it_see(known);
    tell_done(call, name);
    return {};
  });
}

Result<int> rm(const Call& call) {
  const bool force = call.on("force");
  return for_each_name(call, [&](const std::string& name) -> Result<> {
    auto known = find(name);
    if (!known && force && known.error().code == ENOENT) return {};
    if (!known && force && known.error().code == EBADMSG && Store::check_id(name))
      return located(remove_damaged(name), name);
    if (!known) return std::unexpected(known.error());
    CGX_CHECK(remove_one(*known, force));
    tell_done(call, name);
    return {};
  });
}

}  // namespace cgx::launcher
