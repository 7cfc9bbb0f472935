// SPDX-License-Identifier: Apache-2.0
#include "cgx/cgroupfs/lock.h"

#include <chrono>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "cgx/sys/own_dir.h"

#include "skip.h"

namespace lock_test {

using namespace cgx;
using How = TreeLock::How;

TEST_CASE("lock: alone keeps the others out, shared lets sharers in") {
  const auto found = Hierarchies::discover();
  if (!found || found->of(Controller::core) == nullptr) CGX_SKIP("no cgroup hierarchy is mounted");
  TreeLock first;
  REQUIRE(first.take(*found, How::shared).has_value());
  CHECK_FALSE(first.alone());
  TreeLock second;
  CHECK(second.take(*found, How::shared).has_value());
  second.release();
  REQUIRE(first.take(*found, How::alone).has_value());
  CHECK(first.alone());
  CHECK(first.take(*found, How::shared).has_value());  // asking for less changes nothing
  CHECK(first.alone());
  const auto start = std::chrono::steady_clock::now();
  std::jthread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    first.release();
  });
  CHECK(second.take(*found, How::shared).has_value());
  CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(90));
}

TEST_CASE("lock: what others can lock holds root up for nothing") {
  const auto found = Hierarchies::discover();
  if (!found || found->of(Controller::core) == nullptr) CGX_SKIP("no cgroup hierarchy is mounted");
  if (geteuid() != 0 || !sys::open_own_dir("/run/cgx", 0755)) CGX_SKIP("needs root and a /run/cgx that can be written");
  constexpr uid_t nobody = 65534;
  // A user who holds what everybody may open, and says so by closing the pipe's end.
  int ready[2];
  int done[2];
  REQUIRE(pipe2(ready, O_CLOEXEC) == 0);
  REQUIRE(pipe2(done, O_CLOEXEC) == 0);
  const pid_t holder = fork();
  REQUIRE(holder >= 0);
  if (holder == 0) {
    close(done[1]);
    if (setresgid(nobody, nobody, nobody) != 0 || setresuid(nobody, nobody, nobody) != 0) _exit(2);
    TreeLock users;  // users have a lock of their own
    const auto taken = users.take(*found, How::alone);
    char byte = taken ? 'y' : 'n';
    if (write(ready[1], &byte, 1) != 1) _exit(3);
    (void)read(done[0], &byte, 1);  // until the other end is closed
    _exit(taken ? 0 : 4);
  }
  close(ready[1]);
  close(done[0]);
  char byte = 0;
  CHECK(read(ready[0], &byte, 1) == 1);
  CHECK(byte == 'y');
  TreeLock roots;
  CHECK(roots.take(*found, How::alone).has_value());  // ETIMEDOUT after 30 s where it waits for that user
  struct stat st{};
  REQUIRE(stat("/run/cgx/tree.lock", &st) == 0);
  CHECK((st.st_mode & 07777U) == 0600);
  CHECK(st.st_uid == 0);
  close(done[1]);
  close(ready[0]);
  int status = 0;
  CHECK(waitpid(holder, &status, 0) == holder);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

}  // namespace lock_test
