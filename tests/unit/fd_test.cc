// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/fd.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/sys/remove_tree.h"

#include "scratch.h"
#include "seccomp.h"
#include "skip.h"

namespace fd_test {

using cgx::Result;
using cgx::sys::Fd;
using cgx::test::content;
using cgx::test::ScratchDir;
namespace sys = cgx::sys;

namespace {

bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

template <class T>
int code_of(const Result<T>& result) {
  return result ? 0 : result.error().code;
}

void finds_below() {
  const ScratchDir dir;
  dir.dir("a");
  dir.dir("a/b");
  dir.file("a/b/c", "text\n");
  for (const char* name : {"a/b/c", "/a/b/c", "//a/b/c", "a//b/c", "a/./b/c", "./a/b/c"}) {
    CAPTURE(name);
    CHECK(sys::read_file(dir.fd(), name).value_or("?") == "text\n");
  }
  for (const char* name : {"", ".", "/", "a/b", "a/b/"}) {
    CAPTURE(name);
    CHECK(sys::open_beneath(dir.fd(), name, O_PATH | O_DIRECTORY).has_value());
  }
}

void stays_inside() {
  const ScratchDir dir;
  dir.dir("in");
  dir.file("secret", "x");
  dir.link("in/out", "../secret");
  dir.link("in/abs", dir.path() + "/secret");
  dir.link("in/here", "inner");
  dir.file("in/inner", "y");
  dir.link("in/up", "..");
  const auto in = sys::open_beneath(dir.fd(), "in", O_PATH | O_DIRECTORY);
  REQUIRE(in);
  const auto code = [&](std::string_view name) { return code_of(sys::open_beneath(in->get(), name, O_RDONLY)); };
  CHECK(code("..") == EXDEV);
  CHECK(code("../secret") == EXDEV);
  CHECK(code("inner/../../secret") != 0);
  CHECK(code("../in/inner") == EXDEV);
  // No link at all, not even one that stays inside.
  CHECK(code("out") == ELOOP);
  CHECK(code("abs") == ELOOP);
  CHECK(code("here") == ELOOP);
  CHECK(code("up/secret") == ELOOP);
  CHECK(code("missing") == ENOENT);
  CHECK(code("inner/x") == ENOTDIR);
  CHECK(code(std::string_view("inner\0x", 7)) == EINVAL);
  CHECK(code(std::string(300, 'n')) == ENAMETOOLONG);
  CHECK(code(std::string(5000, '/') + "inner") == 0);
}

void crosses_nothing() {
  const auto root = sys::open_path("/", O_PATH | O_DIRECTORY);
  REQUIRE(root);
  CHECK(code_of(sys::open_beneath(root->get(), "proc/self/status", O_RDONLY)) == EXDEV);
  const auto proc = sys::open_path("/proc", O_PATH | O_DIRECTORY);
  REQUIRE(proc);
  CHECK(code_of(sys::open_beneath(proc->get(), "self/status", O_RDONLY)) == ELOOP);
  const std::string own = std::to_string(getpid());
  CHECK(sys::open_beneath(proc->get(), own + "/status", O_RDONLY).has_value());
  CHECK(code_of(sys::open_beneath(proc->get(), own + "/root/etc/passwd", O_RDONLY)) == ELOOP);
}

void closes_the_rest() {
  const Fd low(open("/dev/null", O_RDONLY | O_CLOEXEC)), kept(fcntl(low.get(), F_DUPFD_CLOEXEC, 20)),
      next(fcntl(low.get(), F_DUPFD_CLOEXEC, 21)), high(fcntl(low.get(), F_DUPFD_CLOEXEC, 200));
  const pid_t child = fork();
  if (child == 0) {
    sys::close_all_but({high.get(), -1, STDERR_FILENO, kept.get(), kept.get()});
    const bool right = is_open(STDERR_FILENO) && is_open(kept.get()) && is_open(high.get()) && !is_open(low.get()) &&
                       !is_open(next.get()) && !is_open(STDIN_FILENO) && !is_open(high.get() + 1);
    _exit(right ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

}  // namespace

TEST_CASE("fd: open_beneath finds what is below") { finds_below(); }
TEST_CASE("fd: open_beneath does not leave its directory") { stays_inside(); }
TEST_CASE("fd: open_beneath crosses no mount and no magic link") { crosses_nothing(); }
TEST_CASE("fd: without openat2, the walk answers the same") {
  bool gone = false;
  const bool ran = cgx::test::without_syscall(SYS_openat2, [&] {
    gone = syscall(SYS_openat2, -1, nullptr, nullptr, 0) < 0 && errno == ENOSYS;
    finds_below();
    stays_inside();
    crosses_nothing();
  });
  if (!ran) CGX_SKIP("seccomp filters are not allowed here");
  CHECK(gone);
}

TEST_CASE("fd: an Fd without a descriptor is invalid") {
  const Fd none;
  CHECK_FALSE(none.valid());
  CHECK(none.get() == -1);
}

TEST_CASE("fd: an Fd closes its descriptor, once, and keeps errno") {
  int raw = -1;
  {
    const Fd fd(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0));
    raw = fd.get();
    REQUIRE(is_open(raw));
    errno = ENOTTY;
  }
  CHECK(errno == ENOTTY);
  CHECK_FALSE(is_open(raw));
  {
    const Fd bad(1 << 20);  // closing it fails with EBADF, which nobody may see
    errno = ENOTTY;
  }
  CHECK(errno == ENOTTY);
}

TEST_CASE("fd: moving an Fd leaves none behind") {
  Fd first(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0));
  const int raw = first.get();
  Fd second(std::move(first));
  CHECK_FALSE(first.valid());  // NOLINT(bugprone-use-after-move): what is left is what is tested
  CHECK(second.get() == raw);
  Fd third(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0));
  const int replaced = third.get();
  third = std::move(second);
  CHECK_FALSE(is_open(replaced));
  CHECK(third.get() == raw);
  Fd& self = third;
  third = std::move(self);
  CHECK(third.get() == raw);
  CHECK(is_open(raw));
  const int released = third.release();
  CHECK_FALSE(third.valid());
  CHECK(is_open(released));
  third.reset(released);
  third.reset(-1);
  CHECK_FALSE(is_open(released));
}

TEST_CASE("fd: close_all_but leaves what is named") { closes_the_rest(); }

TEST_CASE("fd: everything opened is close-on-exec") {
  const ScratchDir dir;
  dir.file("a", "x");
  const auto beneath = sys::open_beneath(dir.fd(), "a", O_RDONLY);
  REQUIRE(beneath);
  CHECK((fcntl(beneath->get(), F_GETFD) & FD_CLOEXEC) != 0);
  const auto path = sys::open_path(dir.path() + "/a", O_RDONLY);
  REQUIRE(path);
  CHECK((fcntl(path->get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("fd: a failed open says the kernel's word") {
  const auto missing = sys::open_path("/nonexistent/cgx", O_RDONLY);
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ENOENT);
  CHECK(missing.error().text() == "/nonexistent/cgx: No such file or directory");
  CHECK(code_of(sys::open_beneath(-1, "a", O_RDONLY)) == EBADF);
}

TEST_CASE("fd: read_all reads any length up to its limit") {
  const ScratchDir dir;
  for (const std::size_t size : {0U, 1U, 4095U, 4096U, 4097U, 100'000U}) {
    CAPTURE(size);
    const std::string text(size, 'x');
    dir.file("f", text);
    CHECK(sys::read_file(dir.fd(), "f").value_or("?") == text);
    CHECK(sys::read_path(dir.path() + "/f").value_or("?") == text);
    const auto fd = sys::open_beneath(dir.fd(), "f", O_RDONLY);
    REQUIRE(fd);
    CHECK(sys::read_all(fd->get(), size).has_value());
    CHECK(sys::read_all(fd->get()).value_or("?").empty());  // from the offset on, which is the end now
    if (size == 0) continue;
    REQUIRE(lseek(fd->get(), 0, SEEK_SET) == 0);
    CHECK(code_of(sys::read_all(fd->get(), size - 1)) == EFBIG);
  }
  dir.file("zero", std::string_view("a\0b", 3));
  CHECK(sys::read_file(dir.fd(), "zero").value_or("?") == std::string_view("a\0b", 3));
  dir.dir("d");
  CHECK(code_of(sys::read_file(dir.fd(), "d")) == EISDIR);
}

TEST_CASE("fd: write_file writes one value and neither makes nor cuts a file") {
  const ScratchDir dir;
  dir.file("f", "long old content");
  REQUIRE(sys::write_file(dir.fd(), "f", "new"));
  CHECK(content(dir.path() + "/f") == "newg old content");
  CHECK(code_of(sys::write_file(dir.fd(), "missing", "x")) == ENOENT);
  CHECK(code_of(sys::write_file(dir.fd(), ".", "x")) == EISDIR);
  CHECK_FALSE(sys::exists(dir.fd(), "missing"));
}

TEST_CASE("fd: a short write is an error") {
  int ends[2];
  REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  const Fd in(ends[0]);
  const Fd out(ends[1]);
  CHECK(code_of(sys::write_fd(out.get(), std::string(1U << 20U, 'x'))) == EIO);
  CHECK(code_of(sys::write_fd(out.get(), "x")) == EAGAIN);
  CHECK(code_of(sys::write_fd(in.get(), "x")) == EBADF);
}

TEST_CASE("fd: make_dir and remove_dir work on the last component, beneath") {
  const ScratchDir dir;
  REQUIRE(sys::make_dir(dir.fd(), "a"));
  REQUIRE(sys::make_dir(dir.fd(), "a/b", 0700));
  struct stat st{};
  REQUIRE(stat((dir.path() + "/a/b").c_str(), &st) == 0);
  CHECK((st.st_mode & 0777U) == 0700U);
  CHECK(code_of(sys::make_dir(dir.fd(), "a")) == EEXIST);
  CHECK(code_of(sys::make_dir(dir.fd(), "x/y")) == ENOENT);
  for (const char* name : {"", ".", "..", "/", "a/", "a/.", "a/..", "../z", "a/../../z"}) {
    CAPTURE(name);
    CHECK(code_of(sys::make_dir(dir.fd(), name)) != 0);
    CHECK(code_of(sys::remove_dir(dir.fd(), name)) != 0);
  }
  CHECK(code_of(sys::make_dir(dir.fd(), std::string_view("q\0r", 3))) == EINVAL);
  CHECK_FALSE(sys::exists(dir.fd(), "q"));
  CHECK(code_of(sys::remove_dir(dir.fd(), std::string_view("a/b\0r", 5))) == EINVAL);
  CHECK(sys::exists(dir.fd(), "a/b"));
  dir.link("l", "a");
  CHECK(code_of(sys::make_dir(dir.fd(), "l/c")) == ELOOP);
  CHECK(code_of(sys::remove_dir(dir.fd(), "l/b")) == ELOOP);
  CHECK(code_of(sys::remove_dir(dir.fd(), "l")) == ENOTDIR);
  CHECK(code_of(sys::remove_dir(dir.fd(), "a")) == ENOTEMPTY);
  REQUIRE(sys::remove_dir(dir.fd(), "a/b"));
  REQUIRE(sys::remove_dir(dir.fd(), "/a"));
  CHECK_FALSE(sys::exists(dir.fd(), "a"));
  REQUIRE(sys::make_dir(dir.fd(), "/lead"));
  CHECK(sys::exists(dir.fd(), "lead"));
}

TEST_CASE("fd: change_owner follows no link") {
  if (geteuid() != 0) CGX_SKIP("needs root to change owners");
  const ScratchDir dir;
  dir.file("f", "");
  dir.link("l", "f");
  REQUIRE(sys::change_owner(dir.fd(), "f", 1234, static_cast<gid_t>(-1)));
  struct stat st{};
  REQUIRE(stat((dir.path() + "/f").c_str(), &st) == 0);
  CHECK(st.st_uid == 1234);
  CHECK(st.st_gid == getegid());
  CHECK(code_of(sys::change_owner(dir.fd(), "l", 1, 1)) == ELOOP);
  REQUIRE(sys::change_owner(dir.fd(), "", static_cast<uid_t>(-1), 4321));
  REQUIRE(stat(dir.path().c_str(), &st) == 0);
  CHECK(st.st_gid == 4321);
}

TEST_CASE("fd: list_dir tells directories from files") {
  const ScratchDir dir;
  dir.dir("d1");
  dir.dir("d2");
  dir.dir("d1/inner");
  dir.file("f", "");
  dir.file(".hidden", "");
  auto names = sys::list_dir(dir.fd(), "", sys::Entries::directories);
  REQUIRE(names);
  std::ranges::sort(*names);
  CHECK(*names == std::vector<std::string>{"d1", "d2"});
  names = sys::list_dir(dir.fd(), ".", sys::Entries::files);
  REQUIRE(names);
  std::ranges::sort(*names);
  CHECK(*names == std::vector<std::string>{".hidden", "f"});
  CHECK(sys::list_dir(dir.fd(), "d1", sys::Entries::directories).value() == std::vector<std::string>{"inner"});
  CHECK(sys::list_dir(dir.fd(), "d2", sys::Entries::directories).value().empty());
  CHECK(code_of(sys::list_dir(dir.fd(), "f", sys::Entries::files)) == ENOTDIR);
  CHECK(code_of(sys::list_dir(dir.fd(), "..", sys::Entries::files)) == EXDEV);
}

TEST_CASE("fd: exists sees files, directories and the directory itself") {
  const ScratchDir dir;
  dir.file("f", "");
  dir.dir("d");
  CHECK(sys::exists(dir.fd(), "f"));
  CHECK(sys::exists(dir.fd(), "d"));
  CHECK(sys::exists(dir.fd(), ""));
  CHECK_FALSE(sys::exists(dir.fd(), "g"));
  CHECK_FALSE(sys::exists(dir.fd(), "../" + dir.path().substr(5)));
}

TEST_CASE("fd: an injected fault stops each kind of change before it happens") {
  const ScratchDir dir;
  dir.file("f", "old");
  dir.dir("d");
  std::vector<std::string> asked;
  const sys::FaultFn fault = [&](std::string_view operation, std::string_view name) {
    asked.push_back(std::string(operation) + " " + std::string(name));
    return ENOSPC;
  };
  sys::inject_faults(&fault);
  const auto write = sys::write_file(dir.fd(), "f", "new");
  const auto make = sys::make_dir(dir.fd(), "n");
  const auto remove = sys::remove_dir(dir.fd(), "d");
  const auto own = sys::change_owner(dir.fd(), "f", 1, 1);
  const auto read = sys::read_file(dir.fd(), "f");
  sys::inject_faults(nullptr);
  CHECK(code_of(write) == ENOSPC);
  CHECK(code_of(make) == ENOSPC);
  CHECK(code_of(remove) == ENOSPC);
  CHECK(code_of(own) == ENOSPC);
  CHECK(asked == std::vector<std::string>{"write f", "mkdir n", "rmdir d", "chown f"});
  CHECK(read.value_or("?") == "old");
  CHECK_FALSE(sys::exists(dir.fd(), "n"));
  CHECK(sys::exists(dir.fd(), "d"));
  CHECK(sys::write_file(dir.fd(), "f", "new").has_value());
}

TEST_CASE("fd: remove_tree needs few descriptors, whatever the depth is, and follows nothing") {
  const ScratchDir top;
  top.file("kept", "x");
  top.dir("tree");
  top.link("tree/out", "..");
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  {
    Fd at(openat(top.fd(), "tree", O_PATH | O_DIRECTORY | O_CLOEXEC));
    for (int i = 0; i < 5000; ++i) {
      REQUIRE(mkdirat(at.get(), "d", 0700) == 0);
      const Fd file(openat(at.get(), "f", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
      at.reset(openat(at.get(), "d", O_PATH | O_DIRECTORY | O_CLOEXEC));
    }
  }
  const Fd highest(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const rlimit few{.rlim_cur = static_cast<rlim_t>(highest.get()) + 5, .rlim_max = before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
  const auto done = sys::remove_tree(top.path() + "/tree");
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(code_of(done) == 0);
  CHECK_FALSE(sys::exists(top.fd(), "tree"));
  CHECK(content(top.path() + "/kept") == "x");
  CHECK(code_of(sys::remove_tree(top.path() + "/tree")) == 0);
}

}  // namespace fd_test
