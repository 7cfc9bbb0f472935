// SPDX-License-Identifier: Apache-2.0
// The command line of `cgx run` as values. Pure but for the files that it names (--env-file); nothing of the system is
// changed. Errors are Fault::usage and name the flag and the value.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cgx/change/plan.h"
#include "cgx/container/spec.h"

#include "record.h"
#include "tools/command.h"

namespace cgx::launcher {

struct Bind {
  std::string source, destination;
  std::vector<std::string> options;  // "ro", "rshared", ...: of a mount of type bind
  bool make_source = false;          // -v makes what is missing, --mount does not
  bool relabel = false;              // z, Z: labels of SELinux, which are left alone
};

struct TmpfsMount {
  std::string destination;
  std::vector<std::string> options;
};

struct DeviceRuleText {
  char type = 'a';
  std::optional<std::uint64_t> major, minor;  // none: any
  std::string access;
};

struct DevicePath {
  std::string source, destination, access;
};

// -a: the streams that were named.
struct Attached {
  bool in = false, out = false, err = false;
};

struct RunOptions {
  std::string image;
  std::vector<std::string> command;  // after IMAGE
  std::string name;                  // empty: one is made
  bool detach = false, interactive = false, terminal = false, remove = false, readonly = false, init = false;
  bool no_health_check = false;
  std::vector<std::string> env;  // NAME=VALUE
  std::optional<std::string> entrypoint;
  std::string workdir, user, hostname, network = "none", userns = "host", cgroupns = "private";
  std::string pid = "private", uts = "private";  // private, host, container:NAME
  std::string ipc = "private";                   // private, host, none
  std::uint64_t log_size = 10U << 20U;           // of each of the two files; 0: no log
  std::optional<std::uint64_t> log_max_size, log_max_file;
  std::vector<Bind> binds;
  std::vector<TmpfsMount> tmpfs;
  std::vector<DevicePath> devices;
  std::vector<DeviceRuleText> device_rules;
  bool privileged = false;
  std::vector<std::string> cap_add, cap_drop;  // upper case without CAP_; ALL
  std::string seccomp = "default";             // default, unconfined, or a file
  std::string seccomp_text;                    // what is in the file
  std::string apparmor, label;
  bool no_new_privileges = false, system_paths = true;  // masked and read-only paths
  std::vector<container::Rlimit> rlimits;
  Pairs sysctls, labels;
  std::vector<std::string> group_add;  // names of the image's, and numbers
  Pairs hosts;                         // name, address
  std::vector<std::string> dns, dns_search, dns_options;
  std::string domainname;
  std::optional<int> oom_score_adj;
  std::string cidfile;
  std::uint64_t shm_size = 64U << 20U;
  Restart restart = Restart::no;
  std::uint64_t restart_most = 0;
  std::optional<int> stop_signal;
  std::int64_t stop_timeout = 10;    // seconds; -1: without a bound
  std::string cgroup_parent;         // empty: the usual one
  std::optional<Attached> attached;  // none: all, and standard input with -i
  bool pass_signals = true;
  std::string detach_keys;  // the bytes; empty: the usual ones
  std::vector<Limit> limits;
  Pairs limit_texts;  // flag or file, text
  bool force = false;
  bool dry_run = false;
};

// The call with the flags of knobs in the place of Docker's names and forms of limits (docker_limits.cc).
[[nodiscard]] Result<tool::Call> with_docker_limits(const tool::Call& call);
// Refuses 0 where no program could start with it.
[[nodiscard]] Result<> check_needed_limits(const tool::Call& call);
[[nodiscard]] Result<RunOptions> run_options(const tool::Call& call);

// Those flags of docker's that change nothing but this command or what the container is told (docker_flags.cc).
// False: it is none of them.
[[nodiscard]] Result<bool> take_docker_flag(RunOptions& into, std::string_view flag, const std::string& text);
// What the flags together say, and what contradicts itself.
[[nodiscard]] Result<> finish_docker_flags(RunOptions& options);

// A label anew replaces the one of its name.
void set_label(Pairs& labels, std::string_view text);
// One of -v, --mount, --device, --ulimit: for tests.
[[nodiscard]] Result<Bind> parse_volume(std::string_view text);
[[nodiscard]] Result<> parse_mount(std::string_view text, RunOptions& into);
[[nodiscard]] Result<DevicePath> parse_device(std::string_view text);
[[nodiscard]] Result<container::Rlimit> parse_ulimit(std::string_view text);
// NAME=VALUE, or NAME of this process' environment; nothing where that has none.
[[nodiscard]] Result<std::optional<std::string>> parse_env(std::string_view text);

// Of an --env-file: a variable a line, as parse_env() takes them; blank lines and those that begin with # are left out.
// Errors name the line.
[[nodiscard]] Result<std::vector<std::string>> parse_env_file(std::string_view text);
// The file of --env-file, read at once. Errors name the flag and the file.
[[nodiscard]] Result<std::vector<std::string>> read_env_file(const std::string& path);

// --restart: no, on-failure[:N], always, unless-stopped.
struct RestartPolicy {
  Restart restart = Restart::no;
  std::uint64_t most = 0;  // of on-failure; 0: no bound
};
[[nodiscard]] Result<RestartPolicy> parse_restart(const std::string& text);

}  // namespace cgx::launcher
