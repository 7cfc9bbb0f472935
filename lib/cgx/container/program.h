// SPDX-License-Identifier: Apache-2.0
// Inside container/: the last of what happens to a process, in its root and as its user: working directory, program,
// environment, descriptors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cgx/container/spec.h"

namespace cgx::container {

// Descriptors 3 and above that the caller got from systemd for a service (LISTEN_FDS with this pid as LISTEN_PID, or
// without LISTEN_PID where all of them are open), and how many of its own it wants to pass: all below the answer are
// the program's, as far as they are open. EBADF: a socket for this pid is not.
struct Passed {
  int first_closed = 3;
  int listening = 0;
};
[[nodiscard]] Result<Passed> passed_descriptors(int preserve);

// From `first` on none survives execve.
[[nodiscard]] Result<> close_at_exec(int first);
// Closes at once what execve would close, but for `kept` (those that are not open are -1): before others can look into
// /proc/PID/fd, which a capability lets them do that no flag of the process forbids.
[[nodiscard]] Result<> close_but(const Passed& passed, std::vector<int> kept);

// EACCES: the user may not. ENOENT where it is outside of the root, which a descriptor's path (/proc/self/fd/N) may be.
[[nodiscard]] Result<> enter_directory(const std::string& path);

// The file to execute; errors in the words that container engines look for.
[[nodiscard]] Result<std::string> find_program(const std::string& name, const std::vector<std::string>& env);

// The environment with HOME and, for passed sockets, LISTEN_FDS and LISTEN_PID.
[[nodiscard]] std::vector<std::string> environment_of(const Process& process, int listening);
// With nullptr at the end; they point into `words`, which no temporary can be.
[[nodiscard]] std::vector<char*> pointers_to(const std::vector<std::string>& words);
std::vector<char*> pointers_to(std::vector<std::string>&& words) = delete;

// Default actions for the signals that the caller ignores.
void reset_signals();

}  // namespace cgx::container
