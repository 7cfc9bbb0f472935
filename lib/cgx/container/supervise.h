// SPDX-License-Identifier: Apache-2.0
// Inside container/: the launcher's side of starting a process: answers what the child asks for until it has executed
// its program, waits to be started, or has failed.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "cgx/container/birth.h"
#include "cgx/container/child.h"
#include "cgx/container/launch.h"

namespace cgx::container {

struct Supervision {
  int proc = -1;
  const Process* process = nullptr;
  const Spec* spec = nullptr;
  const SeccompProgram* seccomp = nullptr;
  const Cgroup* group = nullptr;  // that the process is in
  bool new_group = false;         // no process has been in it yet
  std::function<std::string(std::string_view, pid_t)> state_json;
  std::function<Result<>(pid_t)> record;
  std::function<Result<>(pid_t)> made;   // right after the clone: what the child waits for (maps)
  std::function<Result<>(pid_t)> hooks;  // prestart and createRuntime
  std::function<void(std::string_view)> trace;
  int pidfd_socket = -1;        // gets the process when it is ready
  std::string_view pidfd_word;  // what is sent with it
  bool says_go_first = false;   // `made` ends with a word to the child
};

// Makes the process by `birth` and answers it. On an error it is gone.
[[nodiscard]] Result<Launched> supervise(Birth& birth, const Supervision& supervision);

// /proc, which has to be one.
[[nodiscard]] Result<sys::Fd> host_proc();

// Opens the socket that gets the terminal, if there is to be one; EINVAL where nobody would get it.
[[nodiscard]] Result<sys::Fd> console_for(const Process& process, const std::string& socket, bool foreground);

}  // namespace cgx::container
