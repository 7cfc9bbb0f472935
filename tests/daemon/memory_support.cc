// SPDX-License-Identifier: Apache-2.0
#include "memory_support.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/sys/text.h"

namespace cgx::test {
namespace {

using Clock = std::chrono::steady_clock;

bool matches(const daemon::Decision& d,
             const std::string& event,
             const std::string& action,
             const std::string& result) {
  return (event.empty() || d.event.view() == event) && (action.empty() || d.action.view() == action) &&
         (result.empty() || d.result.view() == result);
}

}  // namespace

std::string no_memory_events() {
  if (geteuid() != 0) return "needs root";
  const auto hierarchies = Hierarchies::discover();
  if (!hierarchies) return hierarchies.error().text();
  if (hierarchies->of(Controller::memory) == nullptr) return "needs the memory controller";
  return {};
}

bool memory_on_v1(const Hierarchies& hierarchies) {
  const Hierarchy* h = hierarchies.of(Controller::memory);
  return h != nullptr && h->version() == Version::v1;
}

MemoryGroup::MemoryGroup(const std::string& limit, const std::string& below)
    : hierarchies_(Hierarchies::discover().value()), group_(hierarchies_), name_(group_.name()) {
  if (below.empty()) {
    make(name_, limit);
    return;
  }
  make(name_, "");
  name_ += "/" + below;
  make(name_, limit);
}

std::string MemoryGroup::child(const std::string& name, const std::string& limit) const {
  const std::string full = name_ + "/" + name;
  make(full, limit);
  return full;
}

void MemoryGroup::make(const std::string& name, const std::string& limit) const {
  Desired desired;
  desired.group = name;
  desired.existing = Existing::allow;
  desired.need.add(Controller::memory);
  if (!limit.empty()) desired.limits.push_back(test::limit("mem", limit));
  if (!limit.empty() && v1()) {
    // So that the order of both limits matters where the host has both.
    if (sys::exists(*hierarchies_.of(Controller::memory)->root(), "memory.memsw.limit_in_bytes"))
      desired.limits.push_back(test::limit("memsw", limit));
  }
  Transaction transaction(hierarchies_);
  if (const auto done = transaction.apply(desired); !done) throw std::runtime_error(done.error().text());
  transaction.commit();
}

std::string MemoryGroup::path(const std::string& file, const std::string& group) const {
  return hierarchies_.of(Controller::memory)->path(group.empty() ? name_ : group, file);
}

std::string MemoryGroup::read(const std::string& v1_file, const std::string& v2_file, const std::string& group) const {
  return content(path(v1() ? v1_file : v2_file, group));
}

void MemoryGroup::write(const std::string& v1_file, const std::string& v2_file, const std::string& text) const {
  const int fd = open(path(v1() ? v1_file : v2_file).c_str(), O_WRONLY | O_CLOEXEC);
  const bool good = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(fd);
  if (!good) throw std::runtime_error("cannot write " + text);
}

std::uint64_t MemoryGroup::limit(const std::string& group) const {
  return sys::parse_u64(sys::trim(read("memory.limit_in_bytes", "memory.max", group))).value_or(sys::unlimited);
}

std::uint64_t MemoryGroup::kills(const std::string& group) const {
  return sys::keyed_u64(read("memory.oom_control", "memory.events", group), "oom_kill").value_or(0);
}

bool MemoryGroup::under_oom() const {
  return sys::keyed_u64(read("memory.oom_control", "memory.events"), "under_oom") == 1;
}

Eater::Eater(const Hierarchies& hierarchies,
             const std::string& group,
             const std::string& mode,
             unsigned size,
             unsigned pause_us) {
  std::vector<std::string> words{helper("eater"), mode, std::to_string(size), std::to_string(pause_us)};
  const Cgroup cgroup(hierarchies, group);
  for (const Hierarchy* h : cgroup.present())
    words.push_back(h->path(group, h->version() == Version::v1 ? "tasks" : "cgroup.procs"));
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  int out[2], in[2];
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(in, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, out[1], 1);
  posix_spawn_file_actions_adddup2(&files, in[0], 0);
  const int code = posix_spawn(&pid_, arguments[0], &files, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  close(out[1]);
  close(in[0]);
  output_ = sys::Fd(out[0]);
  input_ = sys::Fd(in[1]);
  (void)fcntl(output_.get(), F_SETFL, O_NONBLOCK);
  if (code != 0) throw std::runtime_error("cannot start " + words[0]);
  if (!says("in\n")) throw std::runtime_error("the eater did not join: " + said_);
}

Eater::~Eater() {
  if (status_ != -1) return;
  kill(pid_, SIGKILL);
  (void)ends();
}

bool Eater::says(const std::string& text, std::chrono::milliseconds limit) {
  return wait_until(
      [&] {
        std::array<char, 256> buffer;
        const ssize_t n = ::read(output_.get(), buffer.data(), buffer.size());
        if (n > 0) said_.append(buffer.data(), static_cast<std::size_t>(n));
        return said_.find(text) != std::string::npos;
      },
      limit);
}

int Eater::ends(std::chrono::milliseconds limit) {
  if (status_ == -1)
    (void)wait_until(
        [&] {
          int status = 0;
          if (waitpid(pid_, &status, WNOHANG) != pid_) return false;
          status_ = status;
          return true;
        },
        limit);
  return status_;
}

void Eater::go() { (void)!::write(input_.get(), "x", 1); }
void Eater::signal(int number) const { kill(pid_, number); }

bool wait_until(const std::function<bool()>& true_yet, std::chrono::milliseconds limit) {
  const auto end = Clock::now() + limit;
  while (!true_yet()) {
    if (Clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

Daemon::Daemon(const Hierarchies& hierarchies, daemon::MemoryThread::Options options) {
  options.state_dir = state_.path();
  options.lock_memory = false;  // of the tests' own memory, for good: the parts' test does it in a process of its own
  auto started = daemon::MemoryThread::start(hierarchies, options);
  if (!started) throw std::runtime_error(started.error().text());
  memory_ = *std::move(started);
}

std::vector<policy::Problem> Daemon::watch(const std::vector<policy::GroupPolicy>& groups,
                                           const std::vector<std::string>& also) {
  policy::Policies policies;
  policies.groups = groups;
  return memory_->watch(policies, also);
}

const std::vector<daemon::Decision>& Daemon::decisions() {
  if (memory_ != nullptr) (void)memory_->take(decisions_);
  return decisions_;
}

const daemon::Decision* Daemon::decided(const std::string& event,
                                        const std::string& action,
                                        const std::string& result,
                                        std::chrono::milliseconds limit) {
  const daemon::Decision* found = nullptr;
  (void)wait_until(
      [&] {
        for (const daemon::Decision& d : decisions())
          if (matches(d, event, action, result)) {
            found = &d;
            return true;
          }
        return false;
      },
      limit);
  return found;
}

std::size_t Daemon::count(const std::string& event, const std::string& action, const std::string& result) {
  return static_cast<std::size_t>(
      std::ranges::count_if(decisions(), [&](const daemon::Decision& d) { return matches(d, event, action, result); }));
}

std::string Daemon::text() {
  std::string text;
  for (const daemon::Decision& d : decisions())
    text += fmt::format("{} {} of {}: {} {} ({}) pid {} took {} us; ",
                        d.group.view(),
                        d.event.view(),
                        d.limit_of.view(),
                        d.action.view(),
                        d.result.view(),
                        d.detail.view(),
                        d.pid,
                        d.took);
  return text;
}

policy::GroupPolicy pausing(const std::string& group, std::vector<policy::Action> actions) {
  policy::GroupPolicy g = observing(group, std::move(actions));
  g.oom = policy::OomMode::pause;
  g.pause_max = 30'000'000;
  return g;
}

policy::GroupPolicy observing(const std::string& group, std::vector<policy::Action> actions) {
  policy::GroupPolicy g;
  g.name = group;
  g.on_oom = std::move(actions);
  for (std::size_t i = 0; i < g.on_oom.size(); ++i) g.on_oom[i].place = {"test.yaml", static_cast<unsigned>(i + 1), 1};
  return g;
}

policy::Action raise(std::uint64_t bytes, std::uint64_t up_to) {
  return action(policy::Raise{.by = {.bytes = bytes, .percent = 0}, .up_to = up_to, .decay_after = 0});
}

policy::Action killing(policy::Pick pick, int signal, std::uint64_t grace) {
  return action(policy::Kill{.pick = pick, .protect = {}, .signal = signal, .grace = grace});
}

policy::Action exec(std::vector<std::string> argv, std::uint64_t timeout) {
  policy::Action a = action(policy::Exec{.argv = std::move(argv), .user = {}});
  a.timeout = timeout;
  return a;
}

}  // namespace cgx::test
