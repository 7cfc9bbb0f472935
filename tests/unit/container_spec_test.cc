// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>
#include <string>

#include <sched.h>
#include <sys/resource.h>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/container/spec.h"

#include "container_spec_text.h"

namespace container_spec_test {

namespace {
using namespace cgx;
using namespace cgx::container;
using namespace cgx::test;

std::string process_text(std::string_view members) {
  return fmt::format(R"({{"cwd":"/","args":["true"]{}{}}})", members.empty() ? "" : ",", members);
}
Process process_with(std::string_view members) {
  auto process = read_process(process_text(members));
  INFO((process ? "" : process.error().text()));
  REQUIRE(process.has_value());
  return *std::move(process);
}
std::string process_problem(std::string_view members) {
  const auto process = read_process(process_text(members));
  return process ? "none" : process.error().text();
}

}  // namespace

TEST_CASE("spec: the smallest one, and what it leaves out") {
  const Spec spec = spec_with("");
  CHECK(spec.oci_version == "1.0.2");
  CHECK_FALSE(spec.process);
  CHECK(spec.root.path == "/bundle/rootfs");
  CHECK_FALSE(spec.root.readonly);
  CHECK(spec.mounts.empty());
  CHECK(spec.linux_.namespaces.empty());
  CHECK(spec.find(NamespaceType::pid) == nullptr);
  CHECK(spec.annotation("a").empty());
  CHECK(read_spec(R"({"ociVersion":"1.3.0","root":{"path":"/r","readonly":true}})", "/b")->root.path == "/r");
  // What the specification does not have is ignored, and null is as if it was not there.
  CHECK(spec_with(R"("x":[{"y":1}],"vm":{},"process":null,"mounts":null,"hooks":null,"linux":null)").mounts.empty());
}

TEST_CASE("spec: versions") {
  const auto version = [](std::string_view v) {
    return read_spec(fmt::format(R"({{"ociVersion":"{}","root":{{"path":"r"}}}})", v), "/b").has_value();
  };
  for (const char* good : {"1.0.0", "1.0.2-dev", "1.1", "1.1.0-rc.2+build.5", "1.99.7", "1.2.1+dev"})
    CHECK(version(good));
  for (const char* bad : {"", "1", "0.9.0", "2.0.0", "1.", "1..0", "1.0.0.0", "x", "10.0.0", "1.a", "v1.0.0"})
    CHECK_FALSE(version(bad));
  CHECK(problem(R"({"root":{"path":"r"}})") == "ociVersion: is missing");
  CHECK(problem(R"({"ociVersion":1,"root":{"path":"r"}})") == "ociVersion: \"1\" must be a string");
}

TEST_CASE("spec: what is no JSON, and what is too much of it") {
  CHECK(problem("") == "line 1, column 1: is not JSON here");
  CHECK(problem("{\n  \"a\": 1,\n  x\n}").starts_with("line 3, column 3: "));
  CHECK(problem("{} {}").starts_with("line 1, column 4: "));
  CHECK(problem("[]") == "must be an object");
  CHECK(problem(R"({"root":{"path":"a","path":"b"}})") == "root: \"path\" stands twice");
  CHECK(problem(R"({"a":1,"b":2,"a":3})") == "\"a\" stands twice");
  CHECK(problem_with(R"("hostname":"a\u0000b")") == "hostname: \"a?b\" must not contain a NUL");
  CHECK(problem(std::string(65, '[')) == "is nested deeper than 64");
  CHECK(problem("{\"a\":\"\xff\"}").ends_with("is not JSON here"));

  const auto code = [](const std::string& text) { return read_spec(text, "/b").error().code; };
  std::string list = "{\"a\":[1";
  for (int i = 0; i < 10'000; ++i) list += ",1";
  CHECK(code(list + "]}") == E2BIG);
  CHECK(problem(list + "]}") == "a: has more than 10000 elements");
  CHECK(code(std::string((16U << 20U) + 1, ' ')) == E2BIG);
  std::string many = "{\"a\":[";
  for (int i = 0; i < 6'000; ++i) {
    many += i == 0 ? "[" : ",[";
    for (int j = 0; j < 99; ++j) many += "1,";
    many += "1]";
  }
  CHECK(code(many + "]}") == E2BIG);
}

TEST_CASE("process: everything") {
  const Process p = process_with(R"(
    "terminal":true,"consoleSize":{"height":24,"width":80},
    "user":{"uid":1,"gid":2,"umask":18,"additionalGids":[5,6]},
    "env":["A=b","E="],"noNewPrivileges":true,"apparmorProfile":"p","selinuxLabel":"l","oomScoreAdj":-5,
    "capabilities":{"bounding":["CAP_CHOWN","net_admin"],"effective":["CAP_CHOWN","CAP_NEW_ONE"],"ambient":["CAP_NEW_ONE"]},
    "rlimits":[{"type":"RLIMIT_NOFILE","soft":18446744073709551615,"hard":18446744073709551615},{"type":"RLIMIT_CORE","soft":0,"hard":1}],
    "scheduler":{"policy":"SCHED_FIFO","priority":3,"nice":-1,"flags":["SCHED_FLAG_RESET_ON_FORK"]},
    "ioPriority":{"class":"IOPRIO_CLASS_BE","priority":4},
    "execCPUAffinity":{"initial":"0-1","final":"3"})");
  CHECK(p.terminal);
  CHECK(p.console_size == std::pair<std::uint16_t, std::uint16_t>(24, 80));
  CHECK(p.user.uid == 1);
  CHECK(p.user.gid == 2);
  CHECK(p.user.umask == 022);
  CHECK(p.user.additional_gids == std::vector<std::uint32_t>{5, 6});
  CHECK(p.args == std::vector<std::string>{"true"});
  CHECK(p.env == std::vector<std::string>{"A=b", "E="});
  CHECK(p.no_new_privileges);
  CHECK(p.apparmor_profile == "p");
  CHECK(p.selinux_label == "l");
  CHECK(p.oom_score_adj == -5);
  REQUIRE(p.capabilities);
  CHECK(p.capabilities->bounding == (1U << 0U | 1U << 12U));
  CHECK(p.capabilities->effective == 1);
  CHECK(p.capabilities->permitted == 0);
  CHECK(p.capabilities->unknown == std::vector<std::string>{"CAP_NEW_ONE"});
  REQUIRE(p.rlimits.size() == 2);
  CHECK(p.rlimits[0].resource == RLIMIT_NOFILE);
  CHECK(p.rlimits[0].hard == RLIM_INFINITY);
  CHECK(p.rlimits[1].type == "RLIMIT_CORE");
  REQUIRE(p.scheduler);
  CHECK(p.scheduler->policy == SCHED_FIFO);
  CHECK(p.scheduler->priority == 3);
  CHECK(p.scheduler->nice == -1);
  CHECK(p.scheduler->flags == 1);
  REQUIRE(p.io_priority);
  CHECK(p.io_priority->klass == 2);
  CHECK(p.io_priority->priority == 4);
  REQUIRE(p.exec_cpu_affinity);
  CHECK(p.exec_cpu_affinity->initial == "0-1");
  CHECK(p.exec_cpu_affinity->final == "3");
  CHECK_FALSE(process_with("").capabilities);
}

TEST_CASE("process: what is wrong has a place") {
  CHECK(read_process(R"({"cwd":"/"})").error().text() == "args: is missing");
  CHECK(read_process(R"({"cwd":"/","args":[]})").error().text() == "args: must not be empty");
  CHECK(read_process(R"({"args":["a"]})").error().text() == "cwd: is missing");
  CHECK(read_process(R"({"args":["a"],"cwd":"x"})").error().text() == "cwd: \"x\" is not absolute");
  CHECK(problem_with(R"("process":{"args":["a"],"cwd":"x"})") == "process.cwd: \"x\" is not absolute");
  CHECK(problem_with(R"("process":{"args":["a",1],"cwd":"/"})") == "process.args[1]: \"1\" must be a string");
  CHECK(process_problem(R"("env":["A=b","NOSIGN"])") == "env[1]: \"NOSIGN\" is not NAME=VALUE");
  CHECK(process_problem(R"("env":["=x"])") == "env[0]: \"=x\" is not NAME=VALUE");
  CHECK(process_problem(R"("env":[null])") == "env[0]: must not be null");
  CHECK(process_problem(R"("user":{"uid":4294967296})") == "user.uid: \"4294967296\" must be from 0 to 4294967295");
  CHECK(process_problem(R"("user":{"uid":-1})") == "user.uid: \"-1\" must be from 0 to 4294967295");
  CHECK(process_problem(R"("user":{"uid":1.5})") == "user.uid: \"1.5\" must be a whole number");
  CHECK(process_problem(R"("user":{"uid":99999999999999999999})") ==
        "user.uid: \"99999999999999999999\" must be a whole number");
  CHECK(process_problem(R"("user":{"umask":512})") == "user.umask: \"512\" must be from 0 to 511");
  CHECK(process_problem(R"("user":"root")") == "user: \"root\" must be an object");
  CHECK(process_problem(R"("terminal":1)") == "terminal: \"1\" must be true or false");
  CHECK(process_problem(R"("rlimits":[{"type":"RLIMIT_X","soft":1,"hard":1}])") ==
        "rlimits[0].type: \"RLIMIT_X\" is not known");
  CHECK(process_problem(R"("rlimits":[{"type":"RLIMIT_AS","soft":2,"hard":1}])") ==
        "rlimits[0].soft: \"2\" is above the hard limit 1");
  CHECK(process_problem(R"("rlimits":[{"type":"RLIMIT_AS","soft":1}])") == "rlimits[0].hard: is missing");
  CHECK(
      process_problem(R"("rlimits":[{"type":"RLIMIT_AS","soft":1,"hard":1},{"type":"RLIMIT_AS","soft":1,"hard":1}])") ==
      "rlimits[1].type: \"RLIMIT_AS\" stands twice");
  CHECK(process_problem(R"("oomScoreAdj":1001)") == "oomScoreAdj: \"1001\" must be from -1000 to 1000");
  CHECK(process_problem(R"("scheduler":{"policy":"FIFO"})") == "scheduler.policy: \"FIFO\" is not known");
  CHECK(process_problem(R"("scheduler":{"policy":"SCHED_OTHER","priority":1})") ==
        "scheduler.priority: \"1\" is for SCHED_FIFO and SCHED_RR only");
  CHECK(process_problem(R"("scheduler":{"policy":"SCHED_OTHER","period":1})") ==
        "scheduler.period: \"1\" is for SCHED_DEADLINE only");
  CHECK(process_problem(R"("scheduler":{"policy":"SCHED_OTHER","nice":20})") ==
        "scheduler.nice: \"20\" must be from -20 to 19");
  CHECK(process_problem(R"("ioPriority":{"class":"X"})") == "ioPriority.class: \"X\" is not known");
  CHECK(process_problem(R"("ioPriority":{"class":"IOPRIO_CLASS_RT","priority":8})") ==
        "ioPriority.priority: \"8\" must be from 0 to 7");
  CHECK(process_problem(R"("execCPUAffinity":{"initial":"a"})") ==
        "execCPUAffinity.initial: \"a\" is not a list of CPUs");
  CHECK(process_problem(R"("consoleSize":{"height":70000,"width":1})") ==
        "consoleSize.height: \"70000\" must be from 0 to 65535");
  CHECK(process_problem(R"("capabilities":{"bounding":"CAP_CHOWN"})") ==
        "capabilities.bounding: \"CAP_CHOWN\" must be a list");
}

TEST_CASE("spec: mounts") {
  const Spec spec = spec_with(R"("mounts":[
    {"destination":"/proc","type":"proc","source":"proc"},
    {"destination":"data","type":"none","source":"vol","options":["rbind","ro"]},
    {"destination":"/abs","type":"bind","source":"/host","uidMappings":[{"containerID":0,"hostID":1000,"size":10}],
     "gidMappings":[{"containerID":0,"hostID":1000,"size":10}]}])");
  REQUIRE(spec.mounts.size() == 3);
  CHECK(spec.mounts[0].source == "proc");
  CHECK(spec.mounts[1].destination == "data");
  CHECK(spec.mounts[1].type == "bind");
  CHECK(spec.mounts[1].source == "/bundle/vol");
  CHECK(spec.mounts[1].options == std::vector<std::string>{"rbind", "ro"});
  CHECK(spec.mounts[2].source == "/host");
  CHECK(spec.mounts[2].uid_mappings.at(0).host_id == 1000);

  CHECK(problem_with(R"("mounts":[{"type":"proc"}])") == "mounts[0].destination: is missing");
  CHECK(problem_with(R"("mounts":[{"destination":"","type":"proc"}])") == "mounts[0].destination: is empty");
  CHECK(problem_with(R"("mounts":[{"destination":"/a"}])") == "mounts[0].type: is missing");
  CHECK(problem_with(R"("mounts":[{"destination":"/a","type":"bind"}])") == "mounts[0].source: is missing");
  CHECK(
      problem_with(
          R"("mounts":[{"destination":"/a","type":"tmpfs","uidMappings":[{"containerID":0,"hostID":0,"size":1}]}])") ==
      "mounts[0]: has one of uidMappings and gidMappings, but not the other");
}

TEST_CASE("spec: hooks and annotations") {
  const Spec spec = spec_with(R"("annotations":{"z":"1","a":""},"hooks":{
    "prestart":[{"path":"/p","args":["p","x"],"env":["A=b"],"timeout":5}],"createRuntime":[{"path":"/q"}],
    "createContainer":[],"startContainer":[{"path":"/r"}],"poststart":[{"path":"/s"}],"poststop":[{"path":"/t"},{"path":"/u"}]})");
  REQUIRE(spec.annotations.size() == 2);
  CHECK(spec.annotations[0].first == "z");
  CHECK(spec.annotation("z") == "1");
  REQUIRE(spec.hooks.prestart.size() == 1);
  CHECK(spec.hooks.prestart[0].args == std::vector<std::string>{"p", "x"});
  CHECK(spec.hooks.prestart[0].timeout == 5);
  CHECK(spec.hooks.poststop.size() == 2);
  CHECK_FALSE(spec.hooks.create_runtime.at(0).timeout);
  CHECK(problem_with(R"("hooks":{"poststop":[{"path":"x"}]})") == "hooks.poststop[0].path: \"x\" is not absolute");
  CHECK(problem_with(R"("hooks":{"poststop":[{"path":"/x","timeout":0}]})")
            .starts_with("hooks.poststop[0].timeout: \"0\" must be from 1"));
  CHECK(problem_with(R"("annotations":{"":"x"})").ends_with("has an empty key"));
  CHECK(problem_with(R"("annotations":{"a":1})") == "annotations.a: \"1\" must be a string");
}

TEST_CASE("spec: seccomp") {
  const Spec spec = spec_with(R"("linux":{"seccomp":{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,
    "architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X32"],"flags":["SECCOMP_FILTER_FLAG_LOG"],"listenerPath":"/l","listenerMetadata":"m",
    "syscalls":[{"names":["read","write"],"action":"SCMP_ACT_ALLOW"},
      {"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}]}]}})");
  const Seccomp& s = *spec.linux_.seccomp;
  CHECK(s.default_errno_ret == 38);
  CHECK(s.architectures.size() == 2);
  CHECK(s.listener_metadata == "m");
  CHECK(s.syscalls.at(0).names == std::vector<std::string>{"read", "write"});
  CHECK(s.syscalls.at(1).args.at(0).value == 0x7e020000);
  const auto wrong = [](std::string_view members) {
    return linux_problem(fmt::format(R"("seccomp":{{"defaultAction":"SCMP_ACT_ALLOW",{}}})", members));
  };
  CHECK(linux_problem(R"("seccomp":{})") == "linux.seccomp.defaultAction: is missing");
  CHECK(linux_problem(R"("seccomp":{"defaultAction":"X"})") == "linux.seccomp.defaultAction: \"X\" is not known");
  CHECK(wrong(R"("architectures":["X"])") == "linux.seccomp.architectures[0]: \"X\" is not known");
  CHECK(wrong(R"("flags":["X"])") == "linux.seccomp.flags[0]: \"X\" is not known");
  CHECK(wrong(R"("defaultErrnoRet":1)") ==
        "linux.seccomp.defaultErrnoRet: \"1\" is given to an action that has no errno");
  CHECK(wrong(R"("syscalls":[{"names":[],"action":"SCMP_ACT_TRAP"}])") ==
        "linux.seccomp.syscalls[0].names: must not be empty");
  CHECK(
      wrong(
          R"("syscalls":[{"names":["a"],"action":"SCMP_ACT_TRAP","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}])") ==
      "linux.seccomp.syscalls[0].args[0].index: \"6\" must be from 0 to 5");
  CHECK(wrong(R"("syscalls":[{"names":["a"],"action":"SCMP_ACT_TRAP","args":[{"index":1,"value":0,"op":"EQ"}]}])") ==
        "linux.seccomp.syscalls[0].args[0].op: \"EQ\" is not known");
  CHECK(wrong(R"("listenerMetadata":"x")") == "linux.seccomp.listenerMetadata: \"x\" is given without a listenerPath");
}

TEST_CASE("spec: what is written as a start can be read") {
  const std::string text = default_spec_json(false, true, 0, 0);
  CHECK(text.starts_with("{\n\t\"ociVersion\": \"1.3.0\",\n\t\"process\": {\n\t\t\"terminal\": true,\n"));
  CHECK(text.ends_with("\n\t}\n}\n"));
  const auto spec = read_spec(text, "/b");
  INFO((spec ? "" : spec.error().text()));
  REQUIRE(spec.has_value());
  REQUIRE(spec->process);
  CHECK(spec->process->terminal);
  CHECK(spec->process->args == std::vector<std::string>{"sh"});
  CHECK(spec->process->capabilities->bounding == (1ULL << 29U | 1ULL << 5U | 1ULL << 10U));
  CHECK(spec->process->rlimits.at(0).hard == 1024);
  CHECK(spec->root.readonly);
  CHECK(spec->mounts.size() == 7);
  CHECK(spec->linux_.namespaces.size() == 6);
  CHECK(spec->find(NamespaceType::user) == nullptr);
  CHECK(spec->linux_.resources->devices.size() == 1);
  CHECK(spec->linux_.masked_paths.size() == 10);

  const auto rootless = read_spec(default_spec_json(true, true, 1000, 1001), "/b");
  REQUIRE(rootless.has_value());
  CHECK(rootless->find(NamespaceType::user) != nullptr);
  CHECK(rootless->find(NamespaceType::network) == nullptr);
  CHECK(rootless->find(NamespaceType::cgroup) != nullptr);
  CHECK(read_spec(default_spec_json(false, false, 0, 0), "/b")->find(NamespaceType::cgroup) == nullptr);
  CHECK(rootless->linux_.uid_mappings.at(0).host_id == 1000);
  CHECK(rootless->linux_.gid_mappings.at(0).host_id == 1001);
  CHECK_FALSE(rootless->linux_.resources);
  CHECK(std::ranges::find(rootless->mounts.at(2).options, "gid=5") == rootless->mounts.at(2).options.end());
  CHECK(rootless->mounts.at(5).type == "bind");
}

TEST_CASE("spec: words") {
  CHECK(capability_number("CAP_SYS_ADMIN") == 21);
  CHECK(capability_number("sys_admin") == 21);
  CHECK(capability_number("cap_Chown") == 0);
  CHECK(capability_number("CAP_") == -1);
  CHECK(capability_number("") == -1);
  CHECK(capability_number("ALL") == -1);
  CHECK(capability_name(40) == "CAP_CHECKPOINT_RESTORE");
  CHECK(capability_name(41).empty());
  CHECK(capability_name(-1).empty());
  for (int i = 0; i <= 40; ++i) CHECK(capability_number(capability_name(i)) == i);
  CHECK(namespace_flag(NamespaceType::mount) == CLONE_NEWNS);
  CHECK(namespace_file(NamespaceType::mount) == "mnt");
  CHECK(namespace_flag(NamespaceType::time) == 0x80);
  CHECK(namespace_file(NamespaceType::network) == "net");
}

}  // namespace container_spec_test
