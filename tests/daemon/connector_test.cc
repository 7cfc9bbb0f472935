// SPDX-License-Identifier: Apache-2.0
#include "daemon/rules/connector.h"

#include <algorithm>
#include <cerrno>
#include <thread>

#include <poll.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/sys/text.h"

#include "rules_support.h"

namespace connector_test {

using namespace cgx;
using cgx::daemon::Connector;
using cgx::daemon::ProcEvent;
using cgx::daemon::ProcEventKind;

namespace {

// All that comes until `done` says so, or nothing has come for 5 s.
std::vector<ProcEvent> collect(Connector& connector, const std::function<bool(const ProcEvent&)>& done) {
  std::vector<ProcEvent> all;
  std::vector<ProcEvent> some;
  pollfd waiting{.fd = connector.fd(), .events = POLLIN, .revents = 0};
  while (poll(&waiting, 1, 5000) == 1) {
    if (!connector.receive(some)) continue;
    all.insert(all.end(), some.begin(), some.end());
    if (std::ranges::any_of(some, done)) break;
  }
  return all;
}

bool is_since(unsigned major, unsigned minor) {
  utsname name{};
  if (uname(&name) != 0) return false;
  const auto parts = sys::split(name.release, '.');
  const auto first = parts.empty() ? 0 : sys::parse_u64(parts[0]).value_or(0);
  const auto second = parts.size() < 2 ? 0 : sys::parse_u64(parts[1]).value_or(0);
  return first > major || (first == major && second >= minor);
}

}  // namespace

TEST_CASE("the connector tells of the events that are asked for, and no others") {
  auto connector = Connector::open(ProcEventKind::exec | ProcEventKind::uid);
  if (!connector) CGX_SKIP(connector.error().text());
  CHECK(connector->masked() == is_since(6, 6));
  CHECK(connector->buffer() >= 8U << 20U);
  const test::ScratchDir scratch;
  const test::Program program(scratch);
  test::Started process({program.path(), "then", "uid", "61233", "wait"});
  const pid_t pid = process.pid();
  process.go();
  const auto events =
      collect(*connector, [&](const ProcEvent& e) { return e.pid == pid && e.kind == ProcEventKind::uid; });
  CHECK(std::ranges::any_of(events, [&](const ProcEvent& e) { return e.pid == pid && e.kind == ProcEventKind::exec; }));
  CHECK(std::ranges::any_of(events, [&](const ProcEvent& e) { return e.pid == pid && e.kind == ProcEventKind::uid; }));
  CHECK(std::ranges::none_of(
      events, [](const ProcEvent& e) { return e.kind == ProcEventKind::fork || e.kind == ProcEventKind::gid; }));
  CHECK(std::ranges::all_of(events, [](const ProcEvent& e) { return e.pid > 0 && e.time > 0; }));
}

TEST_CASE("the connector tells of forks of processes, not of threads") {
  auto connector = Connector::open(static_cast<std::uint32_t>(ProcEventKind::fork));
  if (!connector) CGX_SKIP(connector.error().text());
  for (int i = 0; i < 20; ++i) std::thread([] {}).join();
  const test::ScratchDir scratch;
  const test::Program program(scratch);
  test::Started process({program.path(), "wait"});
  const pid_t pid = process.pid();
  const auto events = collect(*connector, [&](const ProcEvent& e) { return e.pid == pid; });
  CHECK(std::ranges::any_of(events, [&](const ProcEvent& e) { return e.pid == pid && e.parent > 0; }));
  CHECK(std::ranges::all_of(events, [](const ProcEvent& e) { return e.kind == ProcEventKind::fork; }));
  // One of this process is its child, the shell.
  CHECK(std::ranges::count(events, getpid(), &ProcEvent::parent) <= 1);
}

}  // namespace connector_test
