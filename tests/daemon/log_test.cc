// SPDX-License-Identifier: Apache-2.0
#include "daemon/log.h"

#include <array>
#include <string>

#include <fcntl.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/sys/fd.h"

namespace log_test {

using namespace cgx::daemon;  // NOLINT(google-build-using-namespace)

namespace {

// What goes to stderr while `write` runs.
template <class Function>
std::string written(Function&& function) {
  std::array<int, 2> ends{};
  REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
  const cgx::sys::Fd in(ends[0]);
  const cgx::sys::Fd before(dup(STDERR_FILENO));  // NOLINT(android-cloexec-dup)
  REQUIRE(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
  close(ends[1]);
  function();
  REQUIRE(dup2(before.get(), STDERR_FILENO) == STDERR_FILENO);
  return cgx::sys::read_all(in.get()).value_or("");
}

Decision raised() {
  Decision decision;
  decision.id = 7;
  decision.group.set("web");
  decision.event.set("oom");
  decision.limit_of.set("web");
  decision.limit.set("memory.limit_in_bytes");
  decision.limit_bytes = 64U << 20U;
  decision.action.set("raise");
  decision.detail.set("64M -> 80M");
  decision.result.set("done");
  decision.took = 41;
  return decision;
}

}  // namespace

TEST_CASE("log: a decision is one line for people, and one object with all its fields as JSON") {
  CHECK(sentence(raised()) == "oom of web (memory.limit_in_bytes of web, 64.0M): raise 64M -> 80M, done in 41us");
  Decision killed = raised();
  killed.event.set("oom_kill");
  killed.action.set("none");
  killed.detail.set("");
  killed.count = 3;
  CHECK(sentence(killed) ==
        "oom_kill of web (memory.limit_in_bytes of web, 64.0M): the kernel has killed in it, 3 in all");
  const std::string human = written([] { Log::open(LogFormat::human, LogLevel::info).decision(raised()); });
  CHECK(human.ends_with(" info oom of web (memory.limit_in_bytes of web, 64.0M): raise 64M -> 80M, done in 41us\n"));
  const std::string json = written([] { Log::open(LogFormat::json, LogLevel::info).decision(raised()); });
  CHECK(json.starts_with(R"({"time":")"));
  CHECK(json.find(R"("group":"web","event":"oom","limit_of":"web","limit":"memory.limit_in_bytes")") !=
        std::string::npos);
  CHECK(json.ends_with("\"took_usec\":\"41\"}\n"));
}

TEST_CASE("log: what is below the level is not there, and a name cannot draw a line of its own") {
  CHECK(written([] { Log::open(LogFormat::human, LogLevel::warning).info("no"); }).empty());
  const std::string text = written([] { Log::open(LogFormat::human, LogLevel::info).info("a\nERROR \033[31mb"); });
  CHECK(text.ends_with(" info a\\nERROR \\x1b[31mb\n"));
  // U+009B is as ESC [, in UTF-8 and as a byte of its own.
  const std::string c1 = written([] { Log::open(LogFormat::human, LogLevel::info).info("\x9bJ \xc2\x9bJ \u00e9"); });
  CHECK(c1.ends_with(" info \\x9bJ \\xc2\\x9bJ \u00e9\n"));
}

}  // namespace log_test
