// SPDX-License-Identifier: Apache-2.0
// Inside daemon/memory/: what a MemoryThread is made of.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "daemon/memory/build.h"
#include "daemon/memory/memory.h"
#include "daemon/memory/thread.h"
#include "daemon/memory/worker.h"

namespace cgx::daemon {

struct MemoryThread::Parts {
  Parts(const Hierarchies& host, Options given, memory::FrozenLog frozen, sys::Fd decided_fd);
  std::vector<policy::Problem> watch();  // control is locked
  void lower_later(const RaisedLimits& raised);
  void bury(memory::Set old);
  void clear_graves();
  void rescan();

  struct Grave {
    std::uint64_t beat = 0;
    memory::Set set;
  };

  const Hierarchies* hierarchies;
  Options options;
  sys::Fd decided;
  std::atomic<bool> running{false};
  std::mutex control;  // guards all up to `programs`
  policy::Policies policies;
  std::vector<std::string> also;
  memory::View view;
  std::vector<Grave> graves;
  std::vector<std::shared_ptr<const memory::Program>> programs;  // so that the memory thread frees none
  std::mutex reading;                                            // guards ids
  std::uint64_t ids = 0;
  memory::Thread thread;
  memory::Worker quick, slow;
};

}  // namespace cgx::daemon
