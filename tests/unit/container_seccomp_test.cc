// SPDX-License-Identifier: Apache-2.0
// Programs are loaded in children that answer by their status what a call of theirs came to.
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <functional>
#include <string>

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "cgx/container/seccomp.h"

#include "scratch.h"

namespace container_seccomp_test {

namespace {
using namespace cgx;
using namespace cgx::container;

Seccomp rules(std::string_view action, std::vector<SeccompSyscall> calls, std::optional<std::uint32_t> number = {}) {
  Seccomp seccomp;
  seccomp.default_action = action;
  seccomp.default_errno_ret = number;
  seccomp.syscalls = std::move(calls);
  return seccomp;
}
SeccompProgram compiled(const Seccomp& seccomp, const std::string& cache = {}) {
  auto program = compile_seccomp(seccomp, cache);
  INFO((program ? "" : program.error().text()));
  REQUIRE(program.has_value());
  return *std::move(program);
}
std::string problem(const Seccomp& seccomp) {
  const auto program = compile_seccomp(seccomp);
  return program ? "none" : program.error().text();
}

// The errno of what `call` does under the program, 0 where it succeeds; minus a signal that ended the child.
int under(const SeccompProgram& program, const std::function<long()>& call) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !load_seccomp(program)) ::_exit(255);
    errno = 0;
    const long answer = call();
    // Not _exit(): before what does not return AddressSanitizer makes calls of its own, which the program refuses.
    ::syscall(SYS_exit_group, answer < 0 ? errno : 0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}
long call(long number, unsigned long a = 0, unsigned long b = 0, unsigned long c = 0) {
  return ::syscall(number, a, b, c);
}

constexpr std::uint64_t no_capabilities = 0;
std::uint64_t bit(int capability) { return std::uint64_t{1} << static_cast<unsigned>(capability); }

}  // namespace

TEST_CASE("seccomp: actions") {
  const auto one = [](std::string_view action, std::optional<std::uint32_t> number = {}) {
    return compiled(rules("SCMP_ACT_ALLOW",
                          {{.names = {"getppid"}, .action = std::string(action), .errno_ret = number, .args = {}}}));
  };
  const auto getppid = [] { return call(SYS_getppid); };
  CHECK(under(one("SCMP_ACT_ALLOW"), getppid) == 0);
  CHECK(under(one("SCMP_ACT_ERRNO"), getppid) == EPERM);
  CHECK(under(one("SCMP_ACT_ERRNO", 71), getppid) == 71);
  CHECK(under(one("SCMP_ACT_TRACE", 5), getppid) == ENOSYS);  // nobody traces
  CHECK(under(one("SCMP_ACT_TRAP"), getppid) == -SIGSYS);
  for (const char* kill : {"SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS"})
    CHECK(under(one(kill), getppid) == -SIGSYS);
  CHECK(under(one("SCMP_ACT_LOG"), getppid) == 0);
}

TEST_CASE("seccomp: comparisons of arguments") {
  const auto with = [](std::vector<SeccompArg> args) {
    return compiled(
        rules("SCMP_ACT_ALLOW",
              {{.names = {"getpgid"}, .action = "SCMP_ACT_ERRNO", .errno_ret = 77, .args = std::move(args)}}));
  };
  const auto refuses = [](const SeccompProgram& program, unsigned long a, unsigned long b = 0) {
    return under(program, [&] { return call(SYS_getpgid, a, b) < 0 && errno == 77 ? -1 : 0; }) == 77;
  };
  const auto one = [&](const char* op, std::uint64_t value, std::uint64_t two = 0) {
    return with({{.index = 0, .value = value, .value_two = two, .op = op}});
  };
  CHECK(refuses(one("SCMP_CMP_EQ", 5), 5));
  CHECK_FALSE(refuses(one("SCMP_CMP_EQ", 5), 6));
  CHECK(refuses(one("SCMP_CMP_NE", 5), 6));
  CHECK(refuses(one("SCMP_CMP_LT", 5), 4));
  CHECK_FALSE(refuses(one("SCMP_CMP_LT", 5), 5));
  CHECK(refuses(one("SCMP_CMP_LE", 5), 5));
  CHECK(refuses(one("SCMP_CMP_GE", 5), 5));
  CHECK_FALSE(refuses(one("SCMP_CMP_GT", 5), 5));
  CHECK(refuses(one("SCMP_CMP_GT", 5), 0x100000000));
  CHECK(refuses(one("SCMP_CMP_MASKED_EQ", 0xf0, 0x10), 0x1f));
  CHECK_FALSE(refuses(one("SCMP_CMP_MASKED_EQ", 0xf0, 0x10), 0x2f));
  const auto both = with({{.index = 0, .value = 1, .value_two = 0, .op = "SCMP_CMP_EQ"},
                          {.index = 1, .value = 2, .value_two = 0, .op = "SCMP_CMP_EQ"}});
  CHECK(refuses(both, 1, 2));
  CHECK_FALSE(refuses(both, 1, 3));
  // Two of one argument: any is enough.
  const auto any = with({{.index = 0, .value = 1, .value_two = 0, .op = "SCMP_CMP_EQ"},
                         {.index = 0, .value = 3, .value_two = 0, .op = "SCMP_CMP_EQ"}});
  CHECK(refuses(any, 1));
  CHECK(refuses(any, 3));
  CHECK_FALSE(refuses(any, 2));
}

TEST_CASE("seccomp: calls that are newer than the rules do not exist, those that are left out get the default") {
  const std::vector<SeccompSyscall> few = {
      {.names = {"exit_group", "faccessat2"}, .action = "SCMP_ACT_ALLOW", .errno_ret = {}, .args = {}}};
  const SeccompProgram strict = compiled(rules("SCMP_ACT_ERRNO", few));
  CHECK(under(strict, [] { return call(SYS_getppid); }) == EPERM);
  CHECK(under(strict, [] { return call(460); }) == ENOSYS);
  CHECK(under(strict, [] { return call(5000); }) == ENOSYS);
  // Where the default is to allow, or says the same, there is nothing to tell apart.
  CHECK(under(compiled(rules("SCMP_ACT_ALLOW", {})), [] { return call(5000); }) == ENOSYS);  // the kernel's own
  CHECK(under(compiled(rules("SCMP_ACT_ERRNO", few, 38)), [] { return call(SYS_getppid); }) == ENOSYS);
}

TEST_CASE("seccomp: names that libseccomp does not know") {
  auto seccomp =
      rules("SCMP_ACT_ALLOW",
            {{.names = {"mseal", "no_such_call", "getppid"}, .action = "SCMP_ACT_ERRNO", .errno_ret = 70, .args = {}}});
  seccomp.architectures = {"SCMP_ARCH_X86", "SCMP_ARCH_X32"};
#if defined(__x86_64__)
  const SeccompProgram program = compiled(seccomp);
  CHECK(program.notes == std::vector<std::string>{"no_such_call"});
  CHECK(under(program, [] { return call(462); }) == 70);
  CHECK(under(program, [] { return call(SYS_getppid); }) == 70);
  CHECK(under(program, [] { return call(SYS_getpid); }) == 0);
#endif
}

TEST_CASE("seccomp: what is wrong is named") {
  const auto rule = [](std::vector<std::string> names, std::string action, std::optional<std::uint32_t> number = {}) {
    return rules("SCMP_ACT_ALLOW",
                 {{.names = std::move(names), .action = std::move(action), .errno_ret = number, .args = {}}});
  };
  CHECK(problem(rules("X", {})) == "linux.seccomp.default.action: \"X\" is not known");
  CHECK(problem(rule({"read"}, "X")) == "linux.seccomp.syscalls[0].action: \"X\" is not known");
  CHECK(problem(rule({}, "SCMP_ACT_LOG")) == "linux.seccomp.syscalls[0].names: must not be empty");
  CHECK(problem(rule({"read"}, "SCMP_ACT_LOG", 1)).ends_with("takes no errno"));
  CHECK(problem(rule({"read"}, "SCMP_ACT_NOTIFY")).ends_with("needs a listenerPath"));
  CHECK(problem(rules("SCMP_ACT_NOTIFY", {})).contains("cannot be asked for all calls"));
  auto notify = rule({"read", "write"}, "SCMP_ACT_NOTIFY");
  notify.listener_path = "/x";
  CHECK(problem(notify).contains("SCMP_ACT_NOTIFY cannot be used for the write syscall"));
  auto other = rule({"read"}, "SCMP_ACT_LOG");
  other.architectures = {"SCMP_ARCH_VAX"};
  CHECK(problem(other) == "linux.seccomp.architectures[0]: \"SCMP_ARCH_VAX\" is not known");
#if defined(__x86_64__)
  other.architectures = {"SCMP_ARCH_X86", "SCMP_ARCH_S390X"};
  CHECK(problem(other).starts_with("linux.seccomp.architectures[1]: \"SCMP_ARCH_S390X\" cannot be in one program"));
#endif
  auto flag = rule({"read"}, "SCMP_ACT_LOG");
  flag.flags = {"SECCOMP_FILTER_FLAG_X"};
  CHECK(problem(flag) == "linux.seccomp.flags[0]: \"SECCOMP_FILTER_FLAG_X\" is not known");
  auto arg = rule({"read"}, "SCMP_ACT_ERRNO");
  arg.syscalls[0].args = {{.index = 6, .value = 0, .value_two = 0, .op = "SCMP_CMP_EQ"}};
  CHECK(problem(arg).starts_with("linux.seccomp.syscalls[0].args[0].index: \"6\""));
}

TEST_CASE("seccomp: flags") {
  auto seccomp =
      rules("SCMP_ACT_ALLOW", {{.names = {"getppid"}, .action = "SCMP_ACT_ERRNO", .errno_ret = {}, .args = {}}});
  seccomp.flags = {"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"};
  SeccompProgram program = compiled(seccomp);
  CHECK(program.flags == (SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW));
  CHECK(under(program, [] { return call(SYS_getppid); }) == EPERM);
}

TEST_CASE("seccomp: a call that is notified of waits for the answer of the listener") {
  auto seccomp =
      rules("SCMP_ACT_ALLOW", {{.names = {"getppid"}, .action = "SCMP_ACT_NOTIFY", .errno_ret = {}, .args = {}}});
  seccomp.listener_path = "/run/agent";
  seccomp.flags = {"SECCOMP_FILTER_FLAG_TSYNC"};
  const SeccompProgram program = compiled(seccomp);
  REQUIRE(program.notifies);
  const auto answered = [&] {
    auto listener = load_seccomp(program);
    if (!listener || !listener->valid()) return -1L;
    const pid_t asks = ::fork();
    if (asks == 0) ::_exit(call(SYS_getppid) == 4711 ? 0 : 1);
    seccomp_notif request = {};
    if (::ioctl(listener->get(), SECCOMP_IOCTL_NOTIF_RECV, &request) != 0) return -1L;
    seccomp_notif_resp response = {.id = request.id, .val = 4711, .error = 0, .flags = 0};
    if (::ioctl(listener->get(), SECCOMP_IOCTL_NOTIF_SEND, &response) != 0) return -1L;
    int status = 0;
    errno = EIO;
    return ::waitpid(asks, &status, 0) == asks && status == 0 ? 0L : -1L;
  };
  const pid_t child = ::fork();
  if (child == 0) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) ::_exit(255);
    ::_exit(answered() == 0 ? 0 : 1);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("seccomp: the cache is believed only where it is the caller's and says the same") {
  const test::ScratchDir scratch;
  const std::string dir = scratch.path() + "/cache";
  const auto seccomp =
      rules("SCMP_ACT_ALLOW",
            {{.names = {"getppid", "no_such_call"}, .action = "SCMP_ACT_ERRNO", .errno_ret = 70, .args = {}}});
  const SeccompProgram first = compiled(seccomp, dir);
  struct stat st = {};
  REQUIRE(::stat(dir.c_str(), &st) == 0);
  CHECK((st.st_mode & 07777U) == 0700U);
  const auto entries = [&] {
    auto names = sys::list_dir(scratch.fd(), "cache", sys::Entries::files);
    return names ? *names : std::vector<std::string>();
  };
  REQUIRE(entries().size() == 1);
  const std::string file = dir + "/" + entries().at(0);
  const SeccompProgram again = compiled(seccomp, dir);
  CHECK(again.instructions == first.instructions);
  CHECK(again.notes == first.notes);
  CHECK(again.flags == first.flags);

  // That it is read at all: an instruction that was changed in place comes back.
  std::string content = test::content(file);
  const std::string whole = content;
  const std::size_t code = content.size() - 8 * first.instructions.size() - std::string("no_such_call\n").size();
  content[code] = static_cast<char>(content[code] ^ 1);
  const auto put = [&](const std::string& text) {
    const sys::Fd fd(::open(file.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
    REQUIRE(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  };
  put(content);
  CHECK(compiled(seccomp, dir).instructions != first.instructions);
  // Not where the directory or the file may be somebody else's.
  REQUIRE(::chmod(dir.c_str(), 0755) == 0);
  CHECK(compiled(seccomp, dir).instructions == first.instructions);
  REQUIRE(::chmod(dir.c_str(), 0700) == 0);
  REQUIRE(::chmod(file.c_str(), 0620) == 0);
  CHECK(compiled(seccomp, dir).instructions == first.instructions);
  REQUIRE(::chmod(file.c_str(), 0600) == 0);

  // Nor of another text, cut, longer, or no file at all.
  std::string other = whole;
  other[other.find("getppid")] = 'x';
  for (const std::string& bad :
       {other, whole.substr(0, whole.size() - 1), whole + "x", std::string("x"), std::string(200, '\0')}) {
    put(bad);
    CHECK(compiled(seccomp, dir).instructions == first.instructions);
    CHECK(test::content(file) == whole);  // written anew
  }
  REQUIRE(::unlink(file.c_str()) == 0);
  REQUIRE(::symlink("/dev/zero", file.c_str()) == 0);
  CHECK(compiled(seccomp, dir).instructions == first.instructions);
  CHECK(entries().size() == 1);
}

TEST_CASE("seccomp: the default profile") {
  const Seccomp profile = default_seccomp(no_capabilities);
  const SeccompProgram program = compiled(profile);
  CHECK(program.notes.size() <= 12);  // what libseccomp 2.5 lacks and has no generic number
  CHECK(program.instructions.size() < 4096);
  CHECK(under(program, [] { return call(SYS_getppid); }) == 0);
  CHECK(under(program, [] { return call(SYS_keyctl, 0, static_cast<unsigned long>(-3)); }) == EPERM);
  CHECK(under(program, [] { return call(SYS_mount); }) == EPERM);
  CHECK(under(program, [] { return call(SYS_bpf); }) == EPERM);
  CHECK(under(program, [] { return call(SYS_setns, 1000, 0); }) == EPERM);
  CHECK(under(program, [] { return call(SYS_io_uring_setup, 1); }) == ENOSYS);
  CHECK(under(program, [] { return call(SYS_clone3); }) == ENOSYS);
  CHECK(under(program, [] { return call(700); }) == ENOSYS);
  CHECK(under(program, [] { return call(SYS_unshare, CLONE_NEWUSER); }) == EPERM);
  CHECK(under(program, [] { return call(SYS_unshare, 0x80); }) == EPERM);
  CHECK(under(program, [] { return call(SYS_unshare, CLONE_FILES); }) == 0);
  for (const int space :
       {CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP})
    CHECK(under(program, [&] { return call(SYS_clone, static_cast<unsigned long>(space) | SIGCHLD); }) == EPERM);
  CHECK(under(program, [] {
          const long child = call(SYS_clone, SIGCHLD);
          if (child == 0) ::_exit(0);
          return child;
        }) == 0);
  CHECK(under(program, [] { return call(SYS_personality, 0xffffffff); }) == 0);
  CHECK(under(program, [] { return call(SYS_personality, 0x0400000); }) == ENOSYS);  // READ_IMPLIES_EXEC
}

TEST_CASE("seccomp: the default profile and sockets") {
  const SeccompProgram program = compiled(default_seccomp(no_capabilities));
  const auto made = [&](unsigned long family) {
    return under(program, [&] { return call(SYS_socket, family, SOCK_STREAM, 0); });
  };
  CHECK(made(AF_UNIX) == 0);
  CHECK(made(AF_INET) == 0);
  CHECK(made(38) == EAFNOSUPPORT);
  CHECK(made(40) == EAFNOSUPPORT);
  // What the kernel does not look at leads to nothing else.
  CHECK(made(0x100000026) != 0);
  CHECK(made(0xffffffff00000028) != 0);
  CHECK(made(46) == ENOSYS);
  CHECK(under(program, [] { return call(SYS_socket, 38, SOCK_SEQPACKET, 0); }) == EAFNOSUPPORT);
}

TEST_CASE("seccomp: the default profile and requests to terminals") {
  const SeccompProgram program = compiled(default_seccomp(no_capabilities));
  const auto asked = [&](unsigned long request) {
    return under(program, [&] { return call(SYS_ioctl, 1000, request); });
  };
  CHECK(asked(0x5412) == EPERM);
  CHECK(asked(0x541c) == EPERM);
  CHECK(asked(0x100005412) == EPERM);  // the kernel takes the low half
  CHECK(asked(0xffffffff0000541c) == EPERM);
  CHECK(asked(0x8000000000005412) == EPERM);
  // All others are the kernel's to answer: there is no descriptor 1000.
  for (unsigned long request = 0x5400; request < 0x5460; ++request)
    if (request != 0x5412 && request != 0x541c) CHECK(asked(request) == EBADF);
  for (unsigned i = 0; i < 32; ++i) {
    CHECK(asked(0x5412 ^ (1UL << i)) == EBADF);
    CHECK(asked(0x541c ^ (1UL << i)) == EBADF);
  }
  CHECK(asked(0xffffffff80045430) == EBADF);  // as a libc sends it that takes an int
  CHECK(asked(0) == EBADF);
}

TEST_CASE("seccomp: capabilities open their calls, and no others") {
  const auto names = [](std::uint64_t capabilities, std::string_view action) {
    std::vector<std::string> all;
    for (const SeccompSyscall& rule : default_seccomp(capabilities).syscalls)
      if (rule.action == action && rule.args.empty()) all.insert(all.end(), rule.names.begin(), rule.names.end());
    return all;
  };
  const auto allows = [&](std::uint64_t capabilities, const char* call) {
    const auto all = names(capabilities, "SCMP_ACT_ALLOW");
    const auto none = names(capabilities, "SCMP_ACT_ERRNO");
    const bool yes = std::ranges::find(all, call) != all.end();
    CHECK(yes == (std::ranges::find(none, call) == none.end()));
    return yes;
  };
  for (const auto& [capability, call] :
       std::vector<std::pair<int, const char*>>{{CAP_SYS_ADMIN, "mount"},
                                                {CAP_SYS_ADMIN, "clone3"},
                                                {CAP_SYS_ADMIN, "bpf"},
                                                {CAP_BPF, "bpf"},
                                                {CAP_PERFMON, "perf_event_open"},
                                                {CAP_SYSLOG, "syslog"},
                                                {CAP_SYS_CHROOT, "chroot"},
                                                {CAP_SYS_MODULE, "init_module"},
                                                {CAP_SYS_PTRACE, "pidfd_getfd"},
                                                {CAP_SYS_TIME, "settimeofday"},
                                                {CAP_SYS_BOOT, "reboot"},
                                                {CAP_DAC_READ_SEARCH, "open_by_handle_at"}}) {
    CAPTURE(call);
    CHECK_FALSE(allows(no_capabilities, call));
    CHECK(allows(bit(capability), call));
  }
  CHECK_FALSE(allows(bit(CAP_BPF), "mount"));
  // Nothing is said twice, and differently.
  for (const std::uint64_t capabilities : {no_capabilities, ~std::uint64_t{0}}) {
    auto all = names(capabilities, "SCMP_ACT_ALLOW");
    for (const std::string& name : names(capabilities, "SCMP_ACT_ERRNO")) all.push_back(name);
    std::ranges::sort(all);
    const auto twice = std::ranges::adjacent_find(all);
    CHECK((twice == all.end() ? "" : *twice) == "");
  }
  const SeccompProgram admin = compiled(default_seccomp(~std::uint64_t{0}));
  CHECK(under(admin, [] { return call(SYS_clone3); }) == EINVAL);  // the kernel's own
  CHECK(under(admin, [] { return call(SYS_ioctl, 1000, 0x5412); }) == EPERM);
}

}  // namespace container_seccomp_test
