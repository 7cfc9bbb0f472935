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
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/channel.h"
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

// What is in the process of a hook up to its program. Answers an errno.
int become_hook(const Hook& hook, const HookInput& input, int in, int output) {
  const int out = input.out >= 0 ? input.out : output;
  const int err = input.err >= 0 ? input.err : output;
  reset_signals();
  sigset_t none;
  sigemptyset(&none);
  (void)sigprocmask(SIG_SETMASK, &none, nullptr);
  const std::vector<std::string> words = hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args;
  const std::vector<char*> argv = pointers_to(words);
  const std::vector<std::string>* given = hook.env ? &*hook.env : input.env;
  const std::vector<char*> env = given != nullptr ? pointers_to(*given) : std::vector<char*>();
  if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0) return errno;
  // A bundle may have been removed before the hooks that come after the container's end.
  (void)!chdir(input.directory.c_str());
  if (const auto closed = close_at_exec(3); !closed) return closed.error().code;
  if (input.confine)
    if (const auto confined = input.confine(); !confined) return confined.error().code;
  (void)execve(hook.path.c_str(), argv.data(), given != nullptr ? env.data() : environ);
  return errno;
}

// The hook is of a process group of its own, so that what it has started goes with it where it is over its time.
Result<pid_t> start(const Hook& hook, const HookInput& input, int in, int out) {
  // Memory of both says what went wrong, since the filter of a hook may refuse to write it anywhere.
  const SharedProgress shared;
  Progress* progress = shared.get();
  if (progress == nullptr) return fail_errno(ENOMEM, "mmap");
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
  const sys::Fd reading(ends[0]);
  sys::Fd writing(ends[1]);
  const pid_t pid = fork();
  if (pid < 0) return fail_errno(errno, "fork " + hook.path);
  if (pid == 0) {
    (void)setpgid(0, 0);
    progress->fail(become_hook(hook, input, in, out), {});
    _exit(127);
  }
  (void)setpgid(pid, pid);  // whoever is first; EACCES where the program is executed already
  writing.reset(-1);
  char end = 0;  // comes when the program is executed, or the process has ended
  while (read(reading.get(), &end, 1) < 0 && errno == EINTR) continue;
  if (!progress->failed) return pid;
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) continue;
  return fail_errno(progress->code, "fork/exec " + hook.path);
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
  Result<bool> in_time = true;
  if (hook.timeout) in_time = wait_until(pid, *hook.timeout);
  if (!in_time || !*in_time) (void)kill(-pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return fail_errno(errno, "waitpid");
  if (!in_time) return located(Result<>(std::unexpected(in_time.error())), "", hook.path);
  if (!*in_time) return fail(ETIMEDOUT, fmt::format("hook ran past specified timeout of {}s", *hook.timeout));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return fail(EIO, fmt::format("error running hook: {}, output: {}", status_text(status), output_of(out)));
}

// What is appended to, and made where it is missing. A pipe that nobody reads is an error and no wait.
Result<sys::Fd> open_stream(const Spec& spec, std::string_view annotation) {
  const std::string path(spec.annotation(annotation));
  if (path.empty()) return sys::Fd();
  const auto failed = [&] { return fail_errno(errno, fmt::format("annotation {}: open {}", annotation, path)); };
  sys::Fd file(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600));
  if (!file.valid() || fcntl(file.get(), F_SETFL, O_APPEND) != 0) return failed();
  return file;
}

}  // namespace

Result<HookStreams> open_hook_streams(const Spec& spec) {
  HookStreams streams;
  streams.out = CGX_TRY(open_stream(spec, "run.oci.hooks.stdout"));
  streams.err = CGX_TRY(open_stream(spec, "run.oci.hooks.stderr"));
  return streams;
}

Result<> run_hooks(const std::vector<Hook>& hooks, std::string_view kind, const HookInput& input) {
  for (std::size_t i = 0; i < hooks.size(); ++i)
    if (auto done = run(hooks[i], input); !done)
      return fail(done.error().code, fmt::format("error running {} hook #{}: {}", kind, i, done.error().what));
  return {};
}

}  // namespace cgx::container
