// SPDX-License-Identifier: Apache-2.0
// The state directory, the history in it, and the watch of policy files.
#include <cerrno>
#include <string>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "daemon/files_watch.h"
#include "daemon/history.h"
#include "daemon/memory/held.h"
#include "daemon/memory/node.h"
#include "daemon/state_dir.h"
#include "scratch.h"

namespace state_test {

using namespace cgx::daemon;  // NOLINT(google-build-using-namespace)
using cgx::test::ScratchDir;

TEST_CASE("state: the directory is made, 0755, and only one has it") {
  const ScratchDir dir;
  const std::string path = dir.path() + "/a/b";
  const mode_t mask = umask(077);
  auto state = StateDir::open(path);
  umask(mask);
  REQUIRE(state);
  struct stat status{};
  REQUIRE(stat(path.c_str(), &status) == 0);
  CHECK((status.st_mode & 07777U) == 0755);
  // Who can open the lock can hold it.
  REQUIRE(stat((path + "/cgxd.lock").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777U) == 0600);
  const auto second = StateDir::open(path);
  REQUIRE_FALSE(second);
  CHECK(second.error().code == EBUSY);
  CHECK(second.error().what == path + " is in use by another cgxd, pid " + std::to_string(getpid()));
  REQUIRE(state->write("x", "one\n"));
  REQUIRE(state->write("x", "two\n"));
  CHECK(state->read("x").value_or("") == "two\n");
  CHECK(state->read("y").value_or("?").empty());
  state->remove("x");
  CHECK(state->read("x").value_or("?").empty());
  REQUIRE(mkdir((path + "/z").c_str(), 0755) == 0);
  CHECK(state->read("z").error().code == EISDIR);
}

TEST_CASE("state: a directory that others can write to is refused") {
  const ScratchDir dir;
  dir.dir("open");
  REQUIRE(chmod((dir.path() + "/open").c_str(), 0777) == 0);
  const auto state = StateDir::open(dir.path() + "/open");
  REQUIRE_FALSE(state);
  CHECK(state.error().code == EPERM);
  CHECK(state.error().what.ends_with("can be written by others (mode 777)"));
}

TEST_CASE("history: the last thousand stay, also over a restart, numbered through") {
  const ScratchDir dir;
  auto state = StateDir::open(dir.path() + "/state");
  REQUIRE(state);
  {
    History history;
    REQUIRE(history.keep_in(state->fd()));
    for (int i = 0; i < 1234; ++i) {
      Decision decision;
      decision.group.set("g" + std::to_string(i));
      history.add(decision);
      CHECK(decision.id == static_cast<std::uint64_t>(i) + 1);
    }
    CHECK(history.size() == History::most);
  }
  History history;
  REQUIRE(history.keep_in(state->fd()));
  CHECK(history.size() == History::most);
  const auto last = history.last(2);
  REQUIRE(last.size() == 2);
  CHECK(last[0].id == 1233);
  CHECK(last[1].id == 1234);
  CHECK(last[1].group.view() == "g1233");
  Decision decision;
  history.add(decision);
  CHECK(decision.id == 1235);
  CHECK(history.last(5000).front().id == 236);
}

TEST_CASE("history: a file that something else has written is begun anew") {
  const ScratchDir dir;
  dir.file("history", "not a history");
  History history;
  const cgx::sys::Fd fd(open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  REQUIRE(history.keep_in(fd.get()));
  CHECK(history.size() == 0);
}

namespace {

// Whether a change is told of within a second.
bool told(FilesWatch& watch, int wait = 1000) {
  pollfd waiting{.fd = watch.fd(), .events = POLLIN, .revents = 0};
  bool told = false;
  while (poll(&waiting, 1, told ? 20 : wait) > 0) {
    if (watch.read())
      told = true;
    else if (!told)
      wait = 100;
  }
  return told;
}

}  // namespace

TEST_CASE("files: what editors and people do to a directory of policies is told of") {
  const ScratchDir dir;
  dir.dir("p");
  dir.file("p/a.yaml", "1");
  auto watch = FilesWatch::open({dir.path() + "/p", dir.path() + "/single.yaml"});
  REQUIRE(watch);
  CHECK(watch->lacks().empty());
  CHECK_FALSE(told(*watch, 50));
  dir.file("p/a.yaml", "2");
  CHECK(told(*watch));
  dir.file("p/b.yaml", "new");
  CHECK(told(*watch));
  dir.file("p/.b.yaml.swp", "of no interest");
  CHECK_FALSE(told(*watch, 50));
  dir.file("p/b.tmp", "x");
  REQUIRE(rename((dir.path() + "/p/b.tmp").c_str(), (dir.path() + "/p/b.yaml").c_str()) == 0);
  CHECK(told(*watch));
  REQUIRE(unlink((dir.path() + "/p/b.yaml").c_str()) == 0);
  CHECK(told(*watch));
  dir.file("single.yaml", "it comes to be");
  CHECK(told(*watch));
  dir.file("other", "of no interest");
  CHECK_FALSE(told(*watch, 50));
  // The directory goes, one of that name comes, and it is the new one that counts.
  REQUIRE(rename((dir.path() + "/p").c_str(), (dir.path() + "/old").c_str()) == 0);
  CHECK(told(*watch));
  dir.dir("p");
  CHECK(told(*watch));
  dir.file("p/c.yaml", "x");
  CHECK(told(*watch));
}

TEST_CASE("files: a path whose directories come to be later is watched from then on") {
  const ScratchDir dir;
  auto watch = FilesWatch::open({dir.path() + "/a/b/c"});
  REQUIRE(watch);
  dir.dir("a");
  CHECK(told(*watch));
  dir.dir("a/b");
  CHECK(told(*watch));
  dir.dir("a/b/c");
  CHECK(told(*watch));
  dir.file("a/b/c/x.yaml", "x");
  CHECK(told(*watch));
}

TEST_CASE("state: a note of a frozen group that was cut short spoils none that comes after it") {
  const ScratchDir state;
  auto log = memory::FrozenLog::open(state.path());
  REQUIRE(log.has_value());
  const auto note = [&](const std::string& name) {
    memory::Node node;
    node.name = name;
    node.freezer_inode = 7;
    return log->note(node);
  };
  REQUIRE(note("one") == 0);
  rlimit old{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
  const auto before = signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 24, .rlim_max = old.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const int code = note("two");
  REQUIRE(setrlimit(RLIMIT_FSIZE, &old) == 0);
  signal(SIGXFSZ, before);
  CHECK(code == ENOSPC);
  CHECK(note("three") == 0);
  const auto held = memory::read_held(state.path());
  REQUIRE(held.has_value());
  REQUIRE(held->size() == 2);
  CHECK((*held)[0].group == "one");
  CHECK((*held)[1].group == "three");
}

}  // namespace state_test
