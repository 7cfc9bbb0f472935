// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/container/state.h"

#include "scratch.h"

namespace container_state_test {

namespace {
using namespace cgx;
using namespace cgx::container;

State sample() {
  State s;
  s.id = "one";
  s.bundle = "/b \"quoted\" \\ \n\t\x01 é";
  s.rootfs = "/b/rootfs";
  s.oci_version = "1.2.0";
  s.created = "2024-01-02T03:04:05.000000006Z";
  s.owner = "root";
  s.pid = getpid();
  s.pid_start = start_time_of(getpid()).value_or(0);
  s.ready = true;
  s.group = "a/b";
  s.group_made = true;
  s.bases = {{"memory", "job/1"}, {"cpu,cpuacct", "b"}};
  s.made = {{"memory", "a/b"}, {"memory", "a"}};
  s.tracking_made = {"a/b", "a"};
  s.annotations = {{"k", "v"}, {"", "empty key"}};
  s.config = "{}";
  return s;
}

// Whether the child, a process of its own, can have the lock now.
bool another_gets(const std::string& root, const std::string& id) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(1);  // it waits otherwise
    auto store = Store::open(root);
    _exit(store && store->find(id) ? 0 : 1);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

TEST_CASE("container state: ids") {
  for (const char* id : {"a", "A_b+c.d-9", "...", "a.b", "-", "x:y", "a b", "a/b", "", ".", "..", "é", "a\n"}) {
    const bool good = std::string_view("a|A_b+c.d-9|...|a.b|-").find(id) != std::string_view::npos && *id != '\0' &&
                      std::string_view(id) != "." && std::string_view(id) != "..";
    CHECK_MESSAGE(Store::check_id(id).has_value() == good, id);
  }
  CHECK(Store::check_id(std::string(1024, 'a')));
  CHECK(!Store::check_id(std::string(1025, 'a')));
  CHECK(Store::check_id("a/b").error().what == "invalid container ID format");
}

TEST_CASE("container state: text and back") {
  const State s = sample();
  const auto back = parse_state(state_text(s));
  REQUIRE(back);
  CHECK(back->bundle == s.bundle);
  CHECK(back->pid == s.pid);
  CHECK(back->pid_start == s.pid_start);
  CHECK(back->ready);
  CHECK(back->group_made);
  CHECK(back->bases == s.bases);
  CHECK(back->made == s.made);
  CHECK(back->tracking_made == s.tracking_made);
  CHECK(back->annotations == s.annotations);
  CHECK(state_text(*back) == state_text(s));
}

TEST_CASE("container state: damaged text is EBADMSG") {
  const std::string whole = state_text(sample());
  for (std::size_t n = 0; n + 1 < whole.size(); ++n) {
    const auto cut = parse_state(std::string_view(whole).substr(0, n));
    CHECK_MESSAGE(!cut, n);
    if (!cut) CHECK(cut.error().code == EBADMSG);
  }
  CHECK(!parse_state(whole + "x"));
  CHECK(!parse_state(R"({"id":"a","nosuch":1})"));
  CHECK(!parse_state(R"({"id":"a","pid":-1})"));
}

TEST_CASE("container state: JSON of the specification") {
  State s = sample();
  s.bundle = "/b";
  CHECK(
      state_json(s, "created", 7) ==
      R"({"ociVersion":"1.2.0","id":"one","status":"created","pid":7,"bundle":"/b","annotations":{"k":"v","":"empty key"}})");
  s.annotations.clear();
  CHECK(state_json(s, "stopped", 0) == R"({"ociVersion":"1.2.0","id":"one","status":"stopped","bundle":"/b"})");
}

TEST_CASE("container state: a container comes and goes") {
  const test::ScratchDir dir;
  const std::string root = dir.path() + "/deep/er";
  auto store = Store::open(root);
  REQUIRE(store);
  CHECK(store->find("one").error().what == "container does not exist");
  CHECK(store->ids()->empty());
  {
    auto entry = store->create("one");
    REQUIRE(entry);
    CHECK(entry->read().error().code == ENOENT);
    CHECK(store->create("one").error().what == "container with given ID already exists");
    REQUIRE(entry->write(sample()));
    CHECK(entry->read()->config == "{}");
    // What is damaged is there: ENOENT would tell who deletes that nothing was made.
    REQUIRE(unlinkat(entry->directory(), "config.json", 0) == 0);
    CHECK(entry->read().error().code == EBADMSG);
    REQUIRE(entry->write_text("state.json", state_text(sample()).substr(0, 40)));
    CHECK(entry->read().error().code == EBADMSG);
    REQUIRE(entry->write(sample()));
    CHECK(*status_of(sample(), *entry) == Status::running);
    REQUIRE(entry->make_start_fifo(geteuid()));
    CHECK(entry->has_start_fifo().value_or(false));
    CHECK(*status_of(sample(), *entry) == Status::created);
    CHECK(entry->open_start_fifo(O_PATH));
    REQUIRE(entry->remove_start_fifo());
    CHECK(entry->remove_start_fifo());
    CHECK(!entry->has_start_fifo().value_or(true));
  }
  CHECK(*store->ids() == std::vector<std::string>{"one"});
  auto again = store->find("one");
  REQUIRE(again);
  REQUIRE(again->remove());
  CHECK(store->ids()->empty());
  CHECK(store->create("one"));
}

TEST_CASE("container state: a dead, a reused and an unfinished one") {
  const test::ScratchDir dir;
  auto store = Store::open(dir.path() + "/r");
  REQUIRE(store);
  auto entry = store->create("one");
  REQUIRE(entry);
  State s = sample();
  s.group.clear();
  CHECK(*status_of(s, *entry) == Status::running);
  s.pid_start += 1;  // the number belongs to another process now
  CHECK(*status_of(s, *entry) == Status::stopped);
  s.pid = 0;
  CHECK(*status_of(s, *entry) == Status::stopped);
  s.ready = false;
  CHECK(*status_of(s, *entry) == Status::stopped);  // the lock is this process's own
  const pid_t zombie = fork();
  if (zombie == 0) _exit(0);
  siginfo_t info{};
  REQUIRE(waitid(P_PID, static_cast<id_t>(zombie), &info, WEXITED | WNOWAIT) == 0);
  CHECK(start_time_of(zombie).error().code == ESRCH);
  CHECK(waitpid(zombie, nullptr, 0) == zombie);
}

TEST_CASE("container state: who changes waits, and sees what is gone") {
  const test::ScratchDir dir;
  const std::string root = dir.path() + "/r";
  auto store = Store::open(root);
  REQUIRE(store);
  auto entry = store->create("one");
  REQUIRE(entry);
  REQUIRE(entry->write(sample()));
  CHECK(!another_gets(root, "one"));
  CHECK(store->find("one", Store::How::look));
  entry->unlock();
  CHECK(another_gets(root, "one"));
  // A process that inherited the descriptors does not keep the lock.
  auto mine = store->find("one");
  REQUIRE(mine);
  const pid_t child = fork();
  if (child == 0) {
    (void)pause();
    _exit(0);
  }
  mine->unlock();
  CHECK(another_gets(root, "one"));
  CHECK(kill(child, SIGKILL) == 0);
  CHECK(waitpid(child, nullptr, 0) == child);
}

TEST_CASE("container state: what could not be made whole is not left") {
  const test::ScratchDir root;
  auto store = Store::open(root.path());
  REQUIRE(store);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const int lowest = dup(STDIN_FILENO);
  REQUIRE(lowest >= 0);
  close(lowest);
  int failures = 0;
  bool made = false;
  for (int more = 0; more < 16 && !made; ++more) {
    const rlimit fewer{.rlim_cur = static_cast<rlim_t>(lowest + more), .rlim_max = before.rlim_max};
    REQUIRE(setrlimit(RLIMIT_NOFILE, &fewer) == 0);
    const auto entry = store->create("one");
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    made = entry.has_value();
    if (made) break;
    ++failures;
    CHECK(entry.error().code == EMFILE);
    CHECK(store->ids().value_or(std::vector<std::string>{"unknown"}).empty());
  }
  CHECK(made);
  CHECK(failures >= 3);  // the copy of the store's descriptor, the directory, the lock
}

}  // namespace container_state_test
