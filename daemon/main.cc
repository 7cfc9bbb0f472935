// SPDX-License-Identifier: Apache-2.0
// cgxd. Exit statuses: 0 done; 1 the system refused; 2 the command line, the settings or (with --check) a policy is
// wrong.
#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include <pthread.h>
#include <sys/resource.h>

#include <fmt/format.h>

#include "cgx/policy/yaml.h"
#include "cgx/sys/count.h"
#include "cgx/sys/process.h"

#include "daemon/daemon.h"
#include "daemon/settings.h"

namespace cgx::daemon {
namespace {

// One a line, as the kernel is asked to write it in one piece: stderr may be the journal's.
void complain(const std::string& text) { std::fputs((text + "\n").c_str(), stderr); }

int wrong(const Error& error) {
  complain("cgxd: " + error.text());
  if (!error.hint.empty()) complain("hint: " + error.hint);
  return error.fault == Fault::usage ? 2 : 1;
}

// Every file that a group needs watching for is one descriptor: as many as there may be.
void raise_descriptors(const Log& log) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  if (before != limit.rlim_max && setrlimit(RLIMIT_NOFILE, &limit) != 0)
    log.warning(fmt::format("only {}: {}", sys::counted(before, "descriptor"), errno_text(errno)));
}

int check(const Settings& settings) {
  const auto hierarchies = Hierarchies::discover();
  if (!hierarchies) return wrong(hierarchies.error());
  const policy::Loaded loaded = load_policies(settings, "", *hierarchies);
  for (const policy::Problem& problem : loaded.problems)
    complain(fmt::format("{}: {}", problem.warning ? "warning" : "cgxd", problem.text()) +
             (problem.hint.empty() ? "" : "\nhint: " + problem.hint));
  if (!loaded.ok()) return 2;
  fmt::print("{} and {}, no mistakes\n",
             sys::counted(loaded.policies.groups.size(), "group"),
             sys::counted(loaded.policies.rules.size(), "rule"));
  return 0;
}

int release(const Settings& settings) {
  const auto hierarchies = Hierarchies::discover();
  if (!hierarchies) return wrong(hierarchies.error());
  const auto released = release_paused(*hierarchies, settings.state_dir);
  if (!released) return wrong(released.error());
  for (const std::string& group : *released) fmt::print("{}\n", group);
  return 0;
}

int serve(Settings settings) {
  // The loop takes them from a descriptor, so no thread may be stopped by one. Threads inherit the mask.
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // a scraper that goes away is an error of write(2)

  const Log log = Log::open(settings.log_format, settings.log_level);
  raise_descriptors(log);
  auto daemon = Daemon::start(std::move(settings), log);
  const Result<> ended = daemon ? (*daemon)->run() : std::unexpected(daemon.error());
  if (ended) return 0;
  log.error(ended.error().text() + (ended.error().hint.empty() ? "" : "; " + ended.error().hint));
  return ended.error().fault == Fault::usage ? 2 : 1;
}

int run(const std::vector<std::string>& words) {
  auto settings = settings_of(words);
  if (!settings) return wrong(settings.error());
  switch (settings->mode) {
    case Mode::help:
      fmt::print("{}", settings_help());
      return 0;
    case Mode::version:
      fmt::print("cgxd {}\n", CGX_VERSION);
      return 0;
    case Mode::check:
      return check(*settings);
    case Mode::release:
      return release(*settings);
    case Mode::serve:
      break;
  }
  return serve(std::move(*settings));
}

}  // namespace
}  // namespace cgx::daemon

int main(int argc, char** argv) {
  cgx::sys::wait_for_children();
  return cgx::daemon::run({argv + 1, argv + argc});
}
