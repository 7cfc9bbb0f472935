// SPDX-License-Identifier: Apache-2.0
// How long a process waits that has come to the limit of its group: for the floor (memory_floor.c), and for cgxd's
// memory thread with 1, 100 and 1,000 groups watched. v1, where a group waits.
//   memory [TRIALS]
// Prints a table; exits with 1, and says why, where fewer trials than that came to pass.
#include "daemon/memory/memory.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "cgx/cgroupfs/tasks.h"
#include "cgx/change/plan.h"

#include "memory_floor.h"

using namespace cgx;

namespace {

constexpr std::int64_t mib = 1 << 20;
constexpr std::int64_t first_limit = 20 * mib;
constexpr std::int64_t step = 512 * 1024;  // of each raise

// Written by the memory thread at each wake.
std::array<std::int64_t, 65536> wakes;
std::atomic<std::size_t> wake_count{0};
void note_wake(std::string_view where) {
  if (where == "wake") wakes[wake_count++ % wakes.size()] = now_ns();
}

bool make(const Hierarchies& h, const std::string& name) {
  return sys::make_dir(*h.of(Controller::memory)->root(), name).has_value();
}

// A process that uses memory in the group, from go() on.
class Toucher {
 public:
  Toucher(const Hierarchies& h, const std::string& group, std::int64_t bytes) {
    void* p = mmap(nullptr, sizeof(stalls), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared_ = static_cast<stalls*>(p);
    const std::string tasks = h.of(Controller::memory)->path(group, "tasks");
    pid_ = fork();
    if (pid_ != 0) return;
    const int fd = open(tasks.c_str(), O_WRONLY | O_CLOEXEC);
    if (write(fd, "0", 1) != 1) _exit(1);
    (void)setpriority(PRIO_PROCESS, 0, -20);
    raise(SIGSTOP);
    touch_pages(shared_, bytes);
    for (;;) pause();
  }
  Toucher(const Toucher&) = delete;
  Toucher& operator=(const Toucher&) = delete;
  ~Toucher() {
    shared_->stop = 1;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    munmap(shared_, sizeof(stalls));
  }
  void go() const {
    int status = 0;
    waitpid(pid_, &status, WUNTRACED);
    kill(pid_, SIGCONT);
  }
  [[nodiscard]] const stalls& seen() const { return *shared_; }

 private:
  pid_t pid_ = -1;
  stalls* shared_ = nullptr;
};

struct Times {
  std::vector<double> reaction, stall;  // microseconds
};

// A wake belongs to the touch that it fell into.
Times match(const stalls& seen, std::vector<std::int64_t> woke) {
  Times t;
  std::ranges::sort(woke);
  for (int i = 0; i < seen.n; ++i) {
    const auto at = std::ranges::lower_bound(woke, seen.at[i].before);
    if (at == woke.end() || *at > seen.at[i].after) continue;
    t.reaction.push_back(static_cast<double>(seen.at[i].after - *at) / 1000);
    t.stall.push_back(static_cast<double>(seen.at[i].after - seen.at[i].before) / 1000);
  }
  std::ranges::sort(t.reaction);
  std::ranges::sort(t.stall);
  return t;
}

double at(const std::vector<double>& sorted, double share) {
  return sorted.empty() ? 0
                        : sorted[std::min(sorted.size() - 1,
                                          static_cast<std::size_t>(share * static_cast<double>(sorted.size())))];
}

void row(const std::string& name, const Times& t) {
  fmt::print("{:28} {:6} {:9.1f} {:9.1f} {:9.1f} {:11.1f} {:9.1f}\n",
             name,
             t.reaction.size(),
             at(t.reaction, 0.5),
             at(t.reaction, 0.99),
             at(t.reaction, 1),
             at(t.stall, 0.5),
             at(t.stall, 0.99));
  std::fflush(stdout);
}

void set_limit(const Hierarchies& h, const std::string& group) {
  const int dir = *Cgroup(h, group).dir(*h.of(Controller::memory));
  (void)dir;
  (void)sys::write_file(
      *h.of(Controller::memory)->root(), group + "/memory.limit_in_bytes", std::to_string(first_limit));
}

Times floor_times(const Hierarchies& h, const std::string& group, int trials) {
  const int root = *h.of(Controller::memory)->root();
  set_limit(h, group);
  (void)sys::write_file(root, group + "/memory.oom_control", "1");
  const sys::Fd control = sys::open_beneath(root, group + "/memory.oom_control", O_RDONLY).value();
  const sys::Fd limit = sys::open_beneath(root, group + "/memory.limit_in_bytes", O_WRONLY).value();
  const sys::Fd event(eventfd(0, EFD_CLOEXEC));
  (void)sys::write_file(root, group + "/cgroup.event_control", fmt::format("{} {}", event.get(), control.get()));
  Toucher toucher(h, group, first_limit + (trials + 8) * step);
  std::vector<std::int64_t> woke(static_cast<std::size_t>(trials));
  toucher.go();
  floor_react(event.get(), limit.get(), first_limit, step, trials, woke.data());
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return match(toucher.seen(), woke);
}

Times daemon_times(const Hierarchies& h, const std::string& top, unsigned groups, int trials, bool fifo) {
  policy::Policies policies;
  const auto policy = [&](const std::string& name) {
    policy::GroupPolicy g;
    g.name = name;
    g.oom = policy::OomMode::pause;
    policy::Action raise;
    raise.what = policy::Raise{.by = {.bytes = static_cast<std::uint64_t>(step)}, .up_to = 4ULL << 30U};
    g.on_oom = {raise};
    policies.groups.push_back(g);
  };
  const std::string group = fmt::format("{}/g0", top);
  for (unsigned i = 0; i < groups; ++i) policy(fmt::format("{}/g{}", top, i));
  set_limit(h, group);
  std::string state = "/tmp/cgx-test-bench-memory-XXXXXX";
  if (mkdtemp(state.data()) == nullptr) return {};
  Times times;
  {
    // Where tasks of the group go on before the wake is acted on, a raise is one more than was waited for.
    Toucher toucher(h, group, first_limit + 4LL * trials * step);
    auto memory = daemon::MemoryThread::start(
        h, {.state_dir = state, .fifo = fifo, .decisions = 8192, .thresholds = false, .stopper = note_wake});
    if (!memory) {
      fmt::print(stderr, "{}\n", memory.error().text());
      return {};
    }
    for (const policy::Problem& p : (*memory)->watch(policies, {})) fmt::print(stderr, "{}\n", p.text());
    wake_count = 0;
    toucher.go();
    const auto end = now_ns() + 60'000'000'000;
    // A busy machine makes touches long too: trials are those that a wake falls into.
    do {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      const std::size_t n = std::min(wake_count.load(), wakes.size());
      times = match(toucher.seen(), {wakes.begin(), wakes.begin() + static_cast<std::ptrdiff_t>(n)});
    } while (static_cast<int>(times.reaction.size()) < trials && toucher.seen().done == 0 && now_ns() < end);
    if (static_cast<int>(times.reaction.size()) < trials) {
      fmt::print(stderr,
                 "memory: {} of {} trials: {} wakes, {} touches over 50 us{}\n",
                 times.reaction.size(),
                 trials,
                 wake_count.load(),
                 toucher.seen().n,
                 toucher.seen().done != 0 ? ", all memory was touched" : ", 60 s were over");
      std::vector<daemon::Decision> decided;
      (void)(*memory)->take(decided);
      for (const daemon::Decision& d : decided)
        if (d.action.view() != "raise" || d.result.view() != "done")
          fmt::print(
              stderr, "memory: {}: {} {}: {}\n", d.event.view(), d.action.view(), d.result.view(), d.detail.view());
    }
  }
  (void)std::system(fmt::format("rm -rf {}", state).c_str());  // NOLINT: a bench
  return times;
}

}  // namespace

int main(int argc, char** argv) {
  const int trials = argc > 1 ? std::atoi(argv[1]) : 300;  // NOLINT: a bench
  const auto h = Hierarchies::discover();
  const Hierarchy* memory = h ? h->of(Controller::memory) : nullptr;
  if (geteuid() != 0 || memory == nullptr || memory->version() != Version::v1) {
    fmt::print("memory: needs root and v1's memory controller\n");
    return 2;
  }
  (void)setpriority(PRIO_PROCESS, 0, -20);
  rlimit files{};
  (void)getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &files);
  const std::string top = fmt::format("cgx-test-{}-bench", getpid());
  bool good = make(*h, top);
  for (int i = 0; i < 1000 && good; ++i) good = make(*h, fmt::format("{}/g{}", top, i));
  fmt::print("{:28} {:>6} {:>9} {:>9} {:>9} {:>11} {:>9}\n",
             "microseconds",
             "trials",
             "p50",
             "p99",
             "max",
             "stall p50",
             "p99");
  const auto enough = [&](const std::string& name, const Times& t) {
    row(name, t);
    good = good && static_cast<int>(t.reaction.size()) >= trials;
  };
  if (good) {
    good = make(*h, top + "/floor");
    enough("floor", floor_times(*h, top + "/floor", trials));
    for (const unsigned groups : {1U, 100U, 1000U})
      enough(fmt::format("cgxd, {} groups", groups), daemon_times(*h, top, groups, trials, false));
    enough("cgxd, 1000 groups, fifo", daemon_times(*h, top, 1000, trials, true));
  }
  (void)remove_group(Cgroup(*h, top), Below::remove);
  return good ? 0 : 1;
}
