// SPDX-License-Identifier: Apache-2.0
// stop, kill, rm: the end of containers.
#include <cerrno>
#include <chrono>
#include <optional>
#include <span>
#include <vector>

#include <poll.h>
#include <signal.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"

#include "commands.h"
#include "killer.h"
#include "making.h"
#include "relay.h"
#include "remove.h"
#include "rootless.h"
#include "tools/signals.h"
#include "view.h"
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

using Clock = std::chrono::steady_clock;

// A container that a command is about.
struct Target {
  Known known;
  std::string name;  // as given
  bool ends = true;  // it is to be ended; false: it has ended
  int signal = SIGKILL;
  std::int64_t seconds = 0;  // before it is killed; -1: without a bound
  std::string command{};     // that ends it
  State state{};             // as it runs now
  sys::Fd monitor{}, init{};
  Clock::time_point kill_at{};
  bool killed = false;
  Result<> done{};
};

// It is told to end.
Result<> begin_end(Target& t) {
  const Known& known = t.known;
  CGX_CHECK(enter_namespace_of(known));
  sys::Fd monitor = CGX_TRY(open_monitor(known));
  forbid_restart(known);
  // It may have been started again before that.
  const auto now = find(known.record.id);
  if (!now && now.error().code == ENOENT) return {};
  t.monitor = std::move(monitor);
  t.state = now && now->record.created == known.record.created ? now->state : known.state;
  t.init = CGX_TRY(if_there(oci::open_init(t.state)));
  t.kill_at = Clock::now();
  if (!t.init.valid() || t.signal == SIGKILL) return {};
  (void)oci::send_signal(t.init, t.signal);
  let_it_see(known);
  t.kill_at = t.seconds < 0 ? Clock::time_point::max() : Clock::now() + std::chrono::seconds(t.seconds);
  return {};
}

// No more than the signal: the others have theirs to get. On v1 a frozen process dies when end_processes() thaws it.
Result<> begin_kill(Target& t) {
  note_killer(t.known.entry, t.state, t.command);
  auto sent = oci::send_signal(t.init, SIGKILL);
  t.killed = sent.has_value() || sent.error().code == ESRCH;
  if (!sent) forget_killer(t.known.entry);
  return t.killed ? Result<>() : sent;
}

// Returns when each of them has ended or was killed.
Result<> wait_or_kill(std::span<Target> targets) {
  std::vector<Target*> waits;
  for (Target& t : targets)
    if (t.done && t.init.valid()) waits.push_back(&t);
  while (!waits.empty()) {
    const auto next = std::ranges::min(waits, {}, &Target::kill_at)->kill_at;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
    const int most = next == Clock::time_point::max() ? -1 : static_cast<int>(std::max<std::int64_t>(left, 0));
    std::vector<pollfd> fds;
    for (const Target* t : waits) fds.push_back({.fd = t->init.get(), .events = POLLIN, .revents = 0});
    if (poll(fds.data(), fds.size(), most) < 0) {
      if (errno == EINTR) continue;
      return fail_errno(errno, "poll");
    }
    const auto now = Clock::now();
    for (std::size_t i = waits.size(); i-- > 0;) {
      Target& t = *waits[i];
      const bool ended = fds[i].revents != 0;
      if (!ended && now < t.kill_at) continue;
      if (!ended) t.done = begin_kill(t);
      waits.erase(waits.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  return {};
}

// What has ended is all of it, and is written down.
Result<> finish_end(const Target& t) {
  if (t.killed) CGX_CHECK(oci::end_processes(t.state));
  // The record of its end is the monitor's.
  if (t.monitor.valid() && !CGX_TRY(ended_within(t.monitor, 60'000)))
    return fail(ETIMEDOUT, fmt::format("its monitor, process {}, does not end", t.known.record.monitor));
  return {};
}

// Side by side: all of them get the signal, and then there is one wait.
void end_all(std::span<Target> targets) {
  for (Target& t : targets)
    if (t.ends) t.done = begin_end(t);
  const auto waited = wait_or_kill(targets);
  for (Target& t : targets) {
    if (t.done && !waited) t.done = waited;
    if (t.done && t.ends) t.done = finish_end(t);
    t.done = located(std::move(t.done), t.known.record.id);
  }
}

// So many containers at once as docker has; each has a few descriptors open.
constexpr std::size_t at_once = 50;

// For each name `choose` says what it is about, nothing where there is nothing to do; `then` is called when that has
// ended.
template <class Choose, class Then>
int end_each(const Call& call, Choose choose, Then then) {
  int status = 0;
  const auto tell = [&](const Error& error) {
    status = std::max(status, tool::report(error, call.command->name, call.json));
  };
  const std::span<const std::string> names(call.words);
  for (std::size_t from = 0; from < names.size(); from += at_once) {
    std::vector<Target> targets;
    for (const std::string& name : names.subspan(from, std::min(at_once, names.size() - from))) {
      Result<std::optional<Target>> chosen = choose(name);
      if (!chosen)
        tell(chosen.error());
      else if (*chosen)
        targets.push_back(*std::move(*chosen));
    }
    end_all(targets);
    for (Target& t : targets) {
      const Result<> done = t.done ? then(t) : t.done;
      if (!done) tell(done.error());
    }
  }
  return status;
}

// A container that was sent what ends it, and the process whose end is the end of all of it.
struct Killed {
  std::string name;  // as given
  std::string id;
  sys::Fd process;
};

// Prints the name of each that ends within 10 seconds, as long as docker waits; the others are the errors.
std::vector<Error> wait_for_ends(const Call& call, std::span<const Killed> killed) {
  const auto until = Clock::now() + std::chrono::seconds(10);
  std::vector<Error> errors;
  for (const Killed& k : killed) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    const Result<bool> ended =
        k.process.valid() ? ended_within(k.process, std::max<std::int64_t>(left, 0)) : Result<bool>(true);
    if (ended && *ended) {
      tell_done(call, k.name);
      continue;
    }
    errors.push_back(ended ? Error{.code = ETIMEDOUT, .what = "was killed, and has not ended after 10 s"}
                           : ended.error());
    errors.back().group = k.id;
  }
  return errors;
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

// Whether its making or its removal was cut off, and nobody is at it now.
bool was_cut_off(const std::string& name) {
  const auto root = run_root();
  auto store = root ? Store::open(*root) : std::unexpected(root.error());
  const auto seen = store ? store->find(name, Store::How::look) : std::unexpected(store.error());
  if (!seen || seen->locked_by_another()) return false;
  const auto record = read_record(*seen);
  return !record && record.error().code == ENOENT;
}

}  // namespace

Result<int> stop(const Call& call) {
  (void)CGX_TRY(seconds_of(call, 0));
  std::optional<int> signal;
  if (call.on("signal")) signal = CGX_TRY(located(tool::parse_signal(call.get("signal")), "", "--signal"));
  const auto choose = [&](const std::string& name) -> Result<std::optional<Target>> {
    Target t{.known = CGX_TRY(find(name)), .name = name};
    t.ends = goes_on(t.known);
    t.signal = signal.value_or(t.known.record.stop_signal);
    t.seconds = CGX_TRY(seconds_of(call, t.known.record.stop_timeout));
    t.command = "cgx container stop";
    if (t.signal != SIGKILL) t.command += fmt::format(" after {} s", t.seconds);
    return t;
  };
  return end_each(call, choose, [&](const Target& t) -> Result<> {
    tell_done(call, t.name);
    return {};
  });
}

Result<int> kill(const Call& call) {
  const std::string_view word = call.get("signal", "KILL");
  const auto signal = tool::parse_signal(word);
  if (!signal) return located(Result<int>(bad_value(word, "is no signal")), "", "--signal");
  std::vector<Killed> killed;
  int failed = 0;
  const auto see_ends = [&] {
    for (const Error& error : wait_for_ends(call, killed))
      failed = std::max(failed, tool::report(error, call.command->name, call.json));
    killed.clear();
  };
  const int status = for_each_name(call, [&](const std::string& name) -> Result<> {
    if (killed.size() == at_once) see_ends();
    const Known known = CGX_TRY(find(name));
    CGX_CHECK(enter_namespace_of(known));
    // What waits to be started again is not: a signal that would end it does that.
    const bool waits = known.status == Status::stopped && known.monitored && known.record.restart != Restart::no;
    const bool ends = *signal == SIGKILL || (waits && *signal == known.record.stop_signal);
    // The record of its end is the monitor's.
    sys::Fd monitor = ends ? CGX_TRY(located(open_monitor(known), known.record.id)) : sys::Fd();
    if (ends) forbid_restart(known);
    State state = known.state;
    if (waits) {
      const auto now = find(known.record.id);  // it may have been started just before
      if (!now || now->status == Status::stopped) {
        if (!ends) return now ? no_process_yet(known) : not_running(known);
        killed.push_back({.name = name, .id = known.record.id, .process = std::move(monitor)});
        return {};
      }
      state = now->state;
    }
    sys::Fd init = CGX_TRY(located(if_there(oci::open_init(state)), known.record.id));
    if (!init.valid() || (known.status == Status::stopped && !waits)) return not_running(known);
    if (*signal == SIGKILL) note_killer(known.entry, state, "cgx container kill");
    if (auto sent = oci::send_signal(init, *signal); !sent) {
      if (*signal == SIGKILL) forget_killer(known.entry);
      return located(std::move(sent), known.record.id);
    }
    if (*signal == SIGKILL) let_it_see(known);
    if (ends)
      killed.push_back({.name = name, .id = known.record.id, .process = std::move(monitor.valid() ? monitor : init)});
    else
      tell_done(call, name);
    return {};
  });
  see_ends();
  return std::max(status, failed);
}

Result<int> rm(const Call& call) {
  const bool force = call.on("force");
  const auto choose = [&](const std::string& name) -> Result<std::optional<Target>> {
    auto known = find(name);
    const int code = known ? 0 : known.error().code;
    const bool damaged = code == EBADMSG && Store::check_id(name);
    if (damaged) known.error().hint = hint_at_damaged(name);
    if ((force && damaged) || (code == ENOENT && was_cut_off(name))) {
      auto done = located(remove_damaged(name), name);
      if (!done && done.error().code == EBADMSG) done.error().hint = hint_at_damaged(name);
      CGX_CHECK(std::move(done));
      tell_done(call, name);
      return std::nullopt;
    }
    if (force && code == ENOENT) return std::nullopt;
    Target t{.known = CGX_TRY(std::move(known)), .name = name};
    t.ends = goes_on(t.known);
    t.command = "cgx container rm -f";
    if (!t.ends || force) return t;
    const std::string& id = t.known.record.id;
    Error e{.code = EBUSY, .what = "runs", .group = id};
    e.hint = fmt::format("cgx container stop {0} ends it, cgx container rm -f {0} kills it first", id);
    return std::unexpected(std::move(e));
  };
  return end_each(call, choose, [&](const Target& t) -> Result<> {
    const Record& r = t.known.record;
    CGX_CHECK(enter_own_namespace());
    auto again = find(r.id, Store::How::change);
    // With --rm, or by somebody else; another one may have its name by now.
    const bool gone = again ? again->record.created != r.created : again.error().code == ENOENT && (force || t.ends);
    if (!again && !gone) return std::unexpected(std::move(again).error());
    if (!gone) CGX_CHECK(located(remove_container(std::move(*again)), r.id));
    tell_done(call, t.name);
    return {};
  });
}

}  // namespace cgx::launcher
