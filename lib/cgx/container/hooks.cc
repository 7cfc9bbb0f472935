// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/launch.h"
#include "cgx/container/program.h"
#include "cgx/sys/fd.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

constexpr std::size_t most_output = 2048;

Result<sys::Fd> memory_file(const char* name, std::string_view content) {
  sys::Fd fd(memfd_create(name, MFD_CLOEXEC));
  if (!fd.valid()) return fail_errno(errno, "memfd_create");
  if (!content.empty()) CGX_CHECK(sys::write_fd(fd.get(), content));
  if (lseek(fd.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "lseek");
  return fd;
}

std::string output_of(const sys::Fd& file) {
  std::array<char, most_output> text;
  const ssize_t n = pread(file.get(), text.data(), text.size(), 0);
  return n <= 0 ? std::string() : std::string(sys::trim(std::string_view(text.data(), static_cast<std::size_t>(n))));
}

// The hook is of a process group of its own, so that what it has started goes with it where it is over its time.
Result<pid_t> start(const Hook& hook, const HookInput& input, int in, int out) {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&files, out, STDERR_FILENO);
  // A bundle may have been removed before the hooks that come after the container's end.
  const sys::Fd directory(open(input.directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (directory.valid()) posix_spawn_file_actions_addfchdir_np(&files, directory.get());
  posix_spawn_file_actions_addclosefrom_np(&files, 3);
  sigset_t set;
  sigemptyset(&set);
  posix_spawnattr_setsigmask(&attributes, &set);
  sigfillset(&set);
  posix_spawnattr_setsigdefault(&attributes, &set);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  const std::vector<std::string> words = hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args;
  const std::vector<char*> argv = pointers_to(words);
  const std::vector<std::string>* given = hook.env ? &*hook.env : input.env;
  const std::vector<char*> env = given != nullptr ? pointers_to(*given) : std::vector<char*>();
  pid_t pid = -1;
  const int rc =
      posix_spawn(&pid, hook.path.c_str(), &files, &attributes, argv.data(), given != nullptr ? env.data() : environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (rc != 0) return fail_errno(rc, "fork/exec " + hook.path);
  return pid;
}

// False: it was over its time.
Result<bool> wait_until(pid_t pid, unsigned seconds) {
  const sys::Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) return fail_errno(errno, "pidfd_open");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    pollfd wait{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    const int n = poll(&wait, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000)));
    if (n > 0) return true;
    if (n == 0 && left <= 0) return false;
    if (n < 0 && errno != EINTR) return fail_errno(errno, "poll");
  }
}

// In the words of other runtimes: "exit status 7", "signal: killed".
std::string status_text(int status) {
  if (WIFEXITED(status)) return fmt::format("exit status {}", WEXITSTATUS(status));
  const char* known = sigdescr_np(WTERMSIG(status));
  if (known == nullptr) return fmt::format("signal: signal {}", WTERMSIG(status));
  std::string text = known;
  text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return fmt::format("signal: {}{}", text, WCOREDUMP(status) ? " (core dumped)" : "");
}

Result<> run(const Hook& hook, const HookInput& input) {
  const sys::Fd in = CGX_TRY(memory_file("state", input.state));
  const sys::Fd out = CGX_TRY(memory_file("output", {}));
  // Both streams go to its end, whoever of them writes.
  (void)fcntl(out.get(), F_SETFL, O_APPEND);
  const pid_t pid = CGX_TRY(start(hook, input, in.get(), out.get()));
  bool in_time = true;
  if (hook.timeout) {
    const auto ended = wait_until(pid, *hook.timeout);
    in_time = ended && *ended;
    if (!in_time) (void)kill(-pid, SIGKILL);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return fail_errno(errno, "waitpid");
  if (!in_time) return fail(ETIMEDOUT, fmt::format("hook ran past specified timeout of {}s", *hook.timeout));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return fail(EIO, fmt::format("error running hook: {}, output: {}", status_text(status), output_of(out)));
}

}  // namespace

Result<> run_hooks(const std::vector<Hook>& hooks, std::string_view kind, const HookInput& input) {
  for (std::size_t i = 0; i < hooks.size(); ++i)
    if (auto done = run(hooks[i], input); !done)
      return fail(done.error().code, fmt::format("error running {} hook #{}: {}", kind, i, done.error().what));
  return {};
}

}  // namespace cgx::container
