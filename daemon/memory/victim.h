// SPDX-License-Identifier: Apache-2.0
// Inside daemon/memory/: who is killed, and how nobody else is. Allocates nothing.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include <sys/types.h>

#include "cgx/policy/policy.h"
#include "cgx/sys/fd.h"

#include "daemon/decision.h"

namespace cgx::daemon::memory {

struct Victim {
  pid_t pid = 0;            // 0: nobody
  std::uint64_t start = 0;  // clock ticks after boot: with the number, it is one process and no other
  std::uint64_t rss = 0;    // bytes
  std::uint64_t age = 0;    // microseconds
  std::uint64_t score = 0;
  FixedText<32> comm;
};

// A process by its number, from /proc/PID/stat; pid 0 where there is none. `score`: read oom_score too.
[[nodiscard]] Victim look_at(pid_t pid, bool score);

// The process of the subtree of `dir` (a directory of the memory hierarchy) that `kill` picks. Left out: this program,
// PID 1, protected names, what has an oom_score_adj of -1000, what is dying, and `not_this`. For Pick::all: any that is
// left. Looks at up to 4096 processes.
struct Search {
  Victim victim;
  unsigned seen = 0;  // processes that were looked at
};
[[nodiscard]] Search find_victim(int dir, const policy::Kill& kill, pid_t not_this = 0);

// A descriptor of the process, if it is still the one that was found and still in the group at `place` or below (as in
// Node); else minus an errno: ESRCH gone, another one, or moved away.
[[nodiscard]] int open_victim(const Victim& victim, std::string_view place);
// Bounds kill_each(): the first time it strikes `most` processes, and after close() those again and nobody else.
class Few {
 public:
  static constexpr std::uint64_t room = 64;
  Few() = default;  // no bound
  explicit Few(std::uint64_t most) : most_(std::min(most, room)), bounded_(true) {}
  [[nodiscard]] bool takes(const Victim& v);
  void note(const Victim& v);
  void close() { closed_ = true; }
  [[nodiscard]] bool left_some() const { return left_some_; }

 private:
  struct Process {
    pid_t pid = 0;
    std::uint64_t start = 0;
    bool operator==(const Process&) const = default;
  };
  [[nodiscard]] bool has(const Victim& v) const;
  std::array<Process, room> struck_{};
  std::uint64_t count_ = 0, most_ = 0;
  bool bounded_ = false, closed_ = false;
  bool left_some_ = false;  // somebody was passed over
};

// Sends `signal` to every process of the subtree that find_victim() would not leave out and `few` takes, each checked
// as by open_victim().
struct Struck {
  std::uint64_t count = 0;
  Victim last;
};
[[nodiscard]] Struck kill_each(int dir, std::string_view place, const policy::Kill& kill, int signal, Few& few);
// 0 or an errno.
[[nodiscard]] int send_signal(int pidfd, int signal);
// Its command line as text, blanks between the words.
void command_of(pid_t pid, FixedText<128>& text);

}  // namespace cgx::daemon::memory
