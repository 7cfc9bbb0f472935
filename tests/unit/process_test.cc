// SPDX-License-Identifier: Apache-2.0
// What /proc/PID/stat says.
#include "cgx/sys/process.h"

#include <array>
#include <cerrno>
#include <string>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/sys/fd.h"

namespace process_test {

namespace sys = cgx::sys;

TEST_CASE("process: fields of stat are counted behind a name that may hold anything") {
  constexpr std::string_view rest =
      " S 2 3 4 5 6 2129984 8 9 10 11 140 150 16 17 18 19 20 21 2200 23 240 18446744073709551615 26\n";
  for (const std::string_view name : {"sh", "", "a b", "a) R 1 (b", "((", "))", "x\ny", "S 1 1"}) {
    CAPTURE(name);
    const std::string text = "77 (" + std::string(name) + ")" + std::string(rest);
    const auto stat = sys::parse_stat(text);
    REQUIRE(stat);
    CHECK(stat->state == 'S');
    CHECK(stat->flags == 2129984);
    CHECK(stat->user_ticks == 140);
    CHECK(stat->system_ticks == 150);
    CHECK(stat->start == 2200);
    CHECK(stat->rss_pages == 240);
    CHECK(sys::name_in_stat(text) == name);
  }
}

TEST_CASE("process: what is no stat is refused") {
  constexpr std::string_view whole = "1 (a) S 2 3 4 5 6 7 8 9 10 11 14 15 16 17 18 19 20 21 22 23 24 25 26";
  CHECK(sys::parse_stat(whole));
  for (std::size_t length = 0; length < whole.rfind(" 25"); length += length < 7 ? 1 : 3) {
    CAPTURE(length);
    CHECK((!sys::parse_stat(whole.substr(0, length)) || length > whole.find(" 24")));
  }
  for (const std::string_view text :
       {"", ")", "1 (a)", "1 a S 2 3 4", "1 (a) S 2 3 4 5 6 x 8 9 10 11 14 15 16 17 18 19 20 21 22 23"}) {
    CAPTURE(text);
    CHECK_FALSE(sys::parse_stat(text));
  }
  CHECK(sys::name_in_stat("1 )a(").empty());
}

TEST_CASE("process: this one, one that has ended, and none") {
  const auto own = sys::stat_of(getpid());
  REQUIRE(own);
  CHECK(own->start > 0);
  CHECK(own->rss_pages > 0);
  CHECK((own->flags & sys::kernel_thread_flag) == 0);
  CHECK(sys::started(getpid()).value() == own->start);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    (void)prctl(PR_SET_NAME, "a) R (b");
    _exit(0);
  }
  siginfo_t info{};
  REQUIRE(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT) == 0);
  const auto ended = sys::stat_of(child);
  const auto text = sys::read_path("/proc/" + std::to_string(child) + "/stat");
  REQUIRE(waitpid(child, nullptr, 0) == child);
  REQUIRE(ended);
  REQUIRE(text);
  CHECK(ended->state == 'Z');
  CHECK(ended->start >= own->start);
  CHECK(sys::name_in_stat(*text) == "a) R (b");
  const auto none = sys::stat_of(child);
  REQUIRE_FALSE(none);
  CHECK(none.error().code == ESRCH);
}

}  // namespace process_test
