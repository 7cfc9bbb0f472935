// SPDX-License-Identifier: Apache-2.0
#include "cgx/container/program.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <ranges>

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/container/credentials.h"
#include "cgx/sys/text.h"

namespace cgx::container {
namespace {

std::string_view value_of(const std::vector<std::string>& env, std::string_view name) {
  // The last one counts, as for programs that read it into a table.
  for (auto entry = env.rbegin(); entry != env.rend(); ++entry)
    if (entry->size() > name.size() && entry->starts_with(name) && (*entry)[name.size()] == '=')
      return std::string_view(*entry).substr(name.size() + 1);
  return {};
}

bool has(const std::vector<std::string>& env, std::string_view name) {
  return std::ranges::any_of(env, [&](const std::string& entry) {
    return entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=';
  });
}

// The kernel's sentences begin with a capital, those that engines look for do not.
std::string small(int code) {
  std::string text = errno_text(code);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

// 0, or why it cannot be executed by the user that this process is.
int executable(const std::string& path) {
  struct stat st{};
  if (stat(path.c_str(), &st) != 0) return errno;
  if (S_ISDIR(st.st_mode)) return EISDIR;
  // By the effective ids and capabilities, as execve(2) looks.
  if (syscall(SYS_faccessat2, AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0) return 0;
  if (errno != ENOSYS && errno != EPERM) return EACCES;
  return (st.st_mode & 0111U) != 0 ? 0 : EACCES;
}

}  // namespace

Result<Passed> passed_descriptors(int preserve) {
  Passed passed;
  const char* pid = std::getenv("LISTEN_PID");
  const char* fds = std::getenv("LISTEN_FDS");
  const auto is_passed = [](int fd) {
    const int flags = fcntl(fd, F_GETFD);
    return flags >= 0 && (flags & FD_CLOEXEC) == 0;
  };
  if (fds != nullptr) {
    const auto owner = sys::parse_u64(pid != nullptr ? pid : "");
    const int count = static_cast<int>(sys::parse_u64(fds, 0, 1024).value_or(0));
    if (owner && *owner == static_cast<std::uint64_t>(getpid())) passed.listening = count;
    // Callers that cannot know the pid of what they start leave it out: then the sockets tell whether they are meant.
    if (pid == nullptr && std::ranges::all_of(std::views::iota(3, 3 + count), is_passed)) passed.listening = count;
  }
  if (preserve < 0 || preserve > 65536) return fail(EINVAL, fmt::format("cannot preserve {} descriptors", preserve));
  passed.first_closed = 3 + passed.listening + preserve;
  // Of those that are preserved callers name the last, and not all are open. What is opened here is closed by
  // execve(2).
  for (int fd = 3; fd < 3 + passed.listening; ++fd) {
    const int flags = fcntl(fd, F_GETFD);
    if (flags < 0) return fail(EBADF, fmt::format("descriptor {} is to be passed on, and is not open", fd));
    if ((flags & FD_CLOEXEC) != 0)
      return fail(EBADF, fmt::format("descriptor {} is to be passed on, and is not the caller's", fd));
  }
  return passed;
}

Result<> close_at_exec(int first) {
  if (syscall(SYS_close_range, static_cast<unsigned>(first), ~0U, CLOSE_RANGE_CLOEXEC) == 0) return {};
  return fail_errno(errno, "close_range");  // Linux 5.11
}

Result<> close_but(const Passed& passed, std::vector<int> kept) {
  std::ranges::sort(kept);
  // Callers name the last one that they pass on; what is open below it may be this program's own.
  for (int fd = 3; fd < passed.first_closed; ++fd) {
    const int flags = fcntl(fd, F_GETFD);
    if (flags >= 0 && (flags & FD_CLOEXEC) != 0 && !std::ranges::binary_search(kept, fd)) close(fd);
  }
  kept.push_back(INT_MAX);
  int first = passed.first_closed;
  for (const int next : kept) {
    if (next < first) continue;
    if (next > first && syscall(SYS_close_range, static_cast<unsigned>(first), static_cast<unsigned>(next - 1), 0) != 0)
      return fail_errno(errno, "close_range");
    first = next == INT_MAX ? next : next + 1;
  }
  return {};
}

Result<> enter_directory(const std::string& path) {
  if (chdir(path.c_str()) != 0) return fail_errno(errno, "chdir to cwd (\"" + path + "\")");
  // The system call itself, since glibc would look for a name where the kernel says "(unreachable)".
  std::array<char, PATH_MAX> name{};
  const long n = syscall(SYS_getcwd, name.data(), name.size());
  // ENOENT: it was removed, of which nobody can say where it was.
  if (n < 0 && errno != ENOENT) return fail_errno(errno, "getcwd");
  if (n < 0 || name[0] != '/') return fail(ENOENT, "cwd (\"" + path + "\") is outside of the container's root");
  return {};
}

Result<std::string> find_program(const std::string& name, const std::vector<std::string>& env) {
  const auto refused = [&](int code) {
    if (code == EACCES) return fail(EACCES, fmt::format("exec: \"{}\": permission denied", name));
    // With the kernel's word for it (EACCES), by which podman finds the exit status 126.
    if (code == EISDIR) return fail(EACCES, fmt::format("exec: \"{}\": is a directory: permission denied", name));
    return fail(code, fmt::format("exec: \"{0}\": stat {0}: {1}", name, small(code)));
  };
  if (name.find('/') != std::string::npos) {
    if (const int code = executable(name); code != 0) return refused(code);
    return name;
  }
  std::string doubt;
  if (!name.empty())
    for (const std::string_view dir : sys::split(value_of(env, "PATH"), ':')) {
      std::string path = fmt::format("{}/{}", dir.empty() ? "." : dir, name);
      const int code = executable(path);
      if (code == 0) return path;
      // What the search goes past, as Docker's does; who looks for the program should know of it.
      if (code != ENOENT && code != ENOTDIR && doubt.empty()) doubt = fmt::format(" ({}: {})", path, small(code));
    }
  return fail(ENOENT, fmt::format("exec: \"{}\": executable file not found in $PATH{}", name, doubt));
}

std::vector<std::string> environment_of(const Process& process, int listening) {
  std::vector<std::string> env = process.env;
  if (!has(env, "HOME")) env.push_back("HOME=" + home_of(process.user.uid));
  if (listening > 0) {
    std::erase_if(env,
                  [](const std::string& e) { return e.starts_with("LISTEN_FDS=") || e.starts_with("LISTEN_PID="); });
    env.push_back(fmt::format("LISTEN_FDS={}", listening));
    env.push_back(fmt::format("LISTEN_PID={}", getpid()));
  }
  return env;
}

std::vector<char*> pointers_to(const std::vector<std::string>& words) {
  std::vector<char*> list;
  list.reserve(words.size() + 1);
  for (const std::string& word : words) list.push_back(const_cast<char*>(word.c_str()));  // execve's old prototype
  list.push_back(nullptr);
  return list;
}

void reset_signals() {
  for (int number = 1; number < 32; ++number)
    if (number != SIGKILL && number != SIGSTOP) (void)signal(number, SIG_DFL);
}

}  // namespace cgx::container
