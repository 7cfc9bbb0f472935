// SPDX-License-Identifier: Apache-2.0
// The signals of cgx exec while its command runs.
#pragma once

#include <signal.h>

#include "cgx/cgroupfs/spawn.h"

namespace cgx::tool {

// From the first group made on, signals wait until there is a child to pass them to: a group is not left behind.
class Signals {
 public:
  Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals() { restore(); }
  void restore() const { (void)sigprocmask(SIG_SETMASK, &before_, nullptr); }
  [[nodiscard]] const sigset_t& set() const { return set_; }
  [[nodiscard]] const sigset_t& before() const { return before_; }
  // One that came before there was a child, and wants an end; 0: none.
  [[nodiscard]] int ending() const;

 private:
  sigset_t set_{};
  sigset_t before_{};
};

// Waits for the child and hands on the signals that this process gets from other processes. What the terminal sends, it
// sends to the child too, but for a hang-up: that is handed on.
[[nodiscard]] Result<int> wait_and_pass_on(const Child& child, const sigset_t& set);

}  // namespace cgx::tool
