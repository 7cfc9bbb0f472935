// SPDX-License-Identifier: Apache-2.0
#include "daemon/rules/process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>

#include <fcntl.h>
#include <unistd.h>

#include "cgx/sys/fd.h"
#include "cgx/sys/process.h"
#include "cgx/sys/text.h"

namespace cgx::daemon {
namespace {

// The n-th word after `key` in a file like /proc/PID/status: "Uid:\t1000\t1000\t1000\t1000".
std::string_view value_of(std::string_view file, std::string_view key) {
  std::size_t at = file.starts_with(key) ? 0 : std::string_view::npos;
  if (at != 0) {
    const std::string line = "\n" + std::string(key);
    at = file.find(line);
    if (at == std::string_view::npos) return {};
    ++at;
  }
  const std::string_view rest = file.substr(at + key.size());
  return sys::trim(rest.substr(0, rest.find('\n')));
}

template <class Number>
Number first_number(std::string_view text, Number otherwise) {
  const std::string_view word = text.substr(0, text.find_first_of(" \t"));
  const auto n = sys::parse_u64(word, 0, static_cast<Number>(-1) < 0 ? INT_MAX : UINT_MAX);
  return n ? static_cast<Number>(*n) : otherwise;
}

}  // namespace

Process::Process(const Hierarchies& hierarchies, sys::Fd dir, pid_t pid)
    : hierarchies_(&hierarchies), dir_(std::move(dir)), pid_(pid) {}

Process::Process(Process&& other) noexcept
    : hierarchies_(other.hierarchies_),
      dir_(std::move(other.dir_)),
      pid_(other.pid_),
      status_(std::move(other.status_)),
      comm_(std::move(other.comm_)),
      exe_(std::move(other.exe_)),
      exe_error_(other.exe_error_),
      gone_(other.gone_),
      places_(std::move(other.places_)),
      cgroups_(std::move(other.cgroups_)) {}

Result<Process> Process::open(const Hierarchies& hierarchies, int proc, pid_t pid) {
  std::array<char, 16> name{};
  (void)std::to_chars(name.data(), name.data() + name.size() - 1, pid);
  sys::Fd dir(openat(proc, name.data(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!dir.valid() && errno == ENOENT) return fail(ESRCH, errno_text(ESRCH));
  if (!dir.valid()) return fail_errno(errno, "/proc");
  return Process(hierarchies, std::move(dir), pid);
}

std::string Process::read(const char* name) const {
  const sys::Fd file(openat(dir_.get(), name, O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    gone_ = gone_ || errno == ENOENT || errno == ESRCH;
    return {};
  }
  // One read nearly always holds all of it; one with thousands of groups goes on.
  std::array<char, 4096> buffer;
  std::string text;
  while (true) {
    const ssize_t n = ::read(file.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      gone_ = true;  // ESRCH: nothing else can happen to these files
      return {};
    }
    if (n == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(n));
    if (static_cast<std::size_t>(n) < buffer.size() / 2) return text;
  }
}

const ProcessStatus& Process::status() const {
  if (status_) return *status_;
  status_.emplace();
  const std::string text = read("status");
  status_->uid = first_number<uid_t>(value_of(text, "Uid:"), static_cast<uid_t>(-1));
  status_->gid = first_number<gid_t>(value_of(text, "Gid:"), static_cast<gid_t>(-1));
  status_->parent = first_number<pid_t>(value_of(text, "PPid:"), 0);
  for (const std::string_view word : sys::words(value_of(text, "Groups:")))
    status_->groups.push_back(first_number<gid_t>(word, static_cast<gid_t>(-1)));
  return *status_;
}

bool Process::in_group(gid_t gid) const {
  return status().gid == gid || std::ranges::find(status().groups, gid) != status().groups.end();
}

std::string_view Process::comm() const {
  if (!comm_) {
    comm_ = read("comm");
    if (comm_->ends_with('\n')) comm_->pop_back();
  }
  return *comm_;
}

void Process::look_at_exe() const {
  if (exe_) return;
  std::array<char, PATH_MAX> path;
  const ssize_t n = readlinkat(dir_.get(), "exe", path.data(), path.size());
  exe_error_ = n < 0 ? errno : 0;
  gone_ = gone_ || exe_error_ == ESRCH;
  exe_.emplace(path.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  // A program that was replaced on disk while it runs is still the one of that path.
  constexpr std::string_view deleted = " (deleted)";
  if (exe_->ends_with(deleted)) exe_->resize(exe_->size() - deleted.size());
}

std::string_view Process::exe() const {
  look_at_exe();
  return *exe_;
}

bool Process::runs_program() const {
  look_at_exe();
  if (exe_error_ == 0) return true;
  if (exe_error_ != EACCES && exe_error_ != EPERM) return false;
  // Reading the link takes CAP_SYS_PTRACE. Without it: `PID (COMM) STATE PPID PGRP SESSION TTY TPGID FLAGS ...`.
  const auto stat = sys::parse_stat(read("stat"));
  return stat && stat->state != 'Z' && stat->state != 'X' && (stat->flags & sys::kernel_thread_flag) == 0;
}

const std::vector<Place>& Process::places() const {
  if (!places_) places_ = parse_places(read("cgroup"), *hierarchies_);
  return *places_;
}

std::span<const std::string> Process::cgroups() const {
  if (!cgroups_) {
    cgroups_.emplace();
    for (const Place& place : places())
      if (std::ranges::find(*cgroups_, place.group) == cgroups_->end()) cgroups_->push_back(place.group);
  }
  return *cgroups_;
}

// Entries of the directory are not found any more once the process has been waited for.
bool Process::alive() const { return faccessat(dir_.get(), "comm", F_OK, 0) == 0; }

}  // namespace cgx::daemon
