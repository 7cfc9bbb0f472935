// SPDX-License-Identifier: Apache-2.0
// Starting containers on the real kernel: who the program is, what it sees, and what is left where a stage fails.
#include <array>
#include <csignal>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/container/launch.h"

#include "container_support.h"
#include "scratch.h"
#include "skip.h"

namespace container_launch_test {

namespace {

using cgx::container::LaunchRequest;
using cgx::container::NamespaceType;
using cgx::container::Spec;
using cgx::test::Ended;
using cgx::test::field;
using cgx::test::run;
using cgx::test::spec_for;

void without(Spec& spec, NamespaceType type) {
  std::erase_if(spec.linux_.namespaces, [&](const auto& ns) { return ns.type == type; });
}

std::string link_of(const std::string& path) {
  std::array<char, 256> text{};
  const ssize_t n = readlink(path.c_str(), text.data(), text.size());
  return n < 0 ? "" : std::string(text.data(), static_cast<std::size_t>(n));
}

// A process that sleeps in new namespaces, for others to join.
class Holder {
 public:
  explicit Holder(int flags) {
    std::array<int, 2> ends{};
    REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
    pid = fork();
    if (pid == 0) {
      const char byte = unshare(flags) == 0 ? 'y' : 'n';
      // The new pid namespace exists only with a first process in it.
      if ((flags & CLONE_NEWPID) != 0 && fork() == 0)
        while (true) pause();
      (void)!write(ends[1], &byte, 1);
      while (true) pause();
    }
    (void)close(ends[1]);
    char byte = 0;
    ready = read(ends[0], &byte, 1) == 1 && byte == 'y';
    (void)close(ends[0]);
  }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  ~Holder() {
    const std::string children =
        cgx::test::content("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children");
    if (const int child = std::atoi(children.c_str()); child > 1) (void)kill(child, SIGKILL);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, nullptr, 0);
  }
  [[nodiscard]] std::string ns(const char* file) const { return "/proc/" + std::to_string(pid) + "/ns/" + file; }
  pid_t pid = -1;
  bool ready = false;
};

}  // namespace

TEST_CASE("kernel container launch: the program is root of nothing but what it was given") {
  CGX_BUSYBOX(root);
  const Ended ended = run(spec_for(root.path(), "cat /proc/self/status; umask; hostname; pwd; env; echo pid:$$"));
  REQUIRE(ended.error == "");
  CHECK(ended.status == 0);
  const std::string& text = ended.output;
  CHECK(field(text, "CapInh") == "0000000000000000");
  CHECK(field(text, "CapPrm") == "0000000020000420");
  CHECK(field(text, "CapEff") == "0000000020000420");
  CHECK(field(text, "CapBnd") == "0000000020000420");
  CHECK(field(text, "CapAmb") == "0000000000000000");
  CHECK(field(text, "NoNewPrivs") == "1");
  CHECK(field(text, "SigBlk") == "0000000000000000");
  CHECK(field(text, "SigIgn") == "0000000000000000");
  CHECK(field(text, "Groups") == "");
  CHECK(field(text, "Uid") == "0\t0\t0\t0");
  CHECK(field(text, "pid") == "1");
  CHECK(text.find("\n0022\ninside\n/\n") != std::string::npos);
  CHECK(text.find("\nHOME=/\n") != std::string::npos);
  CHECK_FALSE(cgx::test::has_children());
}

TEST_CASE(
    "kernel container launch: another user has its groups, its home, its umask and no capability but ambient ones") {
  CGX_BUSYBOX(root);
  root.dir().file("root/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nme:x:1000:1000::/home/me:/bin/sh\n");
  Spec spec = spec_for(root.path(), "cat /proc/self/status; umask; echo home:$HOME; pwd");
  cgx::container::Process& p = *spec.process;
  p.user = {.uid = 1000, .gid = 1001, .umask = 0077, .additional_gids = {5, 7}};
  p.cwd = "/tmp/made/by/launch";
  SUBCASE("none") {
    const Ended ended = run(spec);
    REQUIRE(ended.error == "");
    CHECK(field(ended.output, "Uid") == "1000\t1000\t1000\t1000");
    CHECK(field(ended.output, "Gid") == "1001\t1001\t1001\t1001");
    CHECK(field(ended.output, "Groups") == "5 7");
    CHECK(field(ended.output, "CapEff") == "0000000000000000");
    CHECK(field(ended.output, "CapBnd") == "0000000020000420");
    CHECK(field(ended.output, "home") == "/home/me");
    CHECK(ended.output.find("0077\n") != std::string::npos);
    CHECK(ended.output.find("/tmp/made/by/launch\n") != std::string::npos);
  }
  SUBCASE("ambient") {
    p.capabilities->inheritable = p.capabilities->ambient = 1U << 10U;
    const Ended ended = run(spec);
    REQUIRE(ended.error == "");
    CHECK(field(ended.output, "CapEff") == "0000000000000400");
    CHECK(field(ended.output, "CapAmb") == "0000000000000400");
  }
}

TEST_CASE("kernel container launch: a capability that cannot be granted is left out and named") {
  CGX_BUSYBOX(root);
  const std::string own = field(cgx::test::content("/proc/self/status"), "CapPrm");
  constexpr std::uint64_t resource = 1U << 24U;
  if ((std::stoull(own, nullptr, 16) & resource) != 0) CGX_SKIP("this root has every capability");
  Spec spec = spec_for(root.path(), "cat /proc/self/status");
  auto& caps = *spec.process->capabilities;
  caps.bounding |= resource;
  caps.permitted |= resource;
  caps.effective |= resource;
  const Ended ended = run(spec);
  REQUIRE(ended.error == "");
  CHECK(field(ended.output, "CapEff") == "0000000020000420");
  REQUIRE(ended.warnings.size() == 1);
  CHECK(ended.warnings[0].find("CAP_SYS_RESOURCE") != std::string::npos);
}

TEST_CASE("kernel container launch: every namespace is new, and the loopback interface is up") {
  CGX_BUSYBOX(root);
  Spec spec = spec_for(
      root.path(),
      "for n in pid net ipc uts mnt cgroup time user; do echo $n:$(readlink /proc/self/ns/$n); done; ip addr show lo");
  spec.linux_.namespaces.push_back({NamespaceType::time, {}});
  const Ended ended = run(spec);
  REQUIRE(ended.error == "");
  for (const char* name : {"pid", "net", "ipc", "uts", "mnt", "cgroup", "time"}) {
    CAPTURE(name);
    CHECK(field(ended.output, name) != link_of(std::string("/proc/self/ns/") + name));
    CHECK(field(ended.output, name).find('[') != std::string::npos);
  }
  CHECK(field(ended.output, "user") == link_of("/proc/self/ns/user"));
  CHECK(ended.output.find("127.0.0.1/8") != std::string::npos);
  CHECK(ended.output.find(",UP,") != std::string::npos);
}

TEST_CASE("kernel container launch: clocks of a time namespace are as far off as they were told") {
  CGX_BUSYBOX(root);
  Spec spec = spec_for(root.path(), "cat /proc/uptime");
  spec.linux_.namespaces.push_back({NamespaceType::time, {}});
  spec.linux_.time_offsets.push_back({"boottime", {1000000000, 0}});
  const std::string before = link_of("/proc/self/ns/time_for_children");
  SUBCASE("by the caller") {
    const Ended ended = run(spec);
    REQUIRE(ended.error == "");
    CHECK(std::stod(ended.output) > 1e9);
  }
  SUBCASE("in a user namespace, by the process itself") {
    spec.linux_.namespaces.push_back({NamespaceType::user, {}});
    spec.linux_.uid_mappings = spec.linux_.gid_mappings = {{0, 100000, 65536}};
    CHECK(chmod(root.dir().path().c_str(), 0755) == 0);
    const Ended ended = run(spec);
    REQUIRE(ended.error == "");
    CHECK(std::stod(ended.output) > 1e9);
  }
  CHECK(link_of("/proc/self/ns/time_for_children") == before);
}

TEST_CASE("kernel container launch: in a user namespace it is root there, and nobody on the host") {
  CGX_BUSYBOX(root);
  CHECK(chmod(root.dir().path().c_str(), 0755) == 0);
  Spec spec =
      spec_for(root.path(), "cat /proc/self/status /proc/self/uid_map /proc/self/gid_map; echo $(stat -c %u /proc/1)");
  spec.linux_.namespaces.push_back({NamespaceType::user, {}});
  spec.linux_.uid_mappings = {{0, 100000, 1000}, {1000, 300000, 10}};
  spec.linux_.gid_mappings = {{0, 200000, 65536}};
  spec.process->oom_score_adj = 100;
  spec.process->rlimits.push_back({RLIMIT_NOFILE, "RLIMIT_NOFILE", 77, 88});
  const Ended ended = run(spec);
  REQUIRE(ended.error == "");
  CHECK(field(ended.output, "Uid") == "0\t0\t0\t0");
  CHECK(field(ended.output, "CapInh") == "0000000000000000");
  CHECK(field(ended.output, "CapEff") == "0000000020000420");
  CHECK(ended.output.find("0     100000       1000") != std::string::npos);
  CHECK(ended.output.find("1000     300000         10") != std::string::npos);
  CHECK(ended.output.find("0     200000      65536") != std::string::npos);
  spec.linux_.uid_mappings.clear();
  const Ended bad = run(spec);
  CHECK(bad.code == EINVAL);
  CHECK(bad.error.find("uidMappings") != std::string::npos);
  CHECK_FALSE(cgx::test::has_children());
}

TEST_CASE("kernel container launch: it joins namespaces that are there, and the caller stays where it is") {
  CGX_BUSYBOX(root);
  const std::string command =
      "for n in pid net ipc uts mnt cgroup user; do echo $n:$(readlink /proc/self/ns/$n); done; hostname";
  Spec spec = spec_for(root.path(), command);
  const auto join = [&](NamespaceType type, const std::string& path) {
    without(spec, type);
    spec.linux_.namespaces.push_back({type, path});
  };
  SUBCASE("of the same user namespace") {
    const Holder holder(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID);
    REQUIRE(holder.ready);
    join(NamespaceType::network, holder.ns("net"));
    join(NamespaceType::ipc, holder.ns("ipc"));
    join(NamespaceType::uts, holder.ns("uts"));
    join(NamespaceType::pid, holder.ns("pid_for_children"));
    const std::string before = link_of("/proc/self/ns/pid_for_children");
    const Ended ended = run(spec);
    REQUIRE(ended.error == "");
    CHECK(field(ended.output, "net") == link_of(holder.ns("net")));
    CHECK(field(ended.output, "ipc") == link_of(holder.ns("ipc")));
    CHECK(field(ended.output, "uts") == link_of(holder.ns("uts")));
    CHECK(field(ended.output, "pid") == link_of(holder.ns("pid_for_children")));
    CHECK(link_of("/proc/self/ns/pid_for_children") == before);
  }
  SUBCASE("a network of the host's by a container with a user namespace of its own") {
    CHECK(chmod(root.dir().path().c_str(), 0755) == 0);
    const Holder holder(CLONE_NEWNET);
    REQUIRE(holder.ready);
    join(NamespaceType::network, holder.ns("net"));
    std::erase_if(spec.mounts, [](const auto& m) { return m.type == "sysfs"; });
    spec.linux_.namespaces.push_back({NamespaceType::user, {}});
    spec.linux_.uid_mappings = spec.linux_.gid_mappings = {{0, 100000, 65536}};
    const Ended ended = run(spec);
    REQUIRE(ended.error == "");
    CHECK(field(ended.output, "net") == link_of(holder.ns("net")));
    CHECK(field(ended.output, "user") != link_of("/proc/self/ns/user"));
  }
  SUBCASE("a user namespace, with new ones that belong to it") {
    CHECK(chmod(root.dir().path().c_str(), 0755) == 0);
    const Holder holder(CLONE_NEWUSER | CLONE_NEWNET);
    REQUIRE(holder.ready);
    const std::string map = "/proc/" + std::to_string(holder.pid) + "/";
    for (const char* file : {"uid_map", "gid_map"}) {
      const cgx::sys::Fd fd(open((map + file).c_str(), O_WRONLY | O_CLOEXEC));
      REQUIRE(cgx::sys::write_fd(fd.get(), "0 100000 65536\n").has_value());
    }
    join(NamespaceType::user, holder.ns("user"));
    join(NamespaceType::network, holder.ns("net"));
    const Ended ended = run(spec);
    REQUIRE(ended.error == "");
    CHECK(field(ended.output, "user") == link_of(holder.ns("user")));
    CHECK(field(ended.output, "net") == link_of(holder.ns("net")));
    CHECK(field(ended.output, "pid") != link_of("/proc/self/ns/pid"));
  }
  SUBCASE("not one of another kind") {
    join(NamespaceType::network, "/proc/self/ns/ipc");
    const Ended ended = run(spec);
    CHECK(ended.code == EINVAL);
    CHECK(ended.error.find("is no net namespace") != std::string::npos);
  }
  CHECK_FALSE(cgx::test::has_children());
}

TEST_CASE("kernel container launch: limits, scores and personality are the program's") {
  CGX_BUSYBOX(root);
  Spec spec = spec_for(root.path(),
                       "cat /proc/self/limits /proc/self/oom_score_adj; uname -m; cat /proc/sys/net/ipv4/ip_forward "
                       "/proc/sys/kernel/msgmax");
  auto& p = *spec.process;
  p.rlimits.push_back({RLIMIT_NOFILE, "RLIMIT_NOFILE", 77, 88});
  p.oom_score_adj = 321;
  p.io_priority = cgx::container::IoPriority{2, 7};
  p.scheduler = cgx::container::Scheduler{.policy = SCHED_BATCH, .nice = 5};
  spec.linux_.personality = "LINUX32";
  spec.linux_.sysctl = {{"net.ipv4.ip_forward", "1"}, {"kernel.msgmax", "4321"}};
  const Ended ended = run(spec);
  REQUIRE(ended.error == "");
  CHECK(ended.output.find("77                   88                   files") != std::string::npos);
  CHECK(ended.output.find("\n321\n") != std::string::npos);
#if defined(__x86_64__)
  CHECK(ended.output.find("\ni686\n") != std::string::npos);
#endif
  CHECK(ended.output.find("\n1\n4321\n") != std::string::npos);
  SUBCASE("a sysctl of the host is refused") {
    // With the value that it has: where the rule is broken, nothing of the host changes.
    std::string value = cgx::test::content("/proc/sys/kernel/core_pattern");
    value.erase(value.find_last_not_of('\n') + 1);
    for (const std::string name : {"kernel.core_pattern",
                                   "kernel/core_pattern",
                                   "net/../kernel/core_pattern",
                                   "net//../kernel/core_pattern",
                                   "net.../kernel.core_pattern",
                                   "fs.mqueue",
                                   "net/"}) {
      CAPTURE(name);
      spec.linux_.sysctl = {{name, value}};
      CHECK(run(spec).error.find("stage sysctl: sysctl \"") != std::string::npos);
    }
  }
  SUBCASE("and one of a namespace that is the host's") {
    without(spec, NamespaceType::network);
    std::erase_if(spec.mounts, [](const auto& m) { return m.type == "sysfs"; });
    CHECK(run(spec).error.find("not allowed in the hosts namespace") != std::string::npos);
  }
}

TEST_CASE("kernel container launch: an error says what is wrong with the program, and leaves no process") {
  CGX_BUSYBOX(root);
  root.dir().file("root/bin/data", "no program\n");
  CHECK(chmod((root.path() + "/bin/data").c_str(), 0644) == 0);
  root.dir().file("root/bin/garbage",
                  std::string("\x7f"
                              "ELF garbage"));
  CHECK(chmod((root.path() + "/bin/garbage").c_str(), 0755) == 0);
  Spec spec = spec_for(root.path(), "");
  const auto error_of = [&](const char* program) {
    spec.process->args = {program};
    const Ended ended = run(spec);
    CHECK_FALSE(cgx::test::has_children());
    return ended.error;
  };
  CHECK(error_of("nosuch") == "exec: \"nosuch\": executable file not found in $PATH");
  CHECK(error_of("/nosuch") == "exec: \"/nosuch\": stat /nosuch: no such file or directory");
  CHECK(error_of("/bin/data") == "exec: \"/bin/data\": permission denied");
  CHECK(error_of("/bin") == "exec: \"/bin\": is a directory: permission denied");
  CHECK(error_of("/bin/garbage") == "exec /bin/garbage: exec format error");
}

TEST_CASE("kernel container launch: a failure in any stage leaves no process and says which it was") {
  CGX_BUSYBOX(root);
  const Spec good = spec_for(root.path(), "true");
  const auto refused = [&](const char* stage, auto&& change) {
    CAPTURE(stage);
    Spec spec = good;
    change(spec);
    LaunchRequest request = cgx::test::request_for(spec);
    request.foreground_terminal = true;
    const Ended ended = run(request);
    CHECK(ended.code != 0);
    CHECK_MESSAGE(ended.error.find(std::string("stage ") + stage) != std::string::npos, ended.error);
    CHECK_FALSE(cgx::test::has_children());
  };
  refused("mounts", [](Spec& s) { s.mounts[1].type = "nosuchfs"; });
  refused("hooks", [](Spec& s) { s.hooks.prestart.push_back({.path = "/nosuch/hook"}); });
  refused("hooks", [](Spec& s) { s.hooks.create_container.push_back({.path = "/bin/false"}); });
  refused("terminal", [](Spec& s) {
    s.process->terminal = true;
    std::erase_if(s.mounts, [](const auto& m) { return m.type == "devpts"; });
  });
  refused("limits", [](Spec& s) { s.process->scheduler = cgx::container::Scheduler{.policy = 77}; });
  refused("user", [](Spec& s) {
    s.linux_.namespaces.push_back({NamespaceType::user, {}});
    s.linux_.uid_mappings = s.linux_.gid_mappings = {{0, 0, 1}};
    s.process->user.uid = 5;
  });
  refused("cwd", [](Spec& s) { s.process->cwd = "/bin/busybox/x"; });
  refused("start", [](Spec& s) { s.hooks.start_container.push_back({.path = "/bin/false"}); });
}

}  // namespace container_launch_test
