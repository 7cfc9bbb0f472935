// SPDX-License-Identifier: Apache-2.0
#include "rules_support.h"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgx/cgroupfs/cgroup.h"
#include "cgx/cgroupfs/place.h"
#include "cgx/sys/text.h"

namespace cgx::test {

Program::Program(const ScratchDir& dir) {
  static std::atomic<unsigned> count = 0;
  comm_ = "cgt-" + std::to_string(getpid()) + "-" + std::to_string(++count);
  if (comm_.size() > 15) throw std::runtime_error(comm_ + " is too long for a command name");
  path_ = dir.path() + "/" + comm_;
  std::filesystem::copy_file(helper("sorted"), path_);
}

Started::Started(const std::vector<std::string>& words) {
  int in[2];
  int out[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  const sys::Fd child_in(in[0]);
  const sys::Fd child_out(out[1]);
  in_ = sys::Fd(in[1]);
  out_ = sys::Fd(out[0]);
  std::vector<std::string> all{"sh", "-c", "\"$@\"; exit $?", "sh"};
  all.insert(all.end(), words.begin(), words.end());
  std::vector<char*> argv;
  for (std::string& word : all) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, child_in.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, child_out.get(), STDOUT_FILENO);
  const int rc = posix_spawn(&shell_, "/bin/sh", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (rc != 0) throw std::runtime_error("posix_spawn");
}

Started::~Started() { (void)end(); }

std::string Started::line() {
  std::string text;
  char byte = 0;
  while (read(out_.get(), &byte, 1) == 1 && byte != '\n') text += byte;
  return text;
}

pid_t Started::pid() {
  const auto n = sys::parse_u64(line());
  return n ? static_cast<pid_t>(*n) : -1;
}

void Started::go() { (void)!write(in_.get(), "\n", 1); }

int Started::end() {
  in_.reset(-1);
  if (shell_ < 0) return -1;
  int status = 0;
  while (waitpid(shell_, &status, 0) < 0 && errno == EINTR) {
  }
  shell_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

Sorted::Sorted(Hierarchies found, daemon::Sorter::Options options)
    : hierarchies(std::move(found)), group(hierarchies), program(scratch) {
  auto started = daemon::Sorter::start(hierarchies, options);
  if (started)
    sorter = *std::move(started);
  else
    why = started.error().text();
}

bool Sorted::rules(std::vector<policy::Rule> rules) const {
  const auto before = sorter->stats().rescans;
  sorter->set_rules(std::move(rules));
  return soon([&] { return sorter->stats().rescans > before; });
}

bool Sorted::in(pid_t pid, const std::string& name) const { return is_in(hierarchies, pid, name); }

std::string Sorted::failures() const {
  std::string text;
  for (const std::string& failure : sorter->take_failures()) text += failure + "; ";
  return text;
}

std::optional<Hierarchies> hierarchies_of_host() {
  auto found = Hierarchies::discover();
  return found ? std::optional(std::move(*found)) : std::nullopt;
}

bool soon(const std::function<bool()>& is_true) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!is_true()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

bool is_in(const Hierarchies& hierarchies, pid_t pid, const std::string& group) {
  const auto places = places_of(hierarchies, pid);
  if (!places) return false;
  const Cgroup there(hierarchies, group);
  if (there.present().empty()) return false;
  return std::ranges::all_of(there.present(), [&](const Hierarchy* h) {
    return std::ranges::any_of(*places, [&](const Place& p) { return p.hierarchy == h && p.group == group; });
  });
}

}  // namespace cgx::test
