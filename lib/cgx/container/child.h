// SPDX-License-Identifier: Apache-2.0
// Inside container/: what the process of a container does until it executes the program, as two lists of stages: one
// for the first process of a container, one for a further one.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "cgx/container/channel.h"
#include "cgx/container/launch.h"
#include "cgx/container/namespaces.h"
#include "cgx/container/program.h"

namespace cgx::container {

struct ChildPlan {
  const Channel* channel = nullptr;
  Progress* progress = nullptr;
  const Process* process = nullptr;
  const SeccompProgram* seccomp = nullptr;  // nullptr: none
  int proc = -1;                            // the caller's /proc; -1: what is done by it is done already
  Passed passed;
  bool user_namespace = false;    // another than the caller's
  bool wait_for_maps = false;     // it is new: the parent writes them
  bool become_root = false;       // of that namespace
  bool limits_by_parent = false;  // who has the rights to raise them
  int console_socket = -1;
  std::string keyring;                // empty: the caller's
  std::vector<Rlimit> limits_before;  // see LaunchRequest
  bool confirm = false;
  int start_fifo = -1;
  std::function<std::string(std::string_view, pid_t)> state_json;
  bool trace = false;  // each stage is told

  // Of the first process.
  const Spec* spec = nullptr;
  RootfsPlan* rootfs = nullptr;
  std::string bundle;  // working directory of hooks
  int hook_out = -1, hook_err = -1;
  const NamespacePlan* namespaces = nullptr;
  bool join_here = false;  // joined namespaces are entered by this process
  bool time_here = false;  // a new time namespace is made by this process, which is in it after execve

  // Of a further one.
  int target = -1;       // pidfd of the container's first process
  int target_flags = 0;  // CLONE_NEW* that this process joins
  int target_root = -1;  // its root, where the mount namespace that is joined does not say it
};

[[noreturn]] void run_first_process(ChildPlan& plan);
[[noreturn]] void run_further_process(ChildPlan& plan);

}  // namespace cgx::container
