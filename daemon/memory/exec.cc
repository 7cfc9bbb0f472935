// SPDX-License-Identifier: Apache-2.0
#include "daemon/memory/exec.h"

#include <algorithm>
#include <array>
#include <cerrno>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/sys/text.h"

namespace cgx::daemon::memory {
namespace {

// posix_spawn cannot change the user, and a threaded program must not run code of its own between fork and exec.
// setpriv is part of util-linux, which every Debian has.
constexpr const char* setpriv = "/usr/bin/setpriv";
constexpr unsigned most_lines = 20;
constexpr std::size_t longest_line = 160;

struct User {
  uid_t uid = 65534;
  gid_t gid = 65534;
};

Result<User> user_of(const std::string& name) {
  const std::string wanted = name.empty() ? "nobody" : name;
  std::array<char, 4096> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (const auto number = sys::parse_u64(wanted, 0, 0xffff'fffe); number) {
    (void)getpwuid_r(static_cast<uid_t>(*number), &entry, buffer.data(), buffer.size(), &found);
    if (found == nullptr) return User{static_cast<uid_t>(*number), static_cast<gid_t>(*number)};
  } else {
    (void)getpwnam_r(wanted.c_str(), &entry, buffer.data(), buffer.size(), &found);
  }
  if (found == nullptr && wanted == "nobody") return User{};
  if (found == nullptr) return fail(ENOENT, fmt::format("there is no user {}", wanted));
  return User{entry.pw_uid, entry.pw_gid};
}

std::vector<std::string> environment(const Job& job) {
  const Decision& d = job.decision;
  return {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          "LANG=C.UTF-8",
          fmt::format("CGX_GROUP={}", d.group.view()),
          fmt::format("CGX_EVENT={}", d.event.view()),
          fmt::format("CGX_LIMIT_OF={}", d.limit_of.view()),
          fmt::format("CGX_LIMIT={}", d.limit.view()),
          fmt::format("CGX_LIMIT_BYTES={}", d.limit_bytes),
          fmt::format("CGX_USAGE_BYTES={}", d.usage),
          fmt::format("CGX_COUNT={}", d.count),
          fmt::format("CGX_PAUSED={}", job.paused ? 1 : 0)};
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  out.reserve(words.size() + 1);
  for (std::string& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

struct SpawnSettings {
  posix_spawn_file_actions_t files{};
  posix_spawnattr_t attributes{};
  SpawnSettings() {
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawnattr_init(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  ~SpawnSettings() {
    (void)posix_spawn_file_actions_destroy(&files);
    (void)posix_spawnattr_destroy(&attributes);
  }
};

Result<pid_t> spawn(std::vector<std::string> words, std::vector<std::string> variables, int output) {
  SpawnSettings s;
  (void)posix_spawn_file_actions_addopen(&s.files, 0, "/dev/null", O_RDONLY, 0);
  (void)posix_spawn_file_actions_adddup2(&s.files, output, 1);
  (void)posix_spawn_file_actions_adddup2(&s.files, output, 2);
  (void)posix_spawn_file_actions_addchdir_np(&s.files, "/");
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  (void)posix_spawnattr_setsigmask(&s.attributes, &none);
  (void)posix_spawnattr_setsigdefault(&s.attributes, &all);
  (void)posix_spawnattr_setpgroup(&s.attributes, 0);
  (void)posix_spawnattr_setflags(&s.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  auto arguments = pointers(words);
  auto environment = pointers(variables);
  pid_t pid = 0;
  const int code = posix_spawn(&pid, arguments[0], &s.files, &s.attributes, arguments.data(), environment.data());
  if (code != 0) return fail_errno(code, words[0]);
  return pid;
}

}  // namespace

Result<std::vector<std::string>> words_of(const policy::Exec& exec) {
  if (exec.argv.empty()) return fail(EINVAL, "no program is named");
  const User user = CGX_TRY(user_of(exec.user));
  if (user.uid == 0) return exec.argv;
  if (access(setpriv, X_OK) != 0) return fail_errno(errno, fmt::format("{}, which drops the privileges", setpriv));
  std::vector<std::string> words{setpriv,
                                 fmt::format("--reuid={}", user.uid),
                                 fmt::format("--regid={}", user.gid),
                                 "--clear-groups",
                                 "--no-new-privs",
                                 "--inh-caps=-all",
                                 "--"};
  words.insert(words.end(), exec.argv.begin(), exec.argv.end());
  return words;
}

Programs::~Programs() {
  for (const auto& child : children_) {
    (void)kill(-child->pid, SIGKILL);
    (void)waitpid(child->pid, nullptr, 0);
  }
}

void Programs::start(Job job) {
  const auto& exec = std::get<policy::Exec>(job.action->what);
  auto child = std::make_unique<Child>();
  const auto started = [&]() -> Result<> {
    std::vector<std::string> words = CGX_TRY(words_of(exec));
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return fail_errno(errno, "pipe");
    child->output = sys::Fd(ends[0]);
    const sys::Fd writer(ends[1]);
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    child->pid = CGX_TRY(spawn(std::move(words), environment(job), writer.get()));
    return {};
  }();
  if (!started) {
    finish_(job, policy::Outcome::failed, started.error().text());
    return;
  }
  child->pidfd = sys::Fd(static_cast<int>(syscall(SYS_pidfd_open, child->pid, 0)));
  child->deadline = now_micros() + policy::timeout_of(*job.action);
  child->job = std::move(job);
  children_.push_back(std::move(child));
}

Micros Programs::wants(std::vector<pollfd>& fds) const {
  Micros due = never;
  for (const auto& child : children_) {
    if (child->output.valid()) fds.push_back({.fd = child->output.get(), .events = POLLIN, .revents = 0});
    if (child->pidfd.valid()) fds.push_back({.fd = child->pidfd.get(), .events = POLLIN, .revents = 0});
    due = std::min(due, child->pidfd.valid() ? child->deadline : now_micros() + 10'000);
  }
  return due;
}

void Programs::take_line(Child& child) {
  if (child.lines++ == 0) child.first = child.line;
  if (child.lines <= most_lines && !child.line.empty()) line_(child.job, child.line);
  child.line.clear();
}

void Programs::read_output(Child& child) {
  std::array<char, 4096> buffer;
  // A bound, so that a program that writes without end does not keep the others waiting.
  for (int round = 0; round < 16 && child.output.valid(); ++round) {
    const ssize_t n = read(child.output.get(), buffer.data(), buffer.size());
    if (n < 0) return;
    if (n == 0) child.output.reset(-1);
    for (const char c : std::string_view(buffer.data(), static_cast<std::size_t>(n))) {
      if (c == '\n')
        take_line(child);
      else if (child.line.size() < longest_line)
        child.line += static_cast<unsigned char>(c) < ' ' ? '?' : c;
    }
  }
}

// Waits for it without blocking; true: it has ended, and what it said and did is told.
bool Programs::ended(Child& child) {
  int status = 0;
  const pid_t got = waitpid(child.pid, &status, WNOHANG);
  if (got == 0) return false;
  read_output(child);
  if (!child.line.empty()) take_line(child);
  std::string what;
  bool good = false;
  if (child.timed_out) {
    what = fmt::format("killed after {}", sys::format_time(policy::timeout_of(*child.job.action)));
  } else if (got > 0 && WIFEXITED(status)) {
    good = WEXITSTATUS(status) == 0;
    what = fmt::format("status {}", WEXITSTATUS(status));
  } else {
    what = fmt::format("signal {}", got > 0 ? WTERMSIG(status) : 0);
  }
  if (!child.first.empty()) what += ": " + child.first;
  finish_(child.job, good ? policy::Outcome::done : policy::Outcome::failed, what);
  return true;
}

void Programs::step() {
  const Micros now = now_micros();
  for (std::size_t i = 0; i < children_.size();) {
    Child& child = *children_[i];
    if (child.output.valid()) read_output(child);
    if (now >= child.deadline) {
      child.timed_out = true;
      child.deadline = now + 1'000'000;
      // With all that it has started; the number is its own until it is waited for.
      (void)kill(-child.pid, SIGKILL);
    }
    if (ended(child))
      children_.erase(children_.begin() + static_cast<std::ptrdiff_t>(i));
    else
      ++i;
  }
}

}  // namespace cgx::daemon::memory
