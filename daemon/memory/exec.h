// SPDX-License-Identifier: Apache-2.0
// Inside daemon/memory/: jobs of workers, and the programs that policies name.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <poll.h>

#include "cgx/policy/policy.h"
#include "cgx/sys/result.h"

#include "daemon/memory/node.h"

namespace cgx::daemon::memory {

// What a worker is to do. `decision` says why; it is completed and sent when the job is done.
struct Job {
  enum class Kind : std::uint8_t { exec, set, reclaim, release_memory, threshold, lower };
  Kind kind = Kind::exec;
  std::shared_ptr<Node> node;
  std::shared_ptr<const Program> program;  // keeps `action`
  const policy::Action* action = nullptr;
  std::uint64_t token = 0;  // of the run that waits for the answer; 0: none
  Micros woke = 0;          // when the event was told
  Micros at = 0;            // not before
  int pidfd = -1;           // release_memory: owned by the job
  bool paused = false;
  Decision decision;
};

// Programs that run, of one worker thread: started by posix_spawn, in a process group of their own, as `nobody` where
// the policy names no other user, with an environment of CGX_* and PATH alone.
class Programs {
 public:
  using Finish = std::function<void(Job&, policy::Outcome, std::string_view detail)>;
  using Line = std::function<void(const Job&, std::string_view line)>;
  explicit Programs(Finish finish, Line line) : finish_(std::move(finish)), line_(std::move(line)) {}
  Programs(const Programs&) = delete;
  Programs& operator=(const Programs&) = delete;
  ~Programs();  // kills them

  void start(Job job);
  // Adds what to poll for; answers when step() is due although nothing was told.
  Micros wants(std::vector<pollfd>& fds) const;
  void step();

 private:
  struct Child {
    Job job;
    pid_t pid = 0;
    sys::Fd pidfd, output;
    Micros deadline = never;
    bool timed_out = false;
    std::string line;   // of output, not ended yet
    std::string first;  // line of output
    unsigned lines = 0;
  };
  void read_output(Child& child);
  void take_line(Child& child);
  bool ended(Child& child);

  Finish finish_;
  Line line_;
  std::vector<std::unique_ptr<Child>> children_;
};

// The words that are executed for it, with what drops the privileges in front; for explain() too.
[[nodiscard]] Result<std::vector<std::string>> words_of(const policy::Exec& exec);

}  // namespace cgx::daemon::memory
