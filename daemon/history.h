// SPDX-License-Identifier: Apache-2.0
// The last decisions, numbered through. They are kept in a file of the state directory too, each in a place of its own,
// so that adding one is one small write and a restart finds them again.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "cgx/sys/fd.h"

#include "daemon/decision.h"

namespace cgx::daemon {

class History {
 public:
  static constexpr std::size_t most = 1000;

  // Reads the file `history` in `dir`, or begins a new one where there is none or another version of cgxd made it.
  // Where it cannot be kept (the error), the object works all the same and forgets with the process.
  Result<> keep_in(int dir);
  // Gives the decision its number, which the numbers of all before are below.
  void add(Decision& decision);
  // The newest last.
  [[nodiscard]] std::vector<Decision> last(std::size_t count) const;
  [[nodiscard]] std::size_t size() const { return decisions_.size(); }

 private:
  std::deque<Decision> decisions_;
  std::uint64_t newest_ = 0;
  sys::Fd file_;
};

}  // namespace cgx::daemon
