// SPDX-License-Identifier: Apache-2.0
// System call filters of containers, agents that answer for them, and descriptors that are passed on.
#include <array>
#include <cstring>

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/container/launch.h"
#include "cgx/container/seccomp.h"

#include "container_support.h"
#include "scratch.h"
#include "skip.h"

namespace container_filter_test {

namespace {

using cgx::container::LaunchRequest;
using cgx::container::Spec;
using cgx::test::Ended;
using cgx::test::field;
using cgx::test::request_for;
using cgx::test::run;
using cgx::test::spec_for;

cgx::container::SeccompProgram compiled(const cgx::container::Seccomp& rules) {
  auto program = cgx::container::compile_seccomp(rules);
  REQUIRE_MESSAGE(program.has_value(), (program ? "" : program.error().text()));
  return *std::move(program);
}

// mkdir(2) and mkdirat(2) get `action`, all else is allowed.
cgx::container::Seccomp rules_for_mkdir(const char* action) {
  cgx::container::Seccomp rules;
  rules.default_action = "SCMP_ACT_ALLOW";
  cgx::container::SeccompSyscall calls;
  calls.names = {"mkdir", "mkdirat"};
  calls.action = action;
  if (std::strcmp(action, "SCMP_ACT_ERRNO") == 0) calls.errno_ret = EXDEV;
  rules.syscalls.push_back(calls);
  return rules;
}

}  // namespace

TEST_CASE("kernel container filter: the program runs under it, with and without no_new_privs") {
  CGX_BUSYBOX(root);
  Spec spec = spec_for(root.path(), "cat /proc/self/status; busybox mkdir /tmp/x; echo status:$?");
  SUBCASE("loaded last") {}
  SUBCASE("loaded while there are rights to do so") { spec.process->no_new_privileges = false; }
  LaunchRequest request = request_for(spec);
  request.seccomp = compiled(rules_for_mkdir("SCMP_ACT_ERRNO"));
  const Ended ended = run(request);
  REQUIRE(ended.error == "");
  CHECK(field(ended.output, "Seccomp") == "2");
  CHECK(field(ended.output, "NoNewPrivs") == (spec.process->no_new_privileges ? "1" : "0"));
  CHECK(field(ended.output, "CapEff") == "0000000020000420");
  CHECK(ended.output.find("Invalid cross-device link") != std::string::npos);
  CHECK(field(ended.output, "status") == "1");
}

TEST_CASE("kernel container filter: the default profile lets the launcher's last stages and usual programs pass") {
  CGX_BUSYBOX(root);
  Spec spec = spec_for(root.path(), "ls / > /dev/null && id -u");
  SUBCASE("with no_new_privs") {}
  SUBCASE("without") { spec.process->no_new_privileges = false; }
  spec.process->user.uid = 1000;
  LaunchRequest request = request_for(spec);
  request.seccomp = compiled(cgx::container::default_seccomp(spec.process->capabilities->bounding));
  const Ended ended = run(request);
  REQUIRE(ended.error == "");
  CHECK(ended.output == "1000\n");
}

TEST_CASE("kernel container filter: an agent gets the listener with the state, and answers") {
  CGX_BUSYBOX(root);
  Spec spec = spec_for(root.path(), "busybox mkdir /tmp/x; echo status:$?");
  spec.linux_.seccomp = rules_for_mkdir("SCMP_ACT_NOTIFY");
  spec.linux_.seccomp->listener_path = root.dir().path() + "/agent";
  spec.linux_.seccomp->listener_metadata = "meta \"data\"";
  LaunchRequest request = request_for(spec);
  request.seccomp = compiled(*spec.linux_.seccomp);
  SUBCASE("nobody listens") {
    const Ended ended = run(request);
    CHECK(ended.error.find("stage seccomp: failed to connect with seccomp agent: connect to ") != std::string::npos);
    CHECK_FALSE(cgx::test::has_children());
  }
  SUBCASE("and answers ENOTTY") {
    const cgx::sys::Fd server(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (void)snprintf(&address.sun_path[0], sizeof address.sun_path, "%s", spec.linux_.seccomp->listener_path.c_str());
    REQUIRE(bind(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(server.get(), 1) == 0);
    const cgx::sys::Fd told(memfd_create("state", MFD_CLOEXEC));
    const pid_t agent = fork();
    if (agent == 0) {
      const cgx::sys::Fd connection(accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
      std::array<char, 4096> text{};
      iovec part{text.data(), text.size()};
      alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
      msghdr message{};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = control.data();
      message.msg_controllen = control.size();
      const ssize_t n = recvmsg(connection.get(), &message, MSG_CMSG_CLOEXEC);
      if (n <= 0 || CMSG_FIRSTHDR(&message) == nullptr) _exit(1);
      (void)!write(told.get(), text.data(), static_cast<std::size_t>(n));
      const cgx::sys::Fd listener(*reinterpret_cast<int*>(CMSG_DATA(CMSG_FIRSTHDR(&message))));
      seccomp_notif asked{};
      if (ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_RECV, &asked) != 0) _exit(1);
      seccomp_notif_resp answer{};
      answer.id = asked.id;
      answer.error = -ENOTTY;
      _exit(ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0 ? 0 : 1);
    }
    const Ended ended = run(request);
    int status = 0;
    (void)waitpid(agent, &status, 0);
    CHECK(status == 0);
    (void)lseek(told.get(), 0, SEEK_SET);
    const std::string state = cgx::sys::read_all(told.get()).value_or("");
    REQUIRE(ended.error == "");
    CHECK(field(ended.output, "status") == "1");
    CHECK(ended.output.find("Inappropriate ioctl") != std::string::npos);
    CHECK(state.starts_with("{\"ociVersion\":\"1.2.0\",\"fds\":[\"seccompFd\"],\"pid\":"));
    CHECK(state.find("\"metadata\":\"meta \\\"data\\\"\",\"state\":{\"status\":\"creating\",\"pid\":") !=
          std::string::npos);
  }
}

TEST_CASE(
    "kernel container filter: descriptors of the caller are passed where it says so, sockets with their environment") {
  CGX_BUSYBOX(root);
  // In a process that has just these: 3 and 4 are a service's sockets, 5 is preserved, 6 is a leak.
  const auto output = [&](int preserve, const char* listening, bool with_pid = true) {
    cgx::test::Streams streams;
    const pid_t pid = fork();
    if (pid == 0) {
      (void)close_range(3, ~0U, 0);
      for (int i = 0; i < 4; ++i) (void)open("/dev/null", O_RDONLY);  // NOLINT: without O_CLOEXEC
      if (listening != nullptr) (void)setenv("LISTEN_FDS", listening, 1);
      if (listening != nullptr && with_pid) (void)setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
      const Spec spec =
          spec_for(root.path(),
                   "for f in 3 4 5 6 7; do [ -e /proc/$$/fd/$f ] && echo -n $f,; done; echo $LISTEN_FDS:$LISTEN_PID");
      LaunchRequest request = request_for(spec);
      request.preserve_fds = preserve;
      const auto launched = cgx::container::launch(request);
      if (!launched) _exit(1);
      (void)waitpid(launched->pid, nullptr, 0);
      _exit(0);
    }
    int status = 0;
    (void)waitpid(pid, &status, 0);
    streams.restore();
    CHECK(status == 0);
    return streams.text();
  };
  CHECK(output(0, nullptr) == ":\n");
  CHECK(output(2, nullptr) == "3,4,:\n");
  CHECK(output(1, "2") == "3,4,5,2:1\n");
  // A caller that cannot know the pid names none. More than there are: they are not meant for this one.
  CHECK(output(0, "2", false) == "3,4,2:1\n");
  CHECK(output(0, "9", false) == ":\n");
}

TEST_CASE("kernel container filter: it gets the standard streams, and further descriptors only where it is told so") {
  CGX_BUSYBOX(root);
  const cgx::sys::Fd leak(open("/etc/shadow", O_RDONLY));  // NOLINT: without O_CLOEXEC
  const Spec spec = spec_for(
      root.path(), "for f in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do [ -e /proc/$$/fd/$f ] && echo -n $f,; done");
  const Ended ended = run(spec);
  REQUIRE(ended.error == "");
  CHECK(ended.output.starts_with("0,1,2,"));
  CHECK(ended.output == "0,1,2,");
  LaunchRequest request = cgx::test::request_for(spec);
  // Callers count up to the last that they pass, with gaps.
  request.preserve_fds = 4096;
  const Ended gaps = run(request);
  CHECK(gaps.error == "");
  CHECK(gaps.output.starts_with("0,1,2,"));
  CHECK(gaps.output.find("," + std::to_string(leak.get()) + ",") != std::string::npos);
}

TEST_CASE("kernel container filter: no directory outside of the root can be the working directory") {
  CGX_BUSYBOX(root);
  std::array<cgx::sys::Fd, 20> open_ones;
  int refused = 0;
  for (auto& fd : open_ones) fd.reset(open("/", O_RDONLY | O_DIRECTORY));  // NOLINT: without O_CLOEXEC, as a leak
  for (int fd = 3; fd < 40; ++fd) {
    CAPTURE(fd);
    Spec spec = spec_for(root.path(), "pwd -P; ls");
    spec.process->cwd = "/proc/self/fd/" + std::to_string(fd);
    // Descriptors of the launcher's own may lead into the root; to no other place.
    const Ended ended = run(spec);
    const bool inside =
        ended.error.empty() && ended.output.starts_with("/") && ended.output.find("usr") == std::string::npos;
    CHECK_MESSAGE((inside || ended.error.find("stage cwd") != std::string::npos), ended.output, ended.error);
    refused += ended.error.empty() ? 0 : 1;
  }
  CHECK(refused >= 20);
  CHECK_FALSE(cgx::test::has_children());
}

}  // namespace container_filter_test
