// SPDX-License-Identifier: Apache-2.0
#include "daemon/daemon.h"

#include <algorithm>
#include <csignal>

#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/count.h"
#include "cgx/sys/text.h"

#include "daemon/descriptors.h"
#include "daemon/notify.h"

namespace cgx::daemon {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

constexpr seconds metrics_retry{10};
constexpr seconds longest_beat{2};  // the memory thread beats every half second

}  // namespace

Daemon::Daemon(Settings settings, const Log& log, Hierarchies hierarchies, StateDir state, Loop loop)
    : settings_(std::move(settings)),
      log_(&log),
      hierarchies_(std::move(hierarchies)),
      state_(std::move(state)),
      loop_(std::move(loop)),
      keeper_(hierarchies_, state_, settings_) {}

Daemon::~Daemon() = default;

Result<std::unique_ptr<Daemon>> Daemon::start(Settings settings, const Log& log) {
  log.info(fmt::format("cgxd {} starts", CGX_VERSION), {{"version", CGX_VERSION}});
  Hierarchies hierarchies = CGX_TRY(Hierarchies::discover());
  StateDir state = CGX_TRY(StateDir::open(settings.state_dir));
  Loop loop = CGX_TRY(Loop::create());
  std::unique_ptr<Daemon> daemon(
      new Daemon(std::move(settings), log, std::move(hierarchies), std::move(state), std::move(loop)));
  if (const auto kept = daemon->history_.keep_in(daemon->state_.fd()); !kept)
    log.warning("the history is not kept over restarts: " + kept.error().text());
  CGX_CHECK(daemon->keeper_.recall());
  const std::string made = CGX_TRY(daemon->state_.read(made_file));
  for (const std::string_view group : sys::lines(made)) daemon->made_.emplace(group);
  CGX_CHECK(daemon->start_parts());
  CGX_CHECK(daemon->start_loop());
  Notify::ready();
  daemon->tell_status();
  log.info("ready");
  return daemon;
}

// What it can live without is logged where it fails: a host without cgroup events or without a bus still has its
// policies applied.
Result<> Daemon::start_parts() {
  const ManagerFound manager = CGX_TRY(find_manager(settings_.manager == ManagerChoice::systemd    ? "systemd"
                                                    : settings_.manager == ManagerChoice::cgroupfs ? "cgroupfs"
                                                                                                   : "auto"));
  log_->info(fmt::format("groups are made by {}: {}", manager.systemd ? "systemd" : "cgxd itself", manager.why));
  if (manager.systemd) {
    slices_ = CGX_TRY(Slices::connect(hierarchies_, state_));
    keeper_.use(*slices_);
  }
  const auto descriptors =
      Descriptors::share(descriptor_limit(), hierarchies_.all().size(), !settings_.metrics.empty());
  if (auto memory = MemoryThread::start(hierarchies_,
                                        {.state_dir = state_.path(),
                                         .lock_memory = settings_.lock_memory,
                                         .fifo = settings_.realtime,
                                         .kills_per_hour = static_cast<unsigned>(settings_.kills_per_hour),
                                         .descriptors = descriptors.watched}))
    memory_ = std::move(*memory);
  else
    log_->error("no memory events: " + memory.error().text());
  if (memory_)
    for (const std::string& note : memory_->notes()) log_->warning(note, {{"part", "memory"}});

  metrics_ = std::make_unique<Metrics>(hierarchies_,
                                       shared_,
                                       MetricsOptions{.scope = settings_.metrics_scope,
                                                      .max_groups = settings_.metrics_groups,
                                                      .cadvisor = settings_.cadvisor,
                                                      .descriptors = descriptors.metrics});
  (void)settle(keeper_.reload(), "start");  // what is wrong is logged and shown
  // Where they are refused, what a cgxd before has left paused is given back all the same.
  if (!keeper_.valid()) hand_out();
  CGX_CHECK(start_files());
  if (!settings_.metrics.empty()) start_metrics();
  if (settings_.metrics_required && !settings_.metrics.empty() && server_ == nullptr)
    return fail(EADDRINUSE,
                fmt::format("metrics: {} is not to be had, and metrics_required says so", settings_.metrics));

  const BusKind kind = settings_.bus == BusChoice::system    ? BusKind::system
                       : settings_.bus == BusChoice::session ? BusKind::session
                                                             : BusKind::off;
  Bus::Options options;
  options.say = [this](std::string_view text) { log_->warning(text, {{"part", "bus"}}); };
  auto bus = Bus::open(loop_.event(), kind, *this, std::move(options));
  if (bus)
    bus_ = std::move(*bus);
  else
    log_->error("no D-Bus: " + bus.error().text());
  return {};
}

Result<> Daemon::start_files() {
  files_ = CGX_TRY(FilesWatch::open(keeper_.paths()));
  if (!files_->lacks().empty()) log_->warning("changes of policies are seen at SIGHUP only: " + files_->lacks());
  files_settled_ = CGX_TRY(loop_.timer([this] {
    files_settling_.over();
    reload_for("changed files");
  }));
  files_ready_ = CGX_TRY(loop_.on_io(files_->fd(), EPOLLIN, [this](std::uint32_t) {
    if (!files_->read()) return;
    if (const auto after = files_settling_.changed(Clock::now())) files_settled_.arm(*after);
  }));
  return {};
}

void Daemon::start_metrics() {
  auto listen = Listen::parse(settings_.metrics);
  // cgxd.socket holds the address then. They are passed once: nobody else may take them for its own.
  if (const int sockets = sd_listen_fds(1); listen && sockets > 0)
    for (int i = 0; i < sockets; ++i) listen->inherited.push_back(SD_LISTEN_FDS_START + i);
  auto server = listen ? MetricsServer::start(*listen, *metrics_) : std::unexpected(listen.error());
  if (server) {
    server_ = std::move(*server);
    log_->info("metrics on " + server_->address(), {{"address", server_->address()}});
    return;
  }
  log_->error(fmt::format("no metrics on {}: {}", settings_.metrics, server.error().text()), {{"part", "metrics"}});
  if (!metrics_again_.valid())
    if (auto timer = loop_.timer([this] {
          start_metrics();
          tell_status();
        }))
      metrics_again_ = std::move(*timer);
  metrics_again_.arm(metrics_retry);
}

Result<> Daemon::start_loop() {
  for (const int number : {SIGTERM, SIGINT})
    signals_.push_back(CGX_TRY(loop_.on_signal(number, [this] {
      log_->info("cgxd ends; the groups stay as they are");
      Notify::stopping();
      loop_.leave(0);
    })));
  signals_.push_back(CGX_TRY(loop_.on_signal(SIGHUP, [this] { reload_for("SIGHUP"); })));
  if (memory_)
    decisions_ =
        CGX_TRY(loop_.on_io(memory_->fd(), EPOLLIN, [this](std::uint32_t) { take_decisions(); }, Priority::decisions));
  if (settings_.drift_check != 0) {
    const std::chrono::microseconds every(settings_.drift_check);
    drift_ = CGX_TRY(loop_.timer([this, every] {
      put_right();
      drift_.arm(every);
    }));
    drift_.arm(every);
  }
  watchdog_ = CGX_TRY(loop_.timer([this] { heartbeat(); }));
  beat_seen_ = Clock::now();
  heartbeat();
  return {};
}

Result<> Daemon::run() {
  CGX_CHECK(loop_.run());
  return {};
}

// ---- policies -------------------------------------------------------------------------------------------------------

void Daemon::reload_for(std::string_view cause) {
  Notify::reloading();
  // What was changed behind the back of the policies in force is told as such, and not as a change of theirs.
  if (keeper_.reloads() != 0) put_right();
  (void)settle(keeper_.reload(), cause);
  Notify::ready();
  tell_status();
}

Result<> Daemon::settle(const Keeper::Outcome& outcome, std::string_view cause) {
  for (const policy::Problem& problem : outcome.problems)
    log_->say(problem.warning ? LogLevel::warning : LogLevel::error,
              problem.text() + (problem.hint.empty() ? "" : "; " + problem.hint),
              {{"file", problem.place.file}, {"line", std::to_string(problem.place.line)}});
  for (const std::string& note : outcome.notes) log_->info(note);
  for (const policy::Change& change : outcome.changes) log_->debug(change.text());
  metrics_->reloaded(outcome.ok, std::chrono::system_clock::now());
  if (outcome.ok) {
    log_->info(fmt::format("policies of {} in force ({}), {}",
                           sys::counted(keeper_.policies().groups.size(), "group"),
                           cause,
                           sys::counted(outcome.changes.size(), "change")),
               {{"cause", std::string(cause)}});
    metrics_->set_ready(true);
    hand_out();
  } else {
    log_->error(fmt::format("policies are refused ({}); {}",
                            cause,
                            keeper_.reloads() != 0 ? "what was in force stays in force" : "none are in force"),
                {{"cause", std::string(cause)}});
  }
  trees_told_.clear();
  metrics_told_.clear();
  picture();
  if (bus_) bus_->policy_changed();
  if (outcome.ok) return {};
  for (const policy::Problem& problem : outcome.problems)
    if (!problem.warning)
      return std::unexpected(
          Error{.code = EINVAL, .what = problem.text(), .hint = problem.hint, .fault = Fault::usage});
  return fail(EINVAL, "the policies are refused");
}

void Daemon::hand_out() {
  const std::vector<std::string> made(made_.begin(), made_.end());
  if (memory_)
    for (const policy::Problem& problem : memory_->watch(keeper_.policies(), made, keeper_.raised()))
      log_->warning(problem.text() + (problem.hint.empty() ? "" : "; " + problem.hint));
  const std::vector<policy::Rule>& rules = keeper_.policies().rules;
  if (!sorter_ && !rules.empty()) {
    auto sorter = Sorter::start(hierarchies_);
    if (sorter)
      sorter_ = std::move(*sorter);
    else
      log_->error("no rules: " + sorter.error().text());
  }
  if (sorter_) sorter_->set_rules(rules);
}

// ---- decisions ------------------------------------------------------------------------------------------------------

void Daemon::take_decisions() {
  taken_.clear();
  const std::size_t lost = memory_->take(taken_);
  metrics_->lost_decisions(lost);
  if (lost != 0)
    log_->error(fmt::format("{} lost for want of room", sys::counted(lost, "decision was", "decisions were")),
                {{"lost", std::to_string(lost)}});
  for (const Decision& decision : taken_) decided(decision);
}

void Daemon::decided(Decision decision) {
  if (decision.result.view() == "output") {  // a line that a command of an exec action has printed
    log_->info(fmt::format("{}: {}", decision.group.view(), decision.detail.view()), fields_of(decision));
    return;
  }
  history_.add(decision);
  log_->decision(decision);
  metrics_->count(decision);
  if (decision.action.view() == "raise" || decision.action.view() == "set" || decision.action.view() == "lower")
    changed_by_action(decision);
  if (!bus_) return;
  if (decision.event.view().starts_with("oom") || decision.event.view() == "failcnt") bus_->emit_oom(decision);
  bus_->emit_action(decision);
}

void Daemon::changed_by_action(const Decision& decision) {
  const std::string group(decision.group.view());
  keeper_.changed_by_action(group, decision);
  if (!slices_ || decision.new_value == 0 || decision.result.view() != "done") return;
  const Knob* const knob = find_knob(decision.limit.view());
  if (knob == nullptr) return;
  const Limit limit{.knob = knob, .value = decision.new_value, .given = std::to_string(decision.new_value), .file = {}};
  if (const auto told = slices_->changed(group, {&limit, 1}); !told)
    log_->warning("systemd does not know what was changed: " + told.error().text(), {{"group", group}});
}

// ---- the service manager --------------------------------------------------------------------------------------------

void Daemon::heartbeat() {
  const auto interval = Notify::watchdog_interval();
  const auto now = Clock::now();
  const std::uint64_t beat = memory_ ? memory_->heartbeat() : last_beat_ + 1;
  if (beat != last_beat_) beat_seen_ = now;
  const bool alive = now - beat_seen_ < longest_beat;
  if (!alive && beat_told_) log_->error("the thread of memory events does not beat any more");
  beat_told_ = alive;
  last_beat_ = beat;
  if (interval && alive) Notify::watchdog();
  if (++beats_ % 10 == 0) tell_counts();
  watchdog_.arm(interval ? std::min<std::chrono::microseconds>(*interval / 4, seconds(1)) : seconds(1));
}

// What the parts have counted and could not do, since they do not log themselves.
void Daemon::tell_counts() {
  if (memory_) metrics_->watched(memory_->watched().size());
  if (const std::string error = metrics_->take_error(); !error.empty() && error != metrics_told_)
    log_->warning("metrics: " + (metrics_told_ = error), {{"part", "metrics"}});
  if (!sorter_) return;
  const Sorter::Stats stats = sorter_->stats();
  metrics_->rules({.events = stats.events,
                   .moved = stats.moved,
                   .failed = stats.failed,
                   .lost = stats.lost,
                   .rescans = stats.rescans});
  for (const std::string& failure : sorter_->take_failures()) log_->warning(failure, {{"part", "rules"}});
}

void Daemon::tell_status() {
  std::string text;
  if (keeper_.valid())
    text = sys::counted(keeper_.policies().groups.size(), "group") + " by policy";
  else if (keeper_.reloads() == 0)
    text = fmt::format("policies refused, none in force: {}", keeper_.problems().front());
  else
    text = fmt::format("policies refused, {} as before: {}",
                       sys::counted(keeper_.policies().groups.size(), "group"),
                       keeper_.problems().front());
  const auto world = shared_.get();
  if (const auto waiting = std::ranges::count(world->groups, true, &ManagedGroup::waits); waiting != 0)
    text += fmt::format("; {} adopted and not there", waiting);
  if (memory_) text += fmt::format("; {} watched", memory_->watched().size());
  if (server_) text += fmt::format("; metrics on {}", server_->address());
  std::replace(text.begin(), text.end(), '\n', ' ');
  if (text == status_) return;
  status_ = text;
  Notify::status(status_);
}

}  // namespace cgx::daemon
