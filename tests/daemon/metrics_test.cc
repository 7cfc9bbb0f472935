// SPDX-License-Identifier: Apache-2.0
// The metrics of real groups, and the server that shows them.
#include "daemon/metrics/metrics.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/change/plan.h"

#include "daemon/metrics/server.h"
#include "groups.h"
#include "http.h"
#include "scratch.h"
#include "skip.h"

namespace metrics_test {

using namespace cgx;
using namespace std::chrono_literals;
using daemon::Listen;
using daemon::Metrics;
using daemon::MetricsServer;
using test::http;

namespace {

using Clock = std::chrono::steady_clock;

std::shared_ptr<daemon::World> world_of(const std::vector<std::string>& names) {
  auto world = std::make_shared<daemon::World>();
  for (const std::string& name : names) world->groups.push_back({.name = name});
  return world;
}

void make(const Hierarchies& hierarchies, const std::string& name, std::vector<Limit> limits = {}) {
  Desired desired;
  desired.group = name;
  desired.existing = Existing::allow;
  desired.limits = std::move(limits);
  Transaction transaction(hierarchies);
  REQUIRE(transaction.apply(desired).has_value());
  transaction.commit();
}

// The value of the sample that starts so; empty: there is none.
std::string sample(const std::string& page, const std::string& start) {
  const std::size_t at = page.starts_with(start + ' ') ? 0 : page.find('\n' + start + ' ');
  if (at == std::string::npos) return {};
  const std::size_t value = at + start.size() + (at == 0 ? 1 : 2);
  return page.substr(value, page.find('\n', value) - value);
}

std::string of_group(const std::string& page, const std::string& name, const std::string& group) {
  return sample(page, "cgx_cgroup_" + name + "{cgroup=\"" + group + "\"}");
}

// A server of the group of the test on a free port.
struct Served {
  explicit Served(const daemon::ServerLimits& limits = {}, unsigned groups = 0)
      : hierarchies(Hierarchies::discover().value()),
        group(hierarchies),
        metrics(hierarchies, shared, {.cadvisor = true}) {
    make(hierarchies, group.name());
    std::vector<std::string> names{group.name()};
    // The same group under many names would be one; what is not there is not on the page. So there are some.
    for (unsigned i = 0; i < groups; ++i) {
      names.push_back(group.name() + "/g" + std::to_string(i));
      make(hierarchies, names.back());
    }
    shared.set(world_of(names));
    server = MetricsServer::start(Listen{.port = 0}, metrics, limits).value();
    address = server->address();
  }
  Hierarchies hierarchies;
  test::TestGroup group;
  daemon::Shared shared;
  Metrics metrics;
  std::unique_ptr<MetricsServer> server;
  std::string address;
};

}  // namespace

TEST_CASE("metrics: a real group's usage and limits, as they change") {
  const Hierarchies hierarchies = Hierarchies::discover().value();
  if (hierarchies.of(Controller::memory) == nullptr || hierarchies.of(Controller::pids) == nullptr)
    CGX_SKIP("needs the controllers memory and pids");
  const test::TestGroup group(hierarchies);
  make(hierarchies, group.name(), {test::limit("mem", "64M"), test::limit("pids", "20")});
  daemon::Shared shared;
  shared.set(world_of({group.name()}));
  Metrics metrics(hierarchies, shared, {});
  std::string page = metrics.page(daemon::Format::text);
  CHECK(of_group(page, "memory_limit_bytes", group.name()) == "67108864");
  CHECK(of_group(page, "pids_limit", group.name()) == "20");
  CHECK(of_group(page, "processes", group.name()) == "0");
  CHECK(of_group(page, "oom_kill_total", group.name()) == "0");
  CHECK_FALSE(of_group(page, "memory_usage_bytes", group.name()).empty());
  make(hierarchies, group.name(), {test::limit("mem", "max"), test::limit("pids", "30")});
  page = metrics.page(daemon::Format::text);
  CHECK(of_group(page, "memory_limit_bytes", group.name()).empty());
  CHECK(of_group(page, "pids_limit", group.name()) == "30");
  CHECK(sample(page, "cgxd_scrape_errors_total") == "0");
  CHECK(sample(page, "cgxd_kept_descriptors") != "0");

  // Another group of the same name: nothing of the first one is left.
  group.remove();
  page = metrics.page(daemon::Format::text);
  CHECK(of_group(page, "processes", group.name()).empty());
  CHECK(sample(page, "cgxd_scraped_cgroups") == "0");
  make(hierarchies, group.name(), {test::limit("mem", "32M")});
  page = metrics.page(daemon::Format::text);
  CHECK(of_group(page, "memory_limit_bytes", group.name()) == "33554432");
  CHECK(of_group(page, "pids_limit", group.name()).empty());
  CHECK(sample(page, "cgxd_scrape_errors_total") == "0");
}

TEST_CASE("metrics: groups that come and go while they are read by many") {
  const Hierarchies hierarchies = Hierarchies::discover().value();
  const test::TestGroup group(hierarchies);
  make(hierarchies, group.name());
  std::vector<std::string> names{group.name()};
  for (int i = 0; i < 20; ++i) names.push_back(group.name() + "/g" + std::to_string(i));
  daemon::Shared shared;
  shared.set(world_of(names));
  Metrics metrics(hierarchies, shared, {.cadvisor = true});
  std::atomic<bool> stop = false;
  std::atomic<int> pages = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i)
    readers.emplace_back([&] {
      while (!stop) {
        const std::string page = metrics.page(daemon::Format::openmetrics);
        if (page.ends_with("# EOF\n")) ++pages;
        (void)metrics.cadvisor();
        (void)metrics.json();
      }
    });
  const auto end = Clock::now() + 2s;
  while (Clock::now() < end)
    for (std::size_t i = 1; i < names.size(); ++i) {
      make(hierarchies, names[i]);
      const Cgroup made(hierarchies, names[i]);
      CHECK(remove_group(made, Below::keep).has_value());
    }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  CHECK(pages > 2);
  CHECK(metrics.take_error().empty());
}

TEST_CASE("metrics: with few descriptors all groups are read all the same") {
  const Hierarchies hierarchies = Hierarchies::discover().value();
  const test::TestGroup group(hierarchies);
  make(hierarchies, group.name());
  std::vector<std::string> names{group.name()};
  for (int i = 0; i < 30; ++i) {
    names.push_back(group.name() + "/g" + std::to_string(i));
    make(hierarchies, names.back());
  }
  daemon::Shared shared;
  shared.set(world_of(names));
  Metrics metrics(hierarchies, shared, {.descriptors = 1000});
  (void)metrics.page(daemon::Format::text);  // the roots of the hierarchies are open now
  // Descriptors are given from the lowest on: a limit just above the highest one in use leaves few.
  const int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
  REQUIRE(next >= 0);
  close(next);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  daemon::Shared again;
  again.set(world_of(names));
  Metrics starved(hierarchies, again, {.descriptors = 1000});
  const rlimit few{.rlim_cur = static_cast<rlim_t>(next) + 25, .rlim_max = before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
  const std::string first = starved.page(daemon::Format::text);
  const std::string second = starved.page(daemon::Format::text);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(sample(first, "cgxd_scraped_cgroups") == "31");
  CHECK(sample(second, "cgxd_scraped_cgroups") == "31");
  CHECK(sample(second, "cgxd_scrape_errors_total") == "0");
}

TEST_CASE("metrics server: pages, methods and formats") {
  Served s;
  auto answer = http(s.address, "GET", "/metrics");
  CHECK(answer.status == 200);
  CHECK(answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8");
  CHECK(answer.body.find("cgx_cgroup_info{cgroup=\"" + s.group.name() + "\"") != std::string::npos);
  CHECK(answer.body.ends_with("\n"));
  answer = http(s.address, "GET", "/metrics", "Accept: application/openmetrics-text; version=1.0.0\r\n");
  CHECK(answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8");
  CHECK(answer.body.ends_with("\n# EOF\n"));
  answer = http(s.address, "GET", "/metrics", "Accept-Encoding: gzip\r\nAccept: application/openmetrics-text\r\n");
  CHECK(answer.headers["content-encoding"] == "gzip");
  CHECK(test::gunzip(answer.body).ends_with("\n# EOF\n"));
  answer = http(s.address, "GET", "/metrics/cadvisor");
  CHECK(answer.status == 200);
  CHECK(answer.body.find("container_last_seen{id=\"/" + s.group.name() + "\"") != std::string::npos);
  for (const char* path : {"/metrics", "/", "/-/healthy", "/status.json"}) {
    CAPTURE(std::string(path));
    answer = http(s.address, "HEAD", path);
    CHECK(answer.status == 200);
    CHECK(answer.body.empty());
    CHECK_FALSE(answer.headers["content-type"].empty());
  }
  answer = http(s.address, "GET", "/");
  CHECK(answer.status == 200);
  CHECK(answer.headers["content-type"] == "text/html; charset=utf-8");
  CHECK(answer.headers["content-security-policy"].starts_with("default-src 'none'; style-src 'nonce-"));
  CHECK(answer.body.find(s.group.name()) != std::string::npos);
  answer = http(s.address, "GET", "/", "Accept-Encoding: gzip\r\n");
  CHECK(test::gunzip(answer.body).ends_with("</html>\n"));
  CHECK(http(s.address, "GET", "/nothing").status == 404);
  CHECK(http(s.address, "GET", "/metrics/").status == 404);
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS"}) {
    CAPTURE(std::string(method));
    answer = http(s.address, method, "/metrics", "Content-Length: 0\r\n");
    CHECK(answer.status == 405);
    CHECK(answer.headers["allow"] == "GET, HEAD");
  }
  CHECK(http(s.address, "GET", "/-/healthy").status == 200);
  CHECK(http(s.address, "GET", "/-/ready").status == 503);
  s.metrics.set_ready(true);
  CHECK(http(s.address, "GET", "/-/ready").status == 200);
  // A request that is none ends this connection and nothing else.
  const sys::Fd fd = test::connect_to(s.address);
  CHECK(test::send_all(fd.get(), "\x01\x02 garbage\r\n\r\n"));
  (void)test::receive_all(fd.get());
  CHECK(http(s.address, "GET", "/-/healthy").status == 200);
}

TEST_CASE("metrics server: several requests on one connection") {
  Served s;
  const sys::Fd fd = test::connect_to(s.address);
  CHECK(test::send_all(fd.get(), "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"));
  std::string text(4096, '\0');
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(0, recv(fd.get(), text.data(), text.size(), 0))));
  CHECK(text.starts_with("HTTP/1.1 200"));
  CHECK(test::send_all(fd.get(), "GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
  CHECK(test::receive_all(fd.get()).starts_with("HTTP/1.1 200"));
}

TEST_CASE("metrics server: who sends or reads too slowly is cut off, and holds up nobody") {
  Served s({.connections = 34, .header = 700ms, .answer = 20s, .idle = 20s, .stalled = 1s}, 150);
  // Six that send a byte now and then, for ever.
  std::vector<sys::Fd> slow;
  for (int i = 0; i < 6; ++i) slow.push_back(test::connect_to(s.address));
  std::atomic<bool> stop = false;
  std::thread dripping([&] {
    const std::string request = "GET /metrics HTTP/1.1\r\nX: " + std::string(100'000, 'x');
    for (std::size_t i = 0; i < request.size() && !stop; ++i) {
      for (const sys::Fd& fd : slow) (void)test::send_all(fd.get(), request.substr(i, 1));
      std::this_thread::sleep_for(100ms);
    }
  });
  // One that asks for much and never reads: its window is as small as can be.
  const sys::Fd deaf = test::connect_to(s.address);
  const int tiny = 1;
  (void)setsockopt(deaf.get(), SOL_SOCKET, SO_RCVBUF, &tiny, sizeof tiny);
  std::string many;
  for (int i = 0; i < 40; ++i) many += "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
  CHECK(test::send_all(deaf.get(), many));
  // There are places left.
  CHECK(http(s.address, "GET", "/-/healthy").status == 200);
  const auto answer = http(s.address, "GET", "/metrics");
  CHECK(answer.status == 200);
  CHECK(answer.body.find("cgxd_scraped_cgroups 151\n") != std::string::npos);
  // The slow ones were not waited for: their connections end though they are never idle.
  for (const sys::Fd& fd : slow) CHECK(test::receive_all(fd.get()).empty());
  stop = true;
  dripping.join();
  // The deaf one too. What is in flight can still be read; it is less than what was asked for.
  const auto end = Clock::now() + 20s;
  bool closed = false;
  while (!closed && Clock::now() < end) {
    std::this_thread::sleep_for(100ms);
    closed = !test::send_all(deaf.get(), "G");
  }
  CHECK(closed);
  // Many at once: all are served, and share readings.
  std::vector<std::thread> clients;
  std::atomic<int> served = 0;
  for (int i = 0; i < 24; ++i)
    clients.emplace_back([&] { served += http(s.address, "GET", "/metrics").status == 200 ? 1 : 0; });
  for (std::thread& client : clients) client.join();
  CHECK(served == 24);
}

TEST_CASE("metrics server: IPv6, a socket in the file system, and inherited sockets") {
  Served s;
  if (const auto v6 = MetricsServer::start("[::1]:0", s.metrics)) {
    CHECK((*v6)->address().starts_with("[::1]:"));
    CHECK(http((*v6)->address(), "GET", "/-/healthy").status == 200);
  } else {
    MESSAGE("no IPv6 on this host: ", v6.error().text());
  }
  const test::ScratchDir dir;
  const std::string path = dir.path() + "/m.sock";
  const std::string where = "unix:" + path;
  {
    const auto local = MetricsServer::start(where, s.metrics);
    REQUIRE(local.has_value());
    CHECK((*local)->address() == where);
    CHECK(http(where, "GET", "/-/healthy").status == 200);
    struct stat st{};
    CHECK(stat(path.c_str(), &st) == 0);
    CHECK((st.st_mode & 07777U) == 0660);
    const auto second = MetricsServer::start(where, s.metrics);
    REQUIRE_FALSE(second.has_value());
    CHECK(second.error().code == EADDRINUSE);
    CHECK(second.error().text() == "cannot listen on " + where + ": Address already in use");
    CHECK(http(where, "GET", "/-/healthy").status == 200);  // the first one still has it
  }
  CHECK(access(path.c_str(), F_OK) != 0);
  // One that a process which was killed has left behind.
  {
    sys::Fd stale = daemon::open_listener(Listen::parse(where).value()).value();
  }
  CHECK(access(path.c_str(), F_OK) == 0);
  {
    const auto local = MetricsServer::start(where, s.metrics);
    CHECK(local.has_value());
    CHECK(http(where, "GET", "/-/healthy").status == 200);
  }
  dir.file("file", "kept");
  const auto file = MetricsServer::start("unix:" + dir.path() + "/file", s.metrics);
  REQUIRE_FALSE(file.has_value());
  CHECK(file.error().code == EEXIST);
  CHECK(test::content(dir.path() + "/file") == "kept");

  std::vector<int> inherited;
  for (int i = 0; i < 2; ++i) inherited.push_back(daemon::open_listener(Listen{.port = 0}).value().release());
  {
    const auto server = MetricsServer::start(Listen{.inherited = inherited}, s.metrics);
    REQUIRE(server.has_value());
    const std::string both = (*server)->address();
    const std::size_t blank = both.find(' ');
    REQUIRE(blank != std::string::npos);
    CHECK(http(both.substr(0, blank), "GET", "/-/healthy").status == 200);
    CHECK(http(both.substr(blank + 1), "GET", "/-/healthy").status == 200);
  }
  const auto wrong = MetricsServer::start(Listen{.inherited = {fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)}}, s.metrics);
  REQUIRE_FALSE(wrong.has_value());
  CHECK(wrong.error().text().find("inherited") != std::string::npos);
}

TEST_CASE("metrics server: an address that is taken is an exact error") {
  Served s;
  const auto second = MetricsServer::start(s.address, s.metrics);
  REQUIRE_FALSE(second.has_value());
  CHECK(second.error().code == EADDRINUSE);
  CHECK(second.error().text() == "cannot listen on " + s.address + ": Address already in use");
  const auto foreign = MetricsServer::start("192.0.2.1:9753", s.metrics);
  REQUIRE_FALSE(foreign.has_value());
  CHECK(foreign.error().code == EADDRNOTAVAIL);
  const auto missing = MetricsServer::start("unix:/nonexistent/x.sock", s.metrics);
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().code == ENOENT);
}

}  // namespace metrics_test
