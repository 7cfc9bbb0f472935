// SPDX-License-Identifier: Apache-2.0
// Inside daemon/bus/: who may do what. The user of a caller is asked of the bus, never taken from a message. Writing
// is for root (and on a session bus for its user), for the owner of a delegated subtree within it, and for whom polkit
// authorises. All questions are asynchronous: neither a slow bus nor a person at a password prompt stops the daemon.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <string>

#include <sys/types.h>

#include "daemon/bus/message.h"
#include "daemon/operations.h"

namespace cgx::daemon {

struct Need {
  enum class What : std::uint8_t {
    nothing,  // only who it is
    make,     // makes `group`: for the owner of what it is made in, in each hierarchy
    below,    // a change of `group`: for the owner of the subtree that it is below the root of
    into,     // `pid` goes into `group`: for the same, and into the subtree's root too
    all,      // of the whole host
  };
  What what = What::all;
  std::string group;
  pid_t pid = 0;
  const char* action = nullptr;  // polkit's name of it
};

struct Granted {
  uid_t user = 0;                        // who asked
  uid_t owner = static_cast<uid_t>(-1);  // it may as the owner of the subtree, and for that user; -1: as root may
};

class Access {
 public:
  static constexpr std::size_t most_waiting = 256;
  static constexpr std::size_t most_of_sender = 16;

  using Then = std::function<void(Result<Granted>)>;

  Access(Operations& operations, bool polkit, std::uint64_t polkit_timeout)
      : operations_(&operations), polkit_(polkit), polkit_timeout_(polkit_timeout) {}
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;
  ~Access() = default;

  // Calls `then`, once and not before it has returned, unless forget() comes first. EACCES: may not; the sentence says
  // who may. EBUSY at once: too many questions are open.
  [[nodiscard]] Result<> ask(sd_bus_message* call, Need need, Then then);
  // Drops all open questions: their bus is gone.
  void forget() { open_.clear(); }

 private:
  struct Question {
    Access* access = nullptr;
    Message call;
    Need need;
    Then then;
    Slot slot;
    uid_t user = 0;
    std::string why;  // the owner may not
  };
  static int on_user(sd_bus_message* reply, void* userdata, sd_bus_error*);
  static int on_polkit(sd_bus_message* reply, void* userdata, sd_bus_error*);
  // Whether the asker owns the subtree, and what it wants is within it; `why` tells what speaks against it.
  [[nodiscard]] bool owner_may(Question& question);
  [[nodiscard]] Result<> ask_polkit(Question& question);
  void answer(Question& question, Result<Granted> granted);
  void refuse(Question& question);

  Operations* operations_;
  bool polkit_;
  std::uint64_t polkit_timeout_;
  std::list<Question> open_;
};

// Whether all the user ids of the process are `user`, so that it may move it as the kernel sees it.
[[nodiscard]] Result<bool> process_belongs_to(pid_t pid, uid_t user);

}  // namespace cgx::daemon
