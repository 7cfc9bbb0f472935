// SPDX-License-Identifier: Apache-2.0
#include "cgx/sys/program.h"

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/process.h"
#include "cgx/sys/text.h"

namespace cgx::sys {
namespace {

// Where this process has come from, if it was told.
std::string& first_program() {
  static std::string path;
  return path;
}

std::string own_directory() {
  std::array<char, PATH_MAX> path{};
  std::string_view whole = first_program();
  if (whole.empty()) {
    const ssize_t n = readlink("/proc/self/exe", path.data(), path.size());
    whole = std::string_view(path.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  }
  const std::size_t slash = whole.rfind('/');
  return slash == std::string_view::npos ? std::string() : std::string(whole.substr(0, slash));
}

// A file in memory: neither side can block on the other, whatever is written.
Result<Fd> memory_file(std::string_view content) {
  Fd fd(memfd_create("cgx", MFD_CLOEXEC));
  if (!fd.valid()) return fail_errno(errno, "memfd_create");
  if (!content.empty()) {
    CGX_CHECK(write_fd(fd.get(), content));
    if (lseek(fd.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "lseek");
  }
  return fd;
}

Result<std::string> content_of(const Fd& fd) {
  if (lseek(fd.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "lseek");
  return read_all(fd.get());
}

// `cgx-net: set: TEXT` and `hint: TEXT`.
Error told(std::string_view program, std::string_view verb, std::string_view err, int status) {
  Error e{.code = EIO, .what = "failed", .fault = status == 2 ? Fault::usage : Fault::system};
  const std::string_view name = program.substr(program.rfind('/') + 1);
  const auto text = lines(err);
  if (!text.empty()) {
    e.what = text[0];
    for (const std::string_view word : {name, verb})
      if (e.what.starts_with(std::string(word) + ": ")) e.what.erase(0, word.size() + 2);
  }
  for (const std::string_view line : text)
    if (line.starts_with("hint: ")) e.hint = line.substr(6);
  return e;
}

}  // namespace

void set_program_path(std::string path) { first_program() = std::move(path); }

Result<std::string> helper_path(std::string_view name) {
  std::vector<std::string> places;
  if (const char* given = std::getenv("CGX_LIBEXEC"); given != nullptr && *given != '\0') places.emplace_back(given);
  const std::string own = own_directory();
  const int code = errno;
  if (!own.empty()) places.insert(places.end(), {own + "/../libexec/cgx", own});
  for (std::string place : places) {
    place.append("/").append(name);
    if (access(place.c_str(), X_OK) == 0) return place;
  }
  if (own.empty())
    return fail(code, fmt::format("the program {} cannot be found: /proc/self/exe: {}", name, errno_text(code)));
  return fail(ENOENT, fmt::format("the program {} is not installed", name));
}

Result<std::string> run_program(const std::string& program,
                                std::span<const std::string> arguments,
                                int passed,
                                std::string_view input) {
  const Fd in = CGX_TRY(memory_file(input));
  const Fd out = CGX_TRY(memory_file({}));
  const Fd err = CGX_TRY(memory_file({}));
  // dup2 onto itself would keep the close-on-exec flag; above the targets it cannot be one of them.
  const Fd high(passed >= 0 ? fcntl(passed, F_DUPFD_CLOEXEC, 10) : -1);
  if (passed >= 0 && !high.valid()) return fail_errno(errno, "dup");
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.get(), STDERR_FILENO);
  if (high.valid()) posix_spawn_file_actions_adddup2(&actions, high.get(), 3);
  pid_t child = -1;
  const int rc = posix_spawn(&child, program.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (rc != 0) return fail_errno(rc, program);
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return fail_errno(errno, "waitpid");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return std::unexpected(told(program,
                                arguments.empty() ? std::string_view() : arguments[0],
                                CGX_TRY(content_of(err)),
                                WIFEXITED(status) ? WEXITSTATUS(status) : -1));
  return content_of(out);
}

std::unexpected<Error> become_helper(std::string_view name, std::vector<std::string> arguments) {
  auto program = helper_path(name);
  if (!program) return std::unexpected(std::move(program).error());
  std::vector<char*> argv{program->data()};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  restore_child_signal();
  (void)execv(program->c_str(), argv.data());
  const int code = errno;
  wait_for_children();
  return fail_errno(code, *program);
}

}  // namespace cgx::sys
