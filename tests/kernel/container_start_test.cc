// SPDX-License-Identifier: Apache-2.0
// The way from a created container to a running one: hooks, the start fifo, terminals, groups, and launchers that are
// killed on it.
#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <random>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/container/launch.h"

#include "container_support.h"
#include "groups.h"
#include "scratch.h"
#include "skip.h"

namespace container_start_test {

namespace {

using cgx::container::Hook;
using cgx::container::launch;
using cgx::container::LaunchRequest;
using cgx::container::Spec;
using cgx::test::content;
using cgx::test::Ended;
using cgx::test::request_for;
using cgx::test::run;
using cgx::test::spec_for;

std::string read_to_end(int fd) {
  std::string text;
  std::array<char, 4096> buffer;
  // A terminal whose other end is closed answers EIO.
  for (ssize_t n = 1; n > 0;) {
    n = read(fd, buffer.data(), buffer.size());
    if (n > 0) text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  return text;
}

// Whether `group` is empty within some seconds.
bool empties(const cgx::Hierarchies& hierarchies, const std::string& group) {
  for (int i = 0; i < 500; ++i) {
    const auto tasks = cgx::tasks_below(cgx::Cgroup(hierarchies, group));
    if (tasks && tasks->empty()) return true;
    (void)poll(nullptr, 0, 10);
  }
  return false;
}

struct Fifo {
  explicit Fifo(const std::string& directory) : path(directory + "/fifo") {
    REQUIRE(mkfifo(path.c_str(), 0600) == 0);
    place.reset(open(path.c_str(), O_PATH | O_CLOEXEC));
    REQUIRE(place.valid());
  }
  [[nodiscard]] std::string start() const {
    const cgx::sys::Fd reader(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    return read_to_end(reader.get());
  }
  std::string path;
  cgx::sys::Fd place;
};

}  // namespace

TEST_CASE("kernel container start: hooks run in their order, where they belong, with the state") {
  CGX_BUSYBOX(root);
  const std::string log = root.dir().path() + "/root/log";
  Spec spec = spec_for(root.path(), "cat /log; rm -f /log");
  const auto hook = [&](const char* name, const std::string& file) {
    return Hook{
        .path = "/bin/busybox",
        .args = {"busybox",
                 "sh",
                 "-c",
                 std::string("echo ") + name + " $(cat) $X host:$([ -e " + root.path() + " ] && echo yes) >> " + file},
        .env = {{"X=given", "PATH=/bin:/usr/bin"}},
        .timeout = 20};
  };
  spec.hooks.prestart.push_back(hook("prestart", log));
  spec.hooks.create_runtime.push_back(hook("createRuntime", log));
  spec.hooks.create_container.push_back(hook("createContainer", log));
  spec.hooks.start_container.push_back(hook("startContainer", "/log"));
  const Ended ended = run(spec);
  REQUIRE(ended.error == "");
  const std::size_t one = ended.output.find("prestart {\"status\":\"created\",\"pid\":");
  const std::size_t two = ended.output.find("createRuntime {\"status\":\"created\",\"pid\":");
  const std::size_t three = ended.output.find("createContainer {\"status\":\"created\",\"pid\":1} given host:yes");
  const std::size_t four = ended.output.find("startContainer {\"status\":\"created\",\"pid\":1} given host:\n");
  CHECK(one == 0);
  CHECK(one < two);
  CHECK(two < three);
  CHECK(three < four);
  CHECK(four != std::string::npos);
}

TEST_CASE("kernel container start: a hook that fails, or is over its time, ends the start with what it said") {
  CGX_BUSYBOX(root);
  Spec spec = spec_for(root.path(), "true");
  SUBCASE("fails") {
    spec.hooks.create_runtime.push_back({.path = "/bin/sh", .args = {"sh", "-c", "echo so; echo it is >&2; exit 7"}});
    const Ended ended = run(spec);
    CHECK(ended.error.find("createRuntime hook #0: error running hook: exit status 7, output: so\nit is") !=
          std::string::npos);
  }
  SUBCASE("hangs") {
    spec.hooks.prestart.push_back({.path = "/bin/sh", .args = {"sh", "-c", "sleep 100 & sleep 100"}, .timeout = 1});
    const Ended ended = run(spec);
    CHECK(ended.code == ETIMEDOUT);
  }
  CHECK_FALSE(cgx::test::has_children());
}

TEST_CASE("kernel container start: a created container waits for its fifo, and says what came of it") {
  CGX_BUSYBOX(root);
  root.dir().file("root/bin/garbage",
                  std::string("\x7f"
                              "ELF garbage"));
  CHECK(chmod((root.path() + "/bin/garbage").c_str(), 0755) == 0);
  Spec spec = spec_for(root.path(), "echo started; exit 5");
  const Fifo fifo(root.dir().path());
  LaunchRequest request = request_for(spec);
  request.start_fifo = fifo.place.get();
  pid_t recorded = 0;
  request.record = [&](pid_t pid) -> cgx::Result<> {
    recorded = pid;
    return {};
  };
  cgx::test::Streams streams;
  const auto created = [&] {
    auto launched = launch(request);
    REQUIRE_MESSAGE(launched.has_value(), (launched ? "" : launched.error().text()));
    CHECK(recorded == launched->pid);
    CHECK(waitpid(launched->pid, nullptr, WNOHANG) == 0);
    return launched->pid;
  };
  int status = 0;
  SUBCASE("executed") {
    const pid_t pid = created();
    CHECK(streams.text() == "");
    CHECK(fifo.start() == "");
    REQUIRE(waitpid(pid, &status, 0) == pid);
    CHECK(WEXITSTATUS(status) == 5);
    CHECK(streams.text() == "started\n");
  }
  SUBCASE("cannot be executed") {
    spec.process->args = {"/bin/garbage"};
    const pid_t pid = created();
    CHECK(fifo.start() == "exec /bin/garbage: exec format error");
    REQUIRE(waitpid(pid, &status, 0) == pid);
    CHECK(WEXITSTATUS(status) == 255);
  }
  SUBCASE("is ended before by a signal, although it is the first of its pid namespace") {
    const pid_t pid = created();
    CHECK(kill(pid, SIGTERM) == 0);
    REQUIRE(waitpid(pid, &status, 0) == pid);
    CHECK(WEXITSTATUS(status) == 128 + SIGTERM);
  }
  SUBCASE("is not made where it cannot be recorded") {
    request.record = [](pid_t) -> cgx::Result<> { return cgx::fail(ENOSPC, "no room"); };
    CHECK(launch(request).error().code == ENOSPC);
    CHECK_FALSE(cgx::test::has_children());
  }
  SUBCASE("errors of the program are known before") {
    spec.process->args = {"nosuch"};
    CHECK(launch(request).error().what == "exec: \"nosuch\": executable file not found in $PATH");
    CHECK_FALSE(cgx::test::has_children());
  }
}

TEST_CASE("kernel container start: its terminal is of its own devpts, and is /dev/console") {
  CGX_BUSYBOX(root);
  Spec spec = spec_for(
      root.path(), "tty; stty size; stat -c %t,%T /dev/console; stat -L -c %t,%T /proc/self/fd/0; cat /proc/self/stat");
  spec.process->terminal = true;
  spec.process->console_size = {33, 111};
  LaunchRequest request = request_for(spec);
  std::string text;
  const auto check = [&](pid_t pid, int master) {
    text = read_to_end(master);
    int status = 0;
    (void)waitpid(pid, &status, 0);
    CHECK(text.starts_with("/dev/pts/0\r\n33 111\r\n88,0\r\n88,0\r\n"));
    // Of /proc/PID/stat: group, session, terminal (136:0).
    CHECK_MESSAGE(text.find(" 1 1 34816 ") != std::string::npos, text);
  };
  SUBCASE("in the foreground") {
    request.foreground_terminal = true;
    const auto launched = launch(request);
    REQUIRE_MESSAGE(launched.has_value(), (launched ? "" : launched.error().text()));
    REQUIRE(launched->terminal.valid());
    check(launched->pid, launched->terminal.get());
  }
  SUBCASE("by a console socket, also one with a long path") {
    std::string dir = root.dir().path();
    SUBCASE("short") {}
    SUBCASE("long") {
      dir += "/" + std::string(120, 'x');
      REQUIRE(mkdir(dir.c_str(), 0700) == 0);
    }
    const cgx::sys::Fd at(open(dir.c_str(), O_PATH | O_CLOEXEC));
    const cgx::sys::Fd server(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    (void)snprintf(&address.sun_path[0], sizeof address.sun_path, "/proc/self/fd/%d/s", at.get());
    REQUIRE(bind(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(server.get(), 1) == 0);
    request.console_socket = dir + "/s";
    const auto launched = launch(request);
    REQUIRE_MESSAGE(launched.has_value(), (launched ? "" : launched.error().text()));
    CHECK_FALSE(launched->terminal.valid());
    const cgx::sys::Fd connection(accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::array<char, 64> name{};
    iovec part{name.data(), name.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.data(), .msg_controllen = control.size()};
    CHECK(recvmsg(connection.get(), &message, 0) > 0);
    CHECK(std::string(name.data()) == "/dev/pts/0");
    REQUIRE(CMSG_FIRSTHDR(&message) != nullptr);
    const cgx::sys::Fd master(*reinterpret_cast<int*>(CMSG_DATA(CMSG_FIRSTHDR(&message))));
    check(launched->pid, master.get());
  }
  SUBCASE("nobody would get it") {
    CHECK(launch(request).error().code == EINVAL);
    CHECK_FALSE(cgx::test::has_children());
  }
}

TEST_CASE("kernel container start: it is in its groups in all hierarchies, and sees them as the top") {
  CGX_BUSYBOX(root);
  const auto hierarchies = cgx::Hierarchies::discover();
  REQUIRE(hierarchies.has_value());
  const cgx::test::TestGroup name(*hierarchies);
  cgx::test::make_group(*hierarchies, name.name());
  const cgx::Cgroup group(*hierarchies, name.name());
  const Spec spec = spec_for(root.path(), "cat /proc/self/cgroup");
  LaunchRequest request = request_for(spec);
  request.group = &group;
  std::string seen;
  request.record = [&](pid_t pid) -> cgx::Result<> {
    seen = content("/proc/" + std::to_string(pid) + "/cgroup");
    return {};
  };
  // After a kill of the group the kernel takes new members for such as have escaped it.
  SUBCASE("fresh") {}
  SUBCASE("killed before") {
    for (const auto* h : group.present())
      if (h->version() == cgx::Version::v2) CHECK(group.write(*h, "cgroup.kill", "1").has_value());
  }
  const Ended ended = run(request);
  REQUIRE(ended.error == "");
  std::size_t in_group = 0;
  for (std::size_t at = 0; (at = seen.find(":/" + name.name() + "\n", at)) != std::string::npos; ++at) ++in_group;
  CHECK(in_group == group.present().size());
  CHECK(ended.output.find(name.name()) == std::string::npos);
  CHECK(empties(*hierarchies, name.name()));
}

TEST_CASE("kernel container start: a launcher that is killed takes its container with it, until that is ready") {
  CGX_BUSYBOX(root);
  const auto hierarchies = cgx::Hierarchies::discover();
  REQUIRE(hierarchies.has_value());
  Spec spec = spec_for(root.path(), "sleep 100");
  SUBCASE("plain") {}
  SUBCASE("with a user namespace") {
    CHECK(chmod(root.dir().path().c_str(), 0755) == 0);
    spec.linux_.namespaces.push_back({cgx::container::NamespaceType::user, {}});
    spec.linux_.uid_mappings = spec.linux_.gid_mappings = {{0, 100000, 65536}};
  }
  SUBCASE("in a pid namespace that is there") {
    std::erase_if(spec.linux_.namespaces, [](const auto& ns) { return ns.type == cgx::container::NamespaceType::pid; });
    spec.linux_.namespaces.push_back({cgx::container::NamespaceType::pid, "/proc/self/ns/pid"});
  }
  // Orphans come to this process, so that it can tell when they have ended.
  REQUIRE(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
  const cgx::test::TestGroup name(*hierarchies);
  cgx::test::make_group(*hierarchies, name.name());
  const Fifo fifo(root.dir().path());
  // About as long as a start takes here, so that some are killed before its end and some after.
  const auto begin = std::chrono::steady_clock::now();
  spec.process->args[2] = "true";
  REQUIRE(run(spec).error == "");
  spec.process->args[2] = "sleep 100";
  const auto usual = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
  std::mt19937 random(std::random_device{}());
  int killed_early = 0;
  for (int round = 0; round < 60; ++round) {
    std::array<int, 2> ends{};
    REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
    const pid_t launcher = fork();
    if (launcher == 0) {
      const cgx::Cgroup group(*hierarchies, name.name());
      LaunchRequest request = request_for(spec);
      request.group = &group;
      request.start_fifo = fifo.place.get();
      request.record = [&](pid_t) -> cgx::Result<> {
        (void)!write(ends[1], "r", 1);
        return {};
      };
      (void)launch(request);
      while (true) pause();
    }
    (void)close(ends[1]);
    (void)usleep(static_cast<useconds_t>(random() % (static_cast<std::uint64_t>(usual.count()) * 2)));
    (void)kill(launcher, SIGKILL);
    REQUIRE(waitpid(launcher, nullptr, 0) == launcher);
    char byte = 0;
    const bool recorded = read(ends[0], &byte, 1) == 1;
    (void)close(ends[0]);
    if (!recorded) {
      ++killed_early;
      REQUIRE_MESSAGE(empties(*hierarchies, name.name()), round);
    } else {
      REQUIRE(cgx::kill_all(cgx::Cgroup(*hierarchies, name.name()),
                            SIGKILL,
                            std::chrono::steady_clock::now() + std::chrono::seconds(20))
                  .has_value());
    }
    while (waitpid(-1, nullptr, WNOHANG) > 0) continue;
  }
  (void)empties(*hierarchies, name.name());
  while (waitpid(-1, nullptr, 0) > 0) continue;
  (void)prctl(PR_SET_CHILD_SUBREAPER, 0);
  MESSAGE("launchers killed before their container was ready: " << killed_early);
  CHECK(killed_early > 0);
}

TEST_CASE("kernel container start: a program that starts containers runs from what nobody can write to") {
  if (geteuid() != 0) CGX_SKIP("needs root");
  // A copy, where every user can get at it: the build directory may be in somebody's closed home.
  const cgx::test::ScratchDir scratch;
  REQUIRE(chmod(scratch.path().c_str(), 0755) == 0);
  const std::string built = cgx::test::helper("protected");
  const std::string program = scratch.path() + "/protected";
  std::error_code copied;
  std::filesystem::copy_file(built, program, copied);
  REQUIRE_MESSAGE(!copied, built << ": " << copied.message() << " (is it built?)");
  REQUIRE(chmod(program.c_str(), 0755) == 0);
  const auto said = [&](uid_t uid) {
    cgx::test::Streams streams;
    const pid_t pid = fork();
    if (pid == 0) {
      if (uid != 0 && setresuid(uid, uid, uid) != 0) _exit(99);
      // Nothing that the environment says is believed.
      (void)setenv("CGX_PROTECTED", "1", 1);
      (void)execl(program.c_str(), "/some/where/protected", "word", nullptr);
      _exit(98);
    }
    int status = 0;
    (void)waitpid(pid, &status, 0);
    streams.restore();
    CHECK(status == 0);
    return streams.text();
  };
  CHECK(said(0) == "mount protected 2 word\n");
  // Who may not clone mounts takes a copy in memory; it has to be able to read the file.
  CHECK(said(65534) == "sealed protected 2 word\n");
}

}  // namespace container_start_test
