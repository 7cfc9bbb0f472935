// SPDX-License-Identifier: Apache-2.0
// Groups as slices, against a real systemd: needs one as PID 1, which tests/vm has.
#include "daemon/bus/systemd.h"

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "bus_support.h"
#include "groups.h"
#include "skip.h"

namespace systemd_test {
using namespace cgx;
using namespace cgx::test;

#define NEED_SYSTEMD() \
  if (!systemd_is_manager() || geteuid() != 0) CGX_SKIP("needs root, and systemd as PID 1")

namespace {

Hierarchies host() { return *Hierarchies::discover(); }

// A name for a group whose slice goes at the end.
class SliceName {
 public:
  SliceName() : name_(unique_name()) {}
  SliceName(const SliceName&) = delete;
  SliceName& operator=(const SliceName&) = delete;
  ~SliceName() { (void)shell(fmt::format("systemctl stop '{}'", unit())); }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] std::string unit() const { return slice_of(name_)->unit; }
  [[nodiscard]] std::string group() const { return slice_of(name_)->group; }

 private:
  std::string name_;
};

std::string property(const std::string& unit, const char* name) {
  std::string text = shell(fmt::format("systemctl show -P {} '{}'", name, unit)).output;
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

std::string in_force(const Hierarchies& hierarchies, const std::string& group, std::string_view flag) {
  const Knob* knob = find_knob(flag);
  const auto value = read_knob(Cgroup(hierarchies, group), *knob);
  return value && *value ? exact(*knob, **value) : "";
}

// A process that waits for its end.
class Waiting {
 public:
  Waiting() : pid_(fork()) {
    if (pid_ == 0)
      for (;;) pause();
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;
  ~Waiting() { end(); }
  void end() {
    if (pid_ <= 0) return;
    (void)kill(pid_, SIGKILL);
    (void)waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

bool has(const Ran& ran, std::string_view text) { return ran.output.find(text) != std::string::npos; }

}  // namespace

TEST_CASE("systemd: find_manager says who makes the groups, and why") {
  CHECK(daemon::find_manager("auto")->systemd == systemd_is_manager());
  CHECK_FALSE(daemon::find_manager("cgroupfs")->systemd);
  CHECK_FALSE(daemon::find_manager("nonsense"));
  if (!systemd_is_manager()) CHECK(daemon::find_manager("systemd").error().what == "systemd is not PID 1 here");
}

TEST_CASE("systemd: a group is a slice, its limits are properties, and they stay over a daemon-reload") {
  NEED_SYSTEMD();
  const Hierarchies hierarchies = host();
  const SliceName g;
  auto systemd = *daemon::SystemdManager::connect();
  std::vector<Limit> limits{
      limit("mem", "64M"), limit("pids", "50"), limit("cpu-quota", "50%"), limit("cpu-shares", "512")};
  const auto put = systemd->put(hierarchies, g.name(), limits, "a test");
  CHECK_MESSAGE(put, (put ? "" : put.error().text()));
  CHECK(property(g.unit(), "ActiveState") == "active");
  CHECK(property(g.unit(), "Description") == "a test");
  CHECK(property(g.unit(), "MemoryMax") == "67108864");
  CHECK(property(g.unit(), "TasksMax") == "50");
  CHECK(in_force(hierarchies, g.group(), "mem") == "67108864");
  CHECK(in_force(hierarchies, g.group(), "pids") == "50");
  const bool v2 = hierarchies.of(Controller::cpu)->version() == Version::v2;
  CHECK(in_force(hierarchies, g.group(), v2 ? "cpu-weight" : "cpu-shares") == (v2 ? "59" : "512"));
  CHECK(property(g.unit(), "CPUQuotaPerSecUSec") == "500ms");
  CHECK(shell("systemctl daemon-reload").status == 0);
  CHECK(in_force(hierarchies, g.group(), "mem") == "67108864");
  // What is not named any more is taken back.
  limits = {limit("pids", "60")};
  CHECK(systemd->put(hierarchies, g.name(), limits, ""));
  CHECK(property(g.unit(), "MemoryMax") == "infinity");
  CHECK(property(g.unit(), "CPUQuotaPerSecUSec") == "infinity");
  CHECK(in_force(hierarchies, g.group(), "mem") == "max");
  CHECK(in_force(hierarchies, g.group(), "pids") == "60");
  CHECK(systemd->remove(hierarchies, g.name()));
  CHECK(property(g.unit(), "ActiveState") == "inactive");
  CHECK(Cgroup(hierarchies, g.group()).present().empty());
  CHECK(systemd->remove(hierarchies, g.name()));  // once more is nothing
}

TEST_CASE("systemd: what it has no property for is written to the slice, and stays") {
  NEED_SYSTEMD();
  const Hierarchies hierarchies = host();
  const SliceName g;
  auto systemd = *daemon::SystemdManager::connect();
  const bool v2 = hierarchies.of(Controller::cpu)->version() == Version::v2;
  std::vector<Limit> limits{
      limit("mem", "64M"), limit("cpu-quota", "50%"), v2 ? limit("cpu-burst", "10ms") : limit("cpus", "0")};
  const auto put = systemd->put(hierarchies, g.name(), limits, "");
  CHECK_MESSAGE(put, (put ? "" : put.error().text()));
  CHECK(shell("systemctl daemon-reload").status == 0);
  CHECK(systemd->put(hierarchies, g.name(), limits, ""));
  if (v2)
    CHECK(in_force(hierarchies, g.group(), "cpu-burst") == "10ms");
  else
    CHECK(in_force(hierarchies, g.group(), "cpus") == "0");
  // A limit that systemd sets is not written behind its back, the others are.
  Transaction transaction(hierarchies);
  const auto refused = transaction.apply({.group = g.group(), .limits = {limit("mem", "32M")}});
  CHECK(refused.error().code == EPERM);
  CHECK(refused.error().hint.find("systemctl set-property") != std::string::npos);
  CHECK(transaction.apply({.group = g.group(), .limits = {v2 ? limit("cpu-burst", "5ms") : limit("cpus", "0-1")}}));
  transaction.commit();
  CHECK(systemd->remove(hierarchies, g.name()));
  CHECK(Cgroup(hierarchies, g.group()).present().empty());
}

TEST_CASE("systemd: processes are moved into a scope of the slice, which is not stopped under them") {
  NEED_SYSTEMD();
  const Hierarchies hierarchies = host();
  const SliceName g;
  auto systemd = *daemon::SystemdManager::connect();
  const std::string child = g.name() + "/api";
  const std::string child_group = slice_of(child)->group;
  CHECK(systemd->put(hierarchies, g.name(), std::vector{limit("mem", "64M")}, ""));
  CHECK(systemd->put(hierarchies, child, std::vector{limit("pids", "20")}, ""));
  CHECK(in_force(hierarchies, child_group, "pids") == "20");
  Waiting first;
  Waiting second;
  for (const pid_t pid : {first.pid(), second.pid()}) {
    const auto moved = systemd->attach(child, std::span(&pid, 1));
    CHECK_MESSAGE(moved, (moved ? "" : moved.error().text()));
    CHECK(content(fmt::format("/proc/{}/cgroup", pid)).find("/" + child_group + "/cgx-") != std::string::npos);
  }
  const auto busy = systemd->remove(hierarchies, child);
  REQUIRE_FALSE(busy);
  CHECK(busy.error().code == EBUSY);
  first.end();
  second.end();
  CHECK(wait_for([&] { return systemd->remove(hierarchies, child).has_value(); }));
  CHECK(systemd->remove(hierarchies, g.name()));
}

TEST_CASE("systemd: units of the administrator are left alone") {
  NEED_SYSTEMD();
  const Hierarchies hierarchies = host();
  const SliceName g;
  const std::string file = "/etc/systemd/system/" + g.unit();
  std::ofstream(file) << "[Slice]\nMemoryMax=1G\n";
  CHECK(shell("systemctl daemon-reload").status == 0);
  auto systemd = *daemon::SystemdManager::connect();
  const auto put = systemd->put(hierarchies, g.name(), std::vector{limit("mem", "64M")}, "");
  REQUIRE_FALSE(put);
  CHECK(put.error().code == EEXIST);
  CHECK(property(g.unit(), "MemoryMax") == "1073741824");
  std::filesystem::remove(file);
  (void)shell("systemctl daemon-reload");
}

TEST_CASE("systemd: cgx exec makes a scope in the group's slice") {
  NEED_SYSTEMD();
  const char* cgx = std::getenv("CGX");
  if (cgx == nullptr) CGX_SKIP("needs the program cgx, by its path in $CGX");
  const Hierarchies hierarchies = host();
  const SliceName g;
  auto systemd = *daemon::SystemdManager::connect();
  const bool v2 = hierarchies.of(Controller::cpuset)->version() == Version::v2;
  std::vector<Limit> limits{limit("mem", "64M")};
  if (!v2) limits.push_back(limit("cpus", "0"));
  CHECK(systemd->put(hierarchies, g.name(), limits, ""));
  Ran ran = shell(fmt::format(
      "{} exec {} --pids 77 -- sh -c 'cat /proc/self/cgroup; systemctl show -P TasksMax cgx-exec-$$.scope; exit 7'",
      cgx,
      g.name()));
  CHECK(ran.status == 7);
  CHECK(has(ran, "/" + g.group() + "/cgx-exec-"));
  CHECK(has(ran, "\n77\n"));
  if (!v2) CHECK(has(ran, fmt::format("cpuset:/{}\n", g.group())));
  ran = shell(fmt::format("{} exec '{}' -- cat /proc/self/cgroup", cgx, g.group()));
  CHECK(ran.status == 0);
  CHECK(has(ran, "/" + g.group() + "/cgx-exec-"));
  CHECK(shell(fmt::format("{} exec {} -- /nonexistent", cgx, g.name())).status == 127);
  CHECK(shell(fmt::format("{} exec {} -- /etc/passwd", cgx, g.name())).status == 126);
  CHECK(shell(fmt::format("{} exec {} --report -- true", cgx, g.name())).status == 125);
  CHECK(has(shell(fmt::format("{} exec {} --dry-run -- true", cgx, g.name())), "systemd: a scope in " + g.unit()));
  if (v2) {
    ran =
        shell(fmt::format("{} exec {} --cpu-quota 50% --cpu-burst 10ms -- sh -c 'cat "
                          "\"/sys/fs/cgroup/{}/cgx-exec-$$.scope/cpu.max.burst\"'",
                          cgx,
                          g.name(),
                          g.group()));
    CHECK(ran.output == "10000\n");
  } else {
    CHECK(has(shell(fmt::format("{} exec {} --cpus 0 -- true", cgx, g.name())), "cannot be set for one command here"));
  }
  // A group of cgx's own beside the units is used as ever.
  const TestGroup own(hierarchies);
  CHECK(shell(fmt::format("{} create {}", cgx, own.name())).status == 0);
  CHECK(has(shell(fmt::format("{} exec {} -- cat /proc/self/cgroup", cgx, own.name())), ":/" + own.name() + "\n"));
}

}  // namespace systemd_test
