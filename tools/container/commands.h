// SPDX-License-Identifier: Apache-2.0
// The functions of cgx-container, by the rows of tools/container_rows.h; a file each, or a few close ones.
#pragma once

#include <algorithm>

#include "tools/command.h"

namespace cgx::launcher {

using tool::Call;

Result<int> run(const Call&);
Result<int> ls(const Call&);
Result<int> inspect(const Call&);
Result<int> stop(const Call&);
Result<int> kill(const Call&);
Result<int> rm(const Call&);
Result<int> pause(const Call&);
Result<int> unpause(const Call&);
Result<int> wait(const Call&);
Result<int> exec(const Call&);
Result<int> attach(const Call&);
Result<int> logs(const Call&);
Result<int> top(const Call&);
Result<int> stats(const Call&);
Result<int> update(const Call&);
Result<int> prune(const Call&);
Result<int> gc(const Call&);

// Closes what the caller has left open: a monitor would keep it open for as long as its container runs.
void close_others();

// As docker: the name of each container that was acted on, as it was given.
inline void tell_done(const Call& call, const std::string& name) {
  if (!call.json) tool::print(name + "\n");
}

// Calls `change` for each name; errors are told of one by one, and the status is 1 where there was one.
template <class F>
int for_each_name(const Call& call, F change) {
  int status = 0;
  for (const std::string& name : call.words) {
    const Result<> done = change(name);
    if (!done) status = std::max(status, tool::report(done.error(), call.command->name, call.json));
  }
  return status;
}

}  // namespace cgx::launcher
