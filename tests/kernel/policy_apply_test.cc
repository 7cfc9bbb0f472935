// SPDX-License-Identifier: Apache-2.0
// apply() on the real kernel: exact, idempotent, all or nothing.
#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/policy/record.h"

#include "policy_support.h"
#include "skip.h"

namespace policy_apply_test {

namespace {

using namespace cgx;
using test::Flags;
using test::group_policy;
using test::Host;
using test::source;

const char* no_root() { return geteuid() != 0 ? "needs root" : nullptr; }

// What every host of the tests has: cpu, memory, pids, cpuset.
Flags some() { return {{"mem", "64M"}, {"pids", "70"}, {"cpu-quota", "50%"}, {"cpus", "0"}, {"cpu-shares", "300"}}; }
Flags other() { return {{"mem", "96M"}, {"pids", "80"}, {"cpu-quota", "80%"}, {"cpus", "0-1"}, {"cpu-burst", "5ms"}}; }

class Sleeper {
 public:
  explicit Sleeper(const Cgroup& group) : pid_(fork()) {
    if (pid_ == 0) {
      pause();
      _exit(0);
    }
    REQUIRE(attach(group, pid_).has_value());
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  ~Sleeper() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

// As an owner may: in one hierarchy.
void make_below(const Host& host, std::string_view below) {
  Transaction owner(host.hierarchies());
  ControllerSet only;
  only.add(Controller::pids);
  REQUIRE(owner.apply({.group = host.name(below), .existing = Existing::refuse, .only = only}).has_value());
  owner.commit();
}

bool holds(const Cgroup& group, pid_t pid) {
  const auto ids = tasks_of(group);
  return ids && std::ranges::find(*ids, pid) != ids->end();
}

}  // namespace

TEST_CASE("policy apply: makes groups, changes limits, removes what is no longer named") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  CHECK(host.plain(host.must({group_policy(host.name("web"), some()),
                              group_policy(host.name("web/api"), {{"mem", "32M"}})})) == "+ T\n+ T/web\n+ T/web/api\n");
  CHECK(host.read("web", "mem") == "67108864");
  CHECK(host.read("web/api", "mem") == "33554432");
  CHECK(policy::managed_groups(host.options().state_dir) ==
        std::vector<std::string>{host.name(), host.name("web"), host.name("web/api")});

  CHECK(host.plain(host.must({group_policy(host.name("web"), {{"mem", "128M"}, {"pids", "70"}})})) ==
        "~ T/web memory.max 64M -> 128M\n~ T/web cpu.max 50% -> max\n~ T/web cpuset.cpus 0 -> " +
            (host.v1(Controller::cpuset) ? host.read("", "cpus") : std::string("none")) +
            "\n~ T/web cpu.shares 300 -> 1024\n- T/web/api\n");
  CHECK(host.read("web", "mem") == "134217728");
  CHECK(host.read("web", "cpu-quota") == "max");
  CHECK_FALSE(host.there("web/api"));

  CHECK(host.plain(host.must(std::vector<policy::GroupPolicy>{})) == "- T\n- T/web\n");
  CHECK_FALSE(host.there(""));
  CHECK(policy::managed_groups(host.options().state_dir).empty());
}

TEST_CASE("policy apply: a group that was there is taken over, and given back as it was") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  Transaction made(host.hierarchies());
  REQUIRE(made.apply({.group = host.name("web"),
                      .limits = {test::limit("mem", "40M"), test::limit("pids", "33"), test::limit("cpu-weight", "77")},
                      .existing = Existing::refuse})
              .has_value());
  made.commit();
  const test::Picture before = test::picture(host.hierarchies(), host.name());
  // In force already: nothing to do, but it is managed from now on.
  CHECK(host.must({group_policy(host.name("web"), {{"mem", "40M"}})}).empty());
  CHECK(policy::managed_groups(host.options().state_dir) == std::vector<std::string>{host.name("web")});
  policy::GroupPolicy owned = group_policy(host.name("web"), some());
  owned.owner = Owner{1234, 1235};
  owned.owner_text = "alice:users";
  const std::string text = host.plain(host.must({owned}));
  CHECK(text.find("~ T/web memory.max 40M -> 64M\n") != std::string::npos);
  CHECK(text.find("~ T/web owner 0:0 -> alice:users\n") != std::string::npos);
  CHECK_FALSE(host.must(std::vector<policy::GroupPolicy>{}).empty());
  CHECK(host.read("web", "mem") == "41943040");
  CHECK(host.read("web", "pids") == "33");
  CHECK(host.read("web", "cpu-weight") == "77");
  // On v2 what the groups above give stays given, since others may use it by now: more files are there than before.
  if (!host.v1(Controller::memory)) return;
  const std::string change = test::difference(before, test::picture(host.hierarchies(), host.name()));
  CHECK_MESSAGE(change.empty(), change);
}

TEST_CASE("policy apply: --keep leaves groups and limits, and they stay managed") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  host.must({group_policy(host.name("web"), some()), group_policy(host.name("old"), some())});
  host.options().keep = true;
  CHECK(host.must({group_policy(host.name("web"), {{"mem", "64M"}})}).empty());
  CHECK(host.there("old"));
  CHECK(host.read("web", "pids") == "70");
  host.options().keep = false;
  CHECK(host.plain(host.must({group_policy(host.name("web"), {{"mem", "64M"}})})).ends_with("- T/old\n"));
  CHECK(host.read("web", "pids") == "max");
}

TEST_CASE("policy apply: with every n-th change failing, everything is as before") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  const std::vector<policy::GroupPolicy> first{group_policy(host.name("web"), some()),
                                               group_policy(host.name("web/api"), {{"mem", "32M"}, {"cpus", "0"}}),
                                               group_policy(host.name("old"), other()),
                                               group_policy(host.name("old/below"), some())};
  policy::GroupPolicy owned = group_policy(host.name("new/deep"), other());
  owned.owner = Owner{1234, 1235};
  const std::vector<policy::GroupPolicy> second{
      group_policy(host.name("web"), other()), group_policy(host.name("web/api"), {{"pids", "12"}}), owned};
  host.must(first);
  // On v1 its way goes up, from a group that is removed. On v2 no process can be where a controller is given on; on a
  // hybrid host it is in the cgroup2 hierarchy, which gives none.
  const std::string_view kind = host.hierarchies().layout();
  const std::string where = kind == "hybrid" ? "old/below" : kind == "v1" ? "old" : "web/api";
  const Sleeper sleeper(Cgroup(host.hierarchies(), host.name(where)));
  const test::Picture before = test::picture(host.hierarchies(), host.name());
  const auto record = policy::read_record(host.options().state_dir);
  REQUIRE(record.has_value());
  unsigned n = 0;
  while (true) {
    ++n;
    CAPTURE(n);
    unsigned count = 0;
    std::string what;
    const sys::FaultFn fault = [&](std::string_view operation, std::string_view name) {
      if (++count != n) return 0;
      what = std::string(operation) + " " + std::string(name);
      return EIO;
    };
    const std::vector<policy::Source> sources{source("/test.yaml", second)};
    sys::inject_faults(&fault);
    const auto done = policy::apply(host.hierarchies(), sources, host.options());
    sys::inject_faults(nullptr);
    CAPTURE(what);
    if (done) {
      CHECK_MESSAGE(what.empty(), "its failure was not told");
      break;
    }
    REQUIRE(n < 500);
    CHECK_MESSAGE(done.error().code == EIO, done.error().text());
    CHECK_MESSAGE(done.error().hint.find("could not") == std::string::npos, done.error().hint);
    const std::string change = test::difference(before, test::picture(host.hierarchies(), host.name()));
    CHECK_MESSAGE(change.empty(), change);
    const auto now = policy::read_record(host.options().state_dir);
    REQUIRE(now.has_value());
    if (what.starts_with("record")) continue;
    CHECK(now->groups.size() == record->groups.size());
    CHECK(now->unfinished.empty());
    CHECK(holds(Cgroup(host.hierarchies(), host.name(where)), sleeper.pid()));
  }
  CHECK(n > 30);
  CHECK_FALSE(host.there("old"));
  CHECK(host.there("new/deep"));
  host.must(second);
}

TEST_CASE("policy apply: a group that goes holds nothing against those that stay") {
  if (const char* why = no_root()) CGX_SKIP(why);
  struct Row {
    Controller controller;
    std::string_view flag;
    std::string parent, child;         // before
    std::string parent_after, beside;  // after: the child goes, and one beside it comes
  };
  const std::vector<Row> rows{
      {Controller::cpuset, "cpus", "0-1", "0", "1", ""},
      {Controller::cpu, "cpu-quota", "200000/100000", "100000/100000", "50000/100000", ""},
      {Controller::cpu, "cpu-rt", "20ms/1s", "20ms/1s", "20ms/1s", "20ms/1s"},
      {Controller::cpu, "cpu-rt", "20ms/1s", "20ms/1s", "5ms/1s", ""},
  };
  if (!Host().v1(Controller::cpuset) && !Host().v1(Controller::cpu)) CGX_SKIP("v2 lets no group hold what others need");
  for (const Row& row : rows) {
    Host host;
    CAPTURE(row.flag);
    if (!host.v1(row.controller)) continue;
    if (row.flag == "cpu-rt" && !Cgroup(host.hierarchies(), "").read(Controller::cpu, "cpu.rt_runtime_us")) continue;
    const auto group = [&](std::string_view below, const std::string& value) {
      return group_policy(host.name(below), {{row.flag, value}});
    };
    const auto exact_of = [&](const std::string& value) {
      return exact(*find_knob(row.flag), test::limit(row.flag, value).value);
    };
    for (const bool foreign : {false, true}) {
      CAPTURE(foreign);
      host.options().lenient = foreign;
      host.must({group("", row.parent), group("c", row.child)});
      // What its owner has made in it stops its removal alone.
      if (foreign) make_below(host, "c/x");
      std::vector<policy::GroupPolicy> after{group("", row.parent_after)};
      if (!row.beside.empty()) after.push_back(group("d", row.beside));
      host.must(after);
      CHECK(host.read("", row.flag) == exact_of(row.parent_after));
      CHECK(host.there("c") == foreign);
    }
    REQUIRE(remove_group(Cgroup(host.hierarchies(), host.name("c/x")), Below::keep).has_value());
    CHECK(host.plain(host.must({group("", row.parent_after)})).find("- T/c\n") != std::string::npos);
  }
}

TEST_CASE("policy apply: lenient, a group that cannot go stays as it is, is told, and goes later") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  policy::GroupPolicy tenant = group_policy(host.name("tenant"), {{"mem", "64M"}, {"device", "deny a"}});
  tenant.owner = Owner{65534, 65534};
  host.must({tenant, group_policy(host.name("b"), {{"pids", "9"}})});
  make_below(host, "tenant/x");
  const std::vector<policy::Source> next{source("/test.yaml", {group_policy(host.name("b"), {{"pids", "11"}})})};
  const auto strict = host.apply(next);
  REQUIRE_FALSE(strict.has_value());
  CHECK(strict.error().code == EBUSY);
  host.options().lenient = true;
  const auto done = host.apply(next);
  REQUIRE(done.has_value());
  REQUIRE(done->stays.size() == 1);
  CHECK(host.plain(done->stays[0].text) ==
        "T/tenant is no longer in /test.yaml, and stays: has groups below it that no policy manages: x");
  CHECK(host.read("b", "pids") == "11");
  CHECK(host.read("tenant", "mem") == "67108864");
  CHECK(host.must(next).empty());
  REQUIRE(remove_group(Cgroup(host.hierarchies(), host.name("tenant/x")), Below::keep).has_value());
  CHECK(host.plain(host.must(next)) == "- T/tenant\n");
}

TEST_CASE("policy apply: what only a new group shows to be missing is left out under best_effort") {
  if (const char* why = no_root()) CGX_SKIP(why);
  Host host;
  policy::GroupPolicy group = group_policy(host.name("web"), {{"memory.no_such_file", "1"}, {"pids", "70"}});
  const auto refused = host.apply({source("/test.yaml", {group})});
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().text().find("memory.no_such_file") != std::string::npos);
  CHECK_FALSE(host.there(""));
  group.best_effort = true;
  const auto done = host.apply({source("/test.yaml", {group})});
  REQUIRE(done.has_value());
  REQUIRE(done->notes.size() == 1);
  CHECK_MESSAGE(done->notes[0].find("web: memory.no_such_file: ") != std::string::npos, done->notes[0]);
  CHECK(host.read("web", "pids") == "70");
}

}  // namespace policy_apply_test
