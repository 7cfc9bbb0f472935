// SPDX-License-Identifier: Apache-2.0
// Serves the metrics of cgxd, of groups that tests name, without the rest of cgxd.
//
//   metrics_server [--listen WHERE] [--below GROUP | --group NAME... | --groups FILE] [--scope SCOPE] [--cadvisor]
//   [--max-groups N]
//                  [--max-series N] [--descriptors N] [--header-ms N] [--stalled-ms N] [--inherit]
//                  [--once PAGE [--rounds N]]
//
// --below serves GROUP and all groups below it, looked for again every 100 ms; --groups those of FILE, a line each.
// --once writes a page ("text", "openmetrics", "cadvisor", "html", "json", "files", "names") to stdout instead of
// serving; with --rounds it makes the page N times more and says on stderr what CPU time each took. --inherit serves on
// descriptor 3. Prints where it listens. Commands on stdin, a line each: `ready`, `reload ok|failed`, `decision GROUP
// EVENT COUNT ACTION RESULT USEC`, `lost N`; the end of stdin is the end of the program.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cgx/cgroupfs/walk.h"
#include "cgx/sys/text.h"

#include "daemon/metrics/listing.h"
#include "daemon/metrics/server.h"

using namespace cgx;
using namespace cgx::daemon;

namespace {

[[noreturn]] void die(const std::string& why) {
  std::cerr << "metrics_server: " << why << "\n";
  std::exit(1);
}

struct Settings {
  Listen listen;
  std::string below;
  std::vector<std::string> groups;
  MetricsOptions options;
  ServerLimits limits;
  std::string once;
  unsigned long rounds = 0;
};

Settings settings(int argc, char** argv) {
  Settings s;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--cadvisor") {
      s.options.cadvisor = true;
      continue;
    }
    if (flag == "--inherit") {
      s.listen.inherited = {3};
      continue;
    }
    if (++i >= argc) die(flag + " needs a value");
    const std::string value = argv[i];
    const auto number = [&] {
      const auto n = sys::parse_u64(value);
      if (!n) die(flag + ": " + n.error().text());
      return *n;
    };
    if (flag == "--listen") {
      const auto listen = Listen::parse(value);
      if (!listen) die(listen.error().text());
      s.listen = *listen;
    } else if (flag == "--below") {
      s.below = value;
    } else if (flag == "--group") {
      s.groups.push_back(value);
    } else if (flag == "--groups") {
      const auto text = sys::read_path(value);
      if (!text) die(text.error().text());
      for (const std::string_view line : sys::lines(*text)) s.groups.emplace_back(line);
    } else if (flag == "--scope") {
      s.options.scope = value;
    } else if (flag == "--max-groups") {
      s.options.max_groups = number();
    } else if (flag == "--max-series") {
      s.options.max_series = number();
    } else if (flag == "--descriptors") {
      s.options.descriptors = number();
    } else if (flag == "--header-ms") {
      s.limits.header = std::chrono::milliseconds(number());
    } else if (flag == "--stalled-ms") {
      s.limits.stalled = std::chrono::milliseconds(number());
    } else if (flag == "--once") {
      s.once = value;
    } else if (flag == "--rounds") {
      s.rounds = number();
    } else {
      die("no option " + flag);
    }
  }
  return s;
}

std::vector<std::string> names(const Hierarchies& hierarchies, const Settings& s) {
  std::vector<std::string> list = s.groups;
  if (s.below.empty()) return list;
  const auto below = walk_below(hierarchies, s.below);
  if (!below) return list;
  list.push_back(s.below);
  list.insert(list.end(), below->begin(), below->end());
  return list;
}

std::shared_ptr<const World> make_world(const std::vector<std::string>& groups, const World& before) {
  auto world = std::make_shared<World>(before);
  world->manager = "cgroupfs";
  world->groups.clear();
  for (const std::string& name : groups) world->groups.push_back({.name = name});
  world->seen = groups;
  return world;
}

std::string once(Metrics& metrics, const std::string& what) {
  if (what == "text") return metrics.page(daemon::Format::text);
  if (what == "openmetrics") return metrics.page(daemon::Format::openmetrics);
  if (what == "cadvisor") return metrics.cadvisor();
  if (what == "html") return metrics.html("x");
  if (what == "json") return metrics.json();
  if (what == "names") return metrics_listing();
  if (what == "files") {
    (void)metrics.page(daemon::Format::text);  // after a reading it is known what there is
    std::string text;
    for (const std::string& line : metrics.files()) text += line + '\n';
    return text;
  }
  die("no page " + what);
}

// The size of a page that is made as the server makes it.
std::size_t in_pieces(Metrics& metrics) {
  daemon::Page page = metrics.pages(daemon::Format::text, daemon::Page::Names::group);
  std::string piece;
  std::size_t size = 0;
  for (bool more = true; more; size += piece.size()) {
    piece.clear();
    more = page.more(piece, 65536);
  }
  return size;
}

double cpu_ms() {
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  const auto ms = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_usec) / 1e3;
  };
  return ms(use.ru_utime) + ms(use.ru_stime);
}

void command(const std::string& line, Metrics& metrics, Shared& shared) {
  std::istringstream words(line);
  std::string word;
  words >> word;
  if (word == "ready") {
    metrics.set_ready(true);
  } else if (word == "reload") {
    words >> word;
    const auto now = std::chrono::system_clock::now();
    auto world = std::make_shared<World>(*shared.get());
    world->policy_valid = word == "ok";
    world->last_reload = now;
    ++world->reloads;
    world->problems.clear();
    if (!world->policy_valid) world->problems.emplace_back("web.yaml:3:5: <b>groups</b> is \"wrong\"");
    shared.set(world);
    metrics.reloaded(world->policy_valid, now);
  } else if (word == "lost") {
    std::uint64_t n = 0;
    words >> n;
    metrics.lost_decisions(n);
  } else if (word == "decision") {
    std::string group;
    std::string event;
    std::string action;
    std::string result;
    Decision d;
    words >> group >> event >> d.count >> action >> result >> d.took;
    d.group.set(group);
    d.event.set(event);
    d.action.set(action);
    d.result.set(result);
    metrics.count(d);
  } else {
    die("no command " + line);
  }
  std::cout << "done " << line << '\n' << std::flush;
}

void serve(const Hierarchies& hierarchies, const Settings& s, Metrics& metrics, Shared& shared) {
  std::vector<std::string> now = names(hierarchies, s);
  std::string text;
  while (true) {
    pollfd in{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    if (poll(&in, 1, s.below.empty() ? -1 : 100) > 0) {
      std::array<char, 4096> buffer;
      const ssize_t n = read(STDIN_FILENO, buffer.data(), buffer.size());
      if (n <= 0) return;
      text.append(buffer.data(), static_cast<std::size_t>(n));
      for (std::size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
        command(text.substr(0, end), metrics, shared);
        text.erase(0, end + 1);
      }
    }
    auto next = names(hierarchies, s);
    if (next == now) continue;
    now = std::move(next);
    shared.set(make_world(now, *shared.get()));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Settings s = settings(argc, argv);
  const auto hierarchies = Hierarchies::discover();
  if (!hierarchies) die(hierarchies.error().text());
  Shared shared;
  shared.set(make_world(names(*hierarchies, s), World{}));
  Metrics metrics(*hierarchies, shared, s.options);
  if (!s.once.empty()) {
    const std::string page = once(metrics, s.once);
    std::fwrite(page.data(), 1, page.size(), stdout);
    for (unsigned long i = 0; i < s.rounds; ++i) {
      const double before = cpu_ms();
      const std::size_t size = s.once == "text" ? in_pieces(metrics) : once(metrics, s.once).size();
      std::cerr << cpu_ms() - before << " ms " << size << " bytes\n";
    }
    return 0;
  }
  const auto server = MetricsServer::start(s.listen, metrics, s.limits);
  if (!server) die(server.error().text());
  std::cout << "listening " << (*server)->address() << '\n' << std::flush;
  serve(*hierarchies, s, metrics, shared);
  return 0;
}
