// SPDX-License-Identifier: Apache-2.0
// Rules on real processes. The machine is shared: every rule here asks for the name or the path of a program that the
// test has made for itself.
#include <algorithm>
#include <array>

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/cgroupfs/place.h"
#include "cgx/cgroupfs/tasks.h"
#include "cgx/sys/text.h"

#include "daemon/rules/sorter.h"
#include "groups.h"
#include "rules_support.h"
#include "skip.h"

namespace rules_test {

using namespace cgx;
using cgx::test::Program;
using cgx::test::soon;
using cgx::test::Started;

TEST_CASE("rules sort what runs and what starts") {
  CGX_SORTED(bench);
  const std::string& name = bench.group.name();
  Started before({bench.program.path(), "wait"});
  const pid_t first = before.pid();
  REQUIRE(first > 0);
  CHECK_FALSE(bench.in(first, name));
  REQUIRE(bench.rules({{.command = bench.program.comm(), .target = name}}));
  CHECK(bench.in(first, name));
  Started after({bench.program.path(), "wait"});
  const pid_t second = after.pid();
  CHECK(soon([&] { return bench.in(second, name); }));
  // By path, and not again what is there already.
  CHECK(soon([&] { return bench.sorter->stats().moved == 2; }));
  const auto moved = bench.sorter->stats().moved;
  REQUIRE(bench.rules({{.exe = bench.scratch.path() + "/*", .target = name}}));
  CHECK(bench.sorter->stats().moved == moved);
  CHECK(bench.sorter->stats().failed == 0);
  CHECK(bench.failures().empty());
}

TEST_CASE("rules follow a process that executes another program") {
  CGX_SORTED(bench);
  const Program other(bench.scratch);
  const std::string a = bench.group.name() + "/a";
  const std::string b = bench.group.name() + "/b";
  REQUIRE(bench.rules({{.command = bench.program.comm(), .target = a}, {.exe = other.path(), .target = b}}));
  Started process({bench.program.path(), "then", "exec", other.path(), "wait"});
  const pid_t pid = process.pid();
  CHECK(soon([&] { return bench.in(pid, a); }));
  process.go();
  CHECK(process.pid() == pid);
  CHECK(soon([&] { return bench.in(pid, b); }));
}

TEST_CASE("rules follow a process that changes its user or group") {
  CGX_SORTED(bench);
  const std::string& name = bench.group.name();
  const std::string comm = bench.program.comm();
  // Numbers without a name: the number is what the template gives.
  REQUIRE(bench.rules({{.user = "61233", .command = comm, .target = name + "/user-%u"},
                       {.group = "61234", .command = comm, .target = name + "/group-%g-%U"}}));
  Started user({bench.program.path(), "then", "uid", "61233", "wait"});
  const pid_t first = user.pid();
  CHECK_FALSE(bench.in(first, name + "/user-61233"));
  user.go();
  CHECK(soon([&] { return bench.in(first, name + "/user-61233"); }));
  Started group({bench.program.path(), "then", "gid", "61234", "wait"});
  const pid_t second = group.pid();
  group.go();
  CHECK(soon([&] { return bench.in(second, name + "/group-61234-0"); }));
  CHECK(bench.failures().empty());
}

TEST_CASE("rules sort children that were forked before their parent was moved") {
  CGX_SORTED(bench);
  const std::string& name = bench.group.name();
  REQUIRE(bench.rules({{.command = bench.program.comm(), .target = name}}));
  // Each one forks twice as soon as it runs; what is left of it has executed nothing, and its parents are gone.
  Started storm({bench.program.path(), "storm", "150", "10", bench.program.path(), "orphan", "settle", name, "25"});
  CHECK(storm.line() == "0");
  CHECK(storm.end() == 0);
  // The orphans tell nobody how they ended: none may be left elsewhere, where they would stay for a while. Those that
  // have ended and were not waited for yet by whoever adopted them do not count.
  const std::string alive = fmt::format("({}) ", bench.program.comm());
  CHECK(soon([&] {
    const auto pids = sys::list_dir(sys::open_path("/proc", O_RDONLY)->get(), ".", sys::Entries::directories);
    return pids && std::ranges::none_of(*pids, [&](const std::string& pid) {
             const std::string stat = test::content("/proc/" + pid + "/stat");
             const std::size_t at = stat.find(alive);
             return at != std::string::npos && stat.compare(at + alive.size(), 1, "Z") != 0;
           });
  }));
}

TEST_CASE("rules are replaced, and end") {
  CGX_SORTED(bench);
  const std::string a = bench.group.name() + "/a";
  const std::string b = bench.group.name() + "/b";
  Started process({bench.program.path(), "wait"});
  const pid_t pid = process.pid();
  REQUIRE(bench.rules({{.command = bench.program.comm(), .target = a}}));
  CHECK(bench.in(pid, a));
  REQUIRE(bench.rules({{.command = bench.program.comm(), .cgroup = a, .target = b}}));
  CHECK(bench.in(pid, b));
  // A rule without a target leaves a process where it is, and the later ones do not count for it.
  REQUIRE(bench.rules({{.command = bench.program.comm()}, {.command = bench.program.comm(), .target = a}}));
  CHECK(bench.in(pid, b));
  bench.sorter->set_rules({});
  Started other({bench.program.path(), "stay", a, "0.3"});
  CHECK(other.end() == 0);
}

TEST_CASE("rules never touch children of the daemon, init and threads of the kernel") {
  CGX_SORTED(bench);
  const std::string& name = bench.group.name();
  std::string path = bench.program.path();
  std::array<std::string, 4> words{path, "stay", name, "1"};
  std::array<char*, 5> argv{words[0].data(), words[1].data(), words[2].data(), words[3].data(), nullptr};
  // `*` of a command is safe here only because the rule asks for the path as well.
  REQUIRE(bench.rules({{.user = "root", .command = "*", .exe = bench.scratch.path() + "/*", .target = name}}));
  pid_t child = -1;
  REQUIRE(posix_spawn(&child, path.c_str(), nullptr, nullptr, argv.data(), environ) == 0);
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("a group of a rule that is removed is made anew") {
  CGX_SORTED(bench);
  const std::string name = bench.group.name() + "/batch";
  REQUIRE(bench.rules({{.command = bench.program.comm(), .target = name}}));
  for (int round = 0; round < 3; ++round) {
    Started process({bench.program.path(), "settle", name, "20"});
    CHECK(process.end() == 0);
    bench.group.remove();
    CHECK(Cgroup(bench.hierarchies, name).present().empty());
  }
  CHECK(bench.failures().empty());
}

TEST_CASE("a move that one hierarchy refuses is taken back in all, and told") {
  CGX_SORTED(bench);
  const Hierarchy* cpuset = bench.hierarchies.of(Controller::cpuset);
  const Hierarchy* pids = bench.hierarchies.of(Controller::pids);
  if (cpuset == nullptr || cpuset->version() != Version::v1 || pids == nullptr || pids == cpuset)
    CGX_SKIP("needs v1 hierarchies of cpuset and pids");
  const std::string& name = bench.group.name();
  // Made without cgx, so that the group has no CPUs: it takes no process.
  REQUIRE(mkdir(cpuset->path(name).c_str(), 0755) == 0);
  REQUIRE(mkdir(pids->path(name).c_str(), 0755) == 0);
  Started process({bench.program.path(), "wait"});
  const pid_t pid = process.pid();
  const std::string before = test::content("/proc/" + std::to_string(pid) + "/cgroup");
  REQUIRE(bench.rules({{.command = bench.program.comm(), .target = name}}));
  CHECK(test::content("/proc/" + std::to_string(pid) + "/cgroup") == before);
  CHECK(bench.sorter->stats().failed > 0);
  const std::string failures = bench.failures();
  CAPTURE(failures);
  CHECK(failures.find(bench.program.comm()) != std::string::npos);
  CHECK(failures.find(name) != std::string::npos);
  CHECK(failures.find("cpuset") != std::string::npos);
}

}  // namespace rules_test
