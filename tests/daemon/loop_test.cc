// SPDX-License-Identifier: Apache-2.0
#include "daemon/loop.h"

#include <array>
#include <chrono>
#include <csignal>
#include <optional>

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/sys/fd.h"

#include "daemon/settling.h"

namespace loop_test {

using cgx::daemon::Loop;
using cgx::daemon::Source;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("loop: a descriptor that is readable is told of, and no longer once its source is gone") {
  auto loop = Loop::create();
  REQUIRE(loop);
  std::array<int, 2> ends{};
  REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
  const cgx::sys::Fd in(ends[0]);
  const cgx::sys::Fd out(ends[1]);
  int calls = 0;
  {
    auto source = loop->on_io(in.get(), EPOLLIN, [&](std::uint32_t events) {
      CHECK((events & EPOLLIN) != 0);
      ++calls;
    });
    REQUIRE(source);
    REQUIRE(write(out.get(), "x", 1) == 1);
    REQUIRE(loop->step(seconds(5)));
    CHECK(calls == 1);
    REQUIRE(loop->step(seconds(5)));  // it was not read
    CHECK(calls == 2);
  }
  REQUIRE(loop->step(milliseconds(10)));
  CHECK(calls == 2);
}

TEST_CASE("loop: a source may take itself away, and be replaced, in its own function") {
  auto loop = Loop::create();
  REQUIRE(loop);
  int first = 0;
  int second = 0;
  Source source;
  auto made = loop->timer([&] {
    ++first;
    auto other = loop->timer([&] { ++second; });
    REQUIRE(other);
    source = std::move(*other);
    source.arm(milliseconds(1));
  });
  REQUIRE(made);
  source = std::move(*made);
  source.arm(milliseconds(1));
  for (int i = 0; i < 100 && second == 0; ++i) REQUIRE(loop->step(milliseconds(100)));
  CHECK(first == 1);
  CHECK(second == 1);
}

TEST_CASE("loop: a timer that is armed anew fires once, at the later time") {
  auto loop = Loop::create();
  REQUIRE(loop);
  int fired = 0;
  auto timer = loop->timer([&] { ++fired; });
  REQUIRE(timer);
  REQUIRE(loop->step(milliseconds(1)));  // it is not armed at first
  CHECK(fired == 0);
  timer->arm(milliseconds(1));
  timer->arm(milliseconds(100));
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 100 && fired == 0; ++i) REQUIRE(loop->step(milliseconds(100)));
  CHECK(std::chrono::steady_clock::now() - start >= milliseconds(90));
  timer->arm(milliseconds(1));
  timer->disarm();
  REQUIRE(loop->step(milliseconds(50)));
  CHECK(fired == 1);
}

TEST_CASE("loop: a signal ends it with the status asked for") {
  auto loop = Loop::create();
  REQUIRE(loop);
  sigset_t usr2;
  sigemptyset(&usr2);
  sigaddset(&usr2, SIGUSR2);
  REQUIRE(pthread_sigmask(SIG_BLOCK, &usr2, nullptr) == 0);
  {
    auto source = loop->on_signal(SIGUSR2, [&] { loop->leave(7); });
    REQUIRE(source);
    REQUIRE(raise(SIGUSR2) == 0);
    const auto status = loop->run();
    REQUIRE(status);
    CHECK(*status == 7);
  }
  pthread_sigmask(SIG_UNBLOCK, &usr2, nullptr);
}

TEST_CASE("settling: changes without end put it off for two seconds") {
  using cgx::daemon::Settling;
  const Settling::Time start{};
  for (const milliseconds each : {milliseconds(0), milliseconds(1), milliseconds(50), milliseconds(199)}) {
    CAPTURE(each.count());
    Settling settling;
    Settling::Time due = start;
    int changes = 0;
    for (Settling::Time now = start; changes == 0 || (now < due && changes < 5000); now += each, ++changes)
      if (const auto after = settling.changed(now)) {
        CHECK(*after > milliseconds(0));
        due = now + *after;
      }
    CHECK(due == start + (each == milliseconds(0) ? seconds(0) + Settling::quiet : milliseconds(2000)));
    settling.over();
    CHECK(settling.changed(due + each) == Settling::quiet);
  }
}

}  // namespace loop_test
