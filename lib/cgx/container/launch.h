// SPDX-License-Identifier: Apache-2.0
// Starting a container: two visible lists of stages, the parent's and the child's. An error says which stage failed:
// `stage pivot_root: REASON`. The child runs in a copy of the parent's memory; it reads no configuration and opens
// nothing by the host's paths: all is resolved before the clone.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "cgx/cgroupfs/cgroup.h"
#include "cgx/container/rootfs.h"
#include "cgx/container/seccomp.h"
#include "cgx/container/spec.h"
#include "cgx/sys/fd.h"

namespace cgx::container {

struct LaunchRequest {
  const Spec* spec = nullptr;
  std::string id;
  std::string bundle;
  const Cgroup* group = nullptr;          // with its limits in force; nullptr: the container stays in the caller's
  bool new_group = false;                 // no process has been in it yet
  RootfsPlan rootfs;                      // prepare_rootfs() is called by launch()
  std::optional<SeccompProgram> seccomp;  // compiled before
  std::string console_socket;             // path of the AF_UNIX socket that gets the terminal's master
  bool foreground_terminal = false;       // without a console socket: launch() answers the master
  std::string pidfd_socket;               // path of the AF_UNIX socket that gets a pidfd of the process; empty: none
  int preserve_fds = 0;                   // descriptors 3.. (besides LISTEN_FDS) that the program gets
  bool no_new_keyring = false;
  // Limits that the caller has raised for itself, as they were before: the program has them where the specification
  // names no other ones.
  std::vector<Rlimit> limits_before;
  // `create`: the child waits before its last stages until somebody opens this fifo (O_PATH) for reading. -1: it goes
  // on. Who has opened it reads up to the end: nothing where the program has been executed, else the text of the error.
  int start_fifo = -1;
  // For hooks: the state of the container as JSON with this status and pid ("created", "running"). Called
  // in the child too, with the pid that it has in its namespace.
  std::function<std::string(std::string_view status, pid_t pid)> state_json;
  // Called when nothing is left to do but to execute the program, or to wait for the start: the process still ends with
  // the caller, and is on its own when launch() returns. An error ends it.
  std::function<Result<>(pid_t pid)> record;
  // Gets a word of each step, for who looks for a fault. Called in the child too, until that has loaded its filter.
  std::function<void(std::string_view what)> trace;
};

// `pid` is a child of the caller, who waits for it.
struct Launched {
  pid_t pid = -1;
  sys::Fd pidfd;
  sys::Fd terminal;                   // the master, where asked for
  std::vector<std::string> warnings;  // capabilities that cannot be granted, options that this kernel lacks
};

// Returns when the child has executed its program, or (start_fifo) waits to be started. On an error nothing of it is
// left: no process; the group and its limits are the caller's. The caller has no other threads: the child is a copy of
// its memory, in which a lock of another thread would stay locked.
[[nodiscard]] Result<Launched> launch(LaunchRequest& request);

// A group of one hierarchy alone, which has to be there.
struct SubGroup {
  const Hierarchy* hierarchy = nullptr;
  std::string group;
};

struct EnterRequest {
  const Spec* spec = nullptr;  // of the container
  Process process;
  std::string id;                // of the container
  pid_t init = -1;               // the container's first process
  std::uint64_t init_start = 0;  // as State::pid_start
  const Cgroup* group = nullptr;
  std::vector<SubGroup> apart;  // in these hierarchies the process is in other groups than `group`
  std::string top_group;  // the container's, where `group` is one below it that may be missing in some hierarchies
  std::optional<SeccompProgram> seccomp;
  std::string console_socket;
  bool foreground_terminal = false;
  std::string pidfd_socket;
  int preserve_fds = 0;
  bool no_new_keyring = false;
  std::vector<Rlimit> limits_before;                                          // as in LaunchRequest
  std::function<std::string(std::string_view status, pid_t pid)> state_json;  // for an agent of seccomp notifications
  std::function<Result<>(pid_t pid)> record;                                  // as in LaunchRequest
  std::function<void(std::string_view what)> trace;                           // as in LaunchRequest
};
// A further process in a running container: joins its groups and namespaces by descriptors of `init`.
[[nodiscard]] Result<Launched> enter(EnterRequest& request);

// Where hooks write to, by the annotations run.oci.hooks.stdout and run.oci.hooks.stderr; none: what they write is in
// the error of one that fails.
struct HookStreams {
  sys::Fd out, err;
};
[[nodiscard]] Result<HookStreams> open_hook_streams(const Spec& spec);

// What a hook gets.
struct HookInput {
  std::string state;      // the state of the container, on its stdin
  std::string directory;  // its working directory; one that is gone, or not to be entered, is passed over
  const std::vector<std::string>* env = nullptr;  // where it has none of its own; nullptr: this process's
  int out = -1, err = -1;                         // of HookStreams
  std::function<Result<>()> confine = nullptr;    // in the process of each hook, as the last before its program
};
// Runs hooks in order; the first that fails, or is over its time, is the error.
[[nodiscard]] Result<> run_hooks(const std::vector<Hook>& hooks, std::string_view kind, const HookInput& input);

// Whether this process is in another user namespace than the first one: as root there it has no rights outside.
[[nodiscard]] bool in_user_namespace();

// In a program that was executed once more: takes back its name, and where its helpers are. Any command may be in one,
// because what runs before the C library knows words and not commands. Call first in main(); elsewhere it does nothing.
void recall_program(char** argv);
// Makes this program safe from being written to by what it starts (/proc/PID/exe): executes itself once more from a
// read-only detached mount, or a sealed copy in memory. Returns where that is done already. Call first in main().
[[nodiscard]] Result<> protect_program(char** argv);

}  // namespace cgx::container
