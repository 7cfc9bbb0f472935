// SPDX-License-Identifier: Apache-2.0
// Further processes in a running container.
#include <array>
#include <csignal>

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/container/launch.h"
#include "cgx/container/state.h"

#include "container_support.h"
#include "groups.h"
#include "scratch.h"
#include "skip.h"

namespace container_enter_test {

namespace {

using cgx::container::EnterRequest;
using cgx::container::Spec;
using cgx::test::content;
using cgx::test::Ended;
using cgx::test::enter_and_wait;
using cgx::test::field;

// A container that sleeps until the end.
class Running {
 public:
  explicit Running(const Spec& spec, const cgx::Cgroup* group = nullptr) {
    cgx::container::LaunchRequest request = cgx::test::request_for(spec);
    request.group = group;
    auto launched = cgx::container::launch(request);
    REQUIRE_MESSAGE(launched.has_value(), (launched ? "" : launched.error().text()));
    pid = launched->pid;
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, nullptr, 0);
  }
  pid_t pid = -1;
};

EnterRequest request_for(const Spec& spec, pid_t init, const std::string& command) {
  EnterRequest request;
  request.spec = &spec;
  request.id = cgx::test::unique_name();
  request.process = *spec.process;
  request.process.args = {"sh", "-c", command};
  request.init = init;
  request.init_start = cgx::container::start_time_of(init).value_or(0);
  return request;
}

const char* const namespaces =
    "for n in pid net ipc uts mnt cgroup user; do echo $n:$(readlink /proc/self/ns/$n); done";

}  // namespace

TEST_CASE("kernel container enter: a further process is where the first one is, with no more than it was given") {
  CGX_BUSYBOX(root);
  Spec spec = cgx::test::spec_for(root.path(), "sleep 100");
  bool user_namespace = false;
  SUBCASE("plain") {}
  SUBCASE("with a user namespace") {
    user_namespace = true;
    CHECK(chmod(root.dir().path().c_str(), 0755) == 0);
    spec.linux_.namespaces.push_back({cgx::container::NamespaceType::user, {}});
    spec.linux_.uid_mappings = spec.linux_.gid_mappings = {{0, 100000, 65536}};
  }
  const auto hierarchies = cgx::Hierarchies::discover();
  REQUIRE(hierarchies.has_value());
  const cgx::test::TestGroup name(*hierarchies);
  cgx::test::make_group(*hierarchies, name.name());
  const cgx::Cgroup group(*hierarchies, name.name());
  const Running running(spec, &group);
  EnterRequest request =
      request_for(spec, running.pid, std::string(namespaces) + "; cat /proc/self/status; hostname; ls /; echo pid:$$");
  request.group = &group;
  request.process.user = {.uid = 5, .gid = 6, .umask = {}, .additional_gids = {7}};
  request.process.oom_score_adj = 222;
  request.process.rlimits.push_back({7, "RLIMIT_NOFILE", 55, 66});
  std::string seen;
  std::string score;
  request.record = [&](pid_t pid) -> cgx::Result<> {
    seen = content("/proc/" + std::to_string(pid) + "/cgroup");
    score = content("/proc/" + std::to_string(pid) + "/oom_score_adj");
    return {};
  };
  const std::string before = content("/proc/self/cgroup");
  const Ended ended = enter_and_wait(request);
  REQUIRE(ended.error == "");
  for (const char* n : {"pid", "net", "ipc", "uts", "mnt", "cgroup", "user"}) {
    CAPTURE(n);
    std::array<char, 64> text{};
    const std::string path = "/proc/" + std::to_string(running.pid) + "/ns/" + n;
    REQUIRE(readlink(path.c_str(), text.data(), text.size() - 1) > 0);
    CHECK(field(ended.output, n) == text.data());
  }
  CHECK(field(ended.output, "CapInh") == "0000000000000000");
  CHECK(field(ended.output, "CapEff") == "0000000000000000");
  CHECK(field(ended.output, "CapBnd") == "0000000020000420");
  CHECK(field(ended.output, "NoNewPrivs") == "1");
  CHECK(field(ended.output, "Uid") == "5\t5\t5\t5");
  CHECK(field(ended.output, "Groups") == "7");
  CHECK(ended.output.find("\ninside\n") != std::string::npos);
  CHECK(score == "222\n");
  std::size_t in_group = 0;
  for (std::size_t at = 0; (at = seen.find(":/" + name.name() + "\n", at)) != std::string::npos; ++at) ++in_group;
  CHECK(in_group == group.present().size());
  CHECK(content("/proc/self/cgroup") == before);
  CHECK(prctl(PR_GET_DUMPABLE) == 1);
  CHECK(user_namespace == (field(ended.output, "user") != "" && field(ended.output, "user").find(std::to_string([] {
          struct stat st{};
          return stat("/proc/self/ns/user", &st) == 0 ? st.st_ino : 0;
        }())) == std::string::npos));
}

TEST_CASE("kernel container enter: errors are the caller's to read, and leave no process") {
  CGX_BUSYBOX(root);
  const Spec spec = cgx::test::spec_for(root.path(), "sleep 100");
  const Running running(spec);
  const auto error_of = [&](auto&& change) {
    EnterRequest request = request_for(spec, running.pid, "true");
    change(request);
    std::string error = enter_and_wait(request).error;
    // The container's own process is the only child left.
    siginfo_t info{};
    CHECK(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0);
    CHECK(info.si_pid == 0);
    return error;
  };
  CHECK(error_of([](EnterRequest& r) { r.process.args = {"nosuch"}; }) ==
        "exec: \"nosuch\": executable file not found in $PATH");
  CHECK(error_of([](EnterRequest& r) { r.process.cwd = "/nosuch"; }).find("stage cwd") != std::string::npos);
  CHECK(error_of([](EnterRequest& r) { r.process.cwd = "/proc/self/fd/3"; }).find("stage cwd") != std::string::npos);
  CHECK(error_of([](EnterRequest& r) { r.process.apparmor_profile = "nosuch"; }) != "");
  CHECK(error_of([](EnterRequest& r) { r.init = 0x3fffff; }).find("the container's process") != std::string::npos);
  // The number of a process that has ended may be another one's.
  CHECK(error_of([](EnterRequest& r) { r.init = getpid(); }).find("the container's process") != std::string::npos);
}

TEST_CASE("kernel container enter: it gets a terminal of the container, and CPUs as it is told") {
  CGX_BUSYBOX(root);
  const Spec spec = cgx::test::spec_for(root.path(), "sleep 100");
  const Running running(spec);
  EnterRequest request = request_for(spec, running.pid, "tty; grep Cpus_allowed_list /proc/self/status");
  request.process.terminal = true;
  request.process.exec_cpu_affinity = cgx::container::CpuAffinity{.initial = "0", .final = "0"};
  request.foreground_terminal = true;
  const auto launched = cgx::container::enter(request);
  REQUIRE_MESSAGE(launched.has_value(), (launched ? "" : launched.error().text()));
  std::string text;
  std::array<char, 512> buffer;
  for (ssize_t n = 1; n > 0;) {
    n = read(launched->terminal.get(), buffer.data(), buffer.size());
    if (n > 0) text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  (void)waitpid(launched->pid, nullptr, 0);
  CHECK(text == "/dev/pts/0\r\nCpus_allowed_list:\t0\r\n");
  cpu_set_t set;
  REQUIRE(sched_getaffinity(0, sizeof set, &set) == 0);
  CHECK(CPU_COUNT(&set) == sysconf(_SC_NPROCESSORS_ONLN));
}

}  // namespace container_enter_test
