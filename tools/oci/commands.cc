// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "oci.h"

namespace cgx::oci {
namespace {

// clang-format off
constexpr std::array globals{
    Flag{"debug", 0, "", "enable debug logging"},
    Flag{"log", 0, "FILE", "write messages to FILE (default: standard error)"},
    Flag{"log-format", 0, "FORMAT", "of messages: text (default) or json"},
    Flag{"log-level", 0, "LEVEL", "messages to write: debug, info, warning or error"},
    Flag{"root", 0, "DIR", "where the state of containers is kept (default: /run/cgx-oci)"},
    Flag{"systemd-cgroup", 0, "", "let systemd make the cgroups; cgroupsPath is then slice:prefix:name"},
    Flag{"cgroup-manager", 0, "MANAGER", "who makes the cgroups: cgroupfs, systemd or disabled"},
    Flag{"rootless", 0, "VALUE", "go on where cgroups cannot be made: true, false or auto"},
    Flag{"criu", 0, "PATH", "ignored: checkpoint is not supported"},
    Flag{"help", 'h', "", "show help"},
    Flag{"version", 'v', "", "print the version"},
};
constexpr std::array create_flags{
    Flag{"bundle", 'b', "DIR", "directory of the bundle (default: the working directory)"},
    Flag{"config", 'f', "FILE", "the configuration, instead of the bundle's config.json"},
    Flag{"console-socket", 0, "PATH", "AF_UNIX socket that receives the terminal's master"},
    Flag{"pidfd-socket", 0, "PATH", "AF_UNIX socket that receives a pidfd of the process"},
    Flag{"pid-file", 0, "FILE", "write the process id to FILE"},
    Flag{"no-pivot", 0, "", "move the root instead of pivot_root, for roots in a ramdisk"},
    Flag{"no-new-keyring", 0, "", "keep the caller's session keyring"},
    Flag{"no-subreaper", 0, "", "ignored: this runtime is no subreaper"},
    Flag{"preserve-fds", 0, "N", "pass N more descriptors on, from 3 (after those of LISTEN_FDS)"},
    Flag{"detach", 'd', "", "do not wait for the container's process (run)"},
    Flag{"keep", 0, "", "keep the container when its process has ended (run)"},
};
constexpr auto only_create = std::span(create_flags).first<9>();
constexpr std::array exec_flags{
    Flag{"console-socket", 0, "PATH", "AF_UNIX socket that receives the terminal's master"},
    Flag{"pidfd-socket", 0, "PATH", "AF_UNIX socket that receives a pidfd of the process"},
    Flag{"cwd", 0, "DIR", "working directory in the container"},
    Flag{"env", 'e', "NAME=VALUE", "set an environment variable"},
    Flag{"tty", 't', "", "allocate a terminal"},
    Flag{"user", 'u', "UID[:GID]", "user of the process"},
    Flag{"additional-gids", 'g', "GID", "supplementary groups"},
    Flag{"process", 'p', "FILE", "the process, as JSON"},
    Flag{"detach", 'd', "", "do not wait for the process"},
    Flag{"pid-file", 0, "FILE", "write the process id to FILE"},
    Flag{"process-label", 0, "LABEL", "SELinux label of the process"},
    Flag{"apparmor", 0, "PROFILE", "AppArmor profile of the process"},
    Flag{"no-new-privs", 0, "", "the process can gain no privileges"},
    Flag{"cap", 'c', "CAP", "give the process a capability"},
    Flag{"preserve-fds", 0, "N", "pass N more descriptors on, from 3 (after those of LISTEN_FDS)"},
    Flag{"cgroup", 0, "[CONTROLLER,...:]PATH", "run it in this group below the container's, in all hierarchies or one of v1"},
    Flag{"ignore-paused", 0, "", "also where the container is paused"},
};
constexpr std::array kill_flags{
    Flag{"all", 'a', "", "signal all processes of the container"},
    Flag{"regex", 'r', "", "the word is a regular expression for ids"},
};
constexpr std::array delete_flags{
    Flag{"force", 'f', "", "kill the container first where it still runs"},
    Flag{"regex", 'r', "", "the word is a regular expression for ids"},
};
constexpr std::array list_flags{
    Flag{"format", 'f', "FORMAT", "table (default) or json"},
    Flag{"quiet", 'q', "", "print ids only"},
};
constexpr std::array ps_flags{Flag{"format", 'f', "FORMAT", "table (default) or json"}};
constexpr std::array update_flags{
    Flag{"resources", 'r', "FILE", "limits as JSON, from FILE or, with -, from standard input; others are then ignored"},
    Flag{"blkio-weight", 0, "N", "weight of disk IO, 10 to 1000"},
    Flag{"cpu-period", 0, "N", "period of the CPU quota, microseconds"},
    Flag{"cpu-quota", 0, "N", "CPU time in each period, microseconds"},
    Flag{"cpu-burst", 0, "N", "unused quota that may be saved up, microseconds"},
    Flag{"cpu-share", 0, "N", "relative weight of CPU time"},
    Flag{"cpu-rt-period", 0, "N", "period of real-time bandwidth, microseconds"},
    Flag{"cpu-rt-runtime", 0, "N", "real-time CPU time in each period, microseconds"},
    Flag{"cpu-idle", 0, "0|1", "run only when nothing else wants the CPU"},
    Flag{"cpuset-cpus", 0, "LIST", "CPUs to use"},
    Flag{"cpuset-mems", 0, "LIST", "memory nodes to use"},
    Flag{"kernel-memory", 0, "N", "ignored: kernels have no such limit any more"},
    Flag{"kernel-memory-tcp", 0, "N", "most memory of TCP buffers, bytes"},
    Flag{"memory", 0, "N", "most memory, bytes"},
    Flag{"memory-reservation", 0, "N", "soft limit of memory, bytes"},
    Flag{"memory-swap", 0, "N", "most memory and swap together, bytes; -1: unlimited"},
    Flag{"pids-limit", 0, "N", "most processes"},
    Flag{"l3-cache-schema", 0, "TEXT", "not supported"},
    Flag{"mem-bw-schema", 0, "TEXT", "not supported"},
};
constexpr std::array events_flags{
    Flag{"interval", 0, "TIME", "time between statistics (default: 5s)"},
    Flag{"stats", 0, "", "print statistics once"},
};
constexpr std::array spec_flags{
    Flag{"bundle", 'b', "DIR", "directory to write config.json into (default: the working directory)"},
    Flag{"file", 'f', "FILE", "file to write instead of config.json"},
    Flag{"rootless", 0, "", "for a container of a user"},
};
constexpr std::array checkpoint_flags{Flag{"bundle", 'b', "DIR", "not supported"}};

constexpr std::array all_commands{
    Command{"create", "<container-id>", "create a container", 1, 1, only_create, &run_create, Flags::anywhere, 1, true, {}},
    Command{"start", "<container-id>", "executes the user defined process in a created container", 1, 1, {}, &run_start},
    Command{"state", "<container-id>", "output the state of a container", 1, 1, {}, &run_state},
    Command{"kill", "<container-id> [signal]", "kill sends the specified signal (default: SIGTERM) to the container's init process", 1, 2, kill_flags, &run_kill},
    Command{"delete", "<container-id>", "delete any resources held by the container often used with detached container", 1, 1, delete_flags, &run_delete},
    Command{"run", "<container-id>", "create and run a container", 1, 1, create_flags, &run_run, Flags::anywhere, 1, true, {}},
    Command{"exec", "<container-id> [<command> [args...]]", "execute new process inside the container", 1, ~std::size_t{0}, exec_flags, &run_exec, Flags::first, 255, true, "exec failed: "},
    Command{"list", "", "lists containers started by cgx-oci with the given root", 0, 0, list_flags, &run_list},
    Command{"ps", "<container-id> [ps options]", "ps displays the processes running inside a container", 1, ~std::size_t{0}, ps_flags, &run_ps, Flags::first},
    Command{"pause", "<container-id>", "pause suspends all processes inside the container", 1, 1, {}, &run_pause},
    Command{"resume", "<container-id>", "resumes all processes that have been previously paused", 1, 1, {}, &run_resume},
    Command{"update", "<container-id>", "update container resource constraints", 1, 1, update_flags, &run_update},
    Command{"events", "<container-id>", "display container events such as OOM notifications, cpu, memory, and IO usage statistics", 1, 1, events_flags, &run_events},
    Command{"features", "", "show the enabled features", 0, 0, {}, &run_features},
    Command{"spec", "", "create a new specification file", 0, 0, spec_flags, &run_spec},
    Command{"checkpoint", "<container-id>", "is not supported", 0, ~std::size_t{0}, checkpoint_flags, &run_unsupported, Flags::first},
    Command{"restore", "<container-id>", "is not supported", 0, ~std::size_t{0}, checkpoint_flags, &run_unsupported, Flags::first},
    Command{"help", "[command]", "shows a list of commands or help for one command", 0, 1, {}, &run_help},
};
// clang-format on

}  // namespace

std::span<const Command> commands() { return all_commands; }
std::span<const Flag> global_flags() { return globals; }

}  // namespace cgx::oci
