// SPDX-License-Identifier: Apache-2.0
// The flags of `cgx run`, and those of docker's that it refuses, each with what to do instead.
#pragma once

#include <array>

#include "command.h"

namespace cgx::tool {

// clang-format off
// Docker's names for limits, of run and update: tools/container/docker_limits.cc.
inline constexpr std::array docker_limit_options{
    Option{"memory", 'm', "SIZE", "as --mem"},
    Option{"cpu-shares", 'c', "N", "weight of CPU time where it is short, 2-262144"},
    Option{"memory-swap", 0, "SIZE", "as --memsw"},
    Option{"memory-reservation", 0, "SIZE", "as --mem-soft"},
    Option{"memory-swappiness", 0, "N", "as --swappiness"},
    Option{"oom-kill-disable", 0, "", "as --oom pause"},
    Option{"cpuset-cpus", 0, "LIST", "as --cpus LIST"},
    Option{"cpuset-mems", 0, "LIST", "as --mems"},
    Option{"cpu-period", 0, "USEC", "with --cpu-quota USEC: as --cpu-quota QUOTA/PERIOD"},
    Option{"pids-limit", 0, "N", "as --pids"},
    Option{"blkio-weight", 0, "N", "as --io-weight"},
    Option{"blkio-weight-device", 0, "DISK:N", "as --io-weight DISK:N", true},
    Option{"device-read-bps", 0, "DISK:SIZE", "as --io-max DISK:rbps=SIZE", true},
    Option{"device-write-bps", 0, "DISK:SIZE", "as --io-max DISK:wbps=SIZE", true},
    Option{"device-read-iops", 0, "DISK:N", "as --io-max DISK:riops=N", true},
    Option{"device-write-iops", 0, "DISK:N", "as --io-max DISK:wiops=N", true}};
template <std::size_t A, std::size_t B>
constexpr std::array<Option, A + B> joined(const std::array<Option, A>& first, const std::array<Option, B>& then) {
  std::array<Option, A + B> all{};
  for (std::size_t i = 0; i < A; ++i) all[i] = first[i];
  for (std::size_t i = 0; i < B; ++i) all[A + i] = then[i];
  return all;
}
inline constexpr std::array run_options = joined(std::array{
    Option{"detach", 'd', "", "print the name and end; the container runs on"},
    Option{"interactive", 'i', "", "hand on standard input"},
    Option{"tty", 't', "", "give it a terminal; with -i standard input has to be one"},
    Option{"attach", 'a', "stdin|stdout|stderr", "hand on these streams alone (all if not given; stdin with -i)", true},
    Option{"sig-proxy", 0, "", "hand signals on (it does if not given); --sig-proxy=false: they end this command alone", false, {}, true},
    Option{"detach-keys", 0, "KEYS", "what leaves it running, typed at its terminal (ctrl-p,ctrl-q if not given)"},
    Option{"rm", 0, "", "remove it at its end"},
    Option{"name", 0, "CONTAINER", "its name (twelve hexadecimal digits if not given)"},
    Option{"env", 'e', "NAME[=VALUE]", "set a variable, or hand on the caller's", true},
    Option{"env-file", 0, "FILE", "variables from a file, NAME=VALUE a line", true},
    Option{"workdir", 'w', "DIR", "the directory that the command starts in, made if it is missing"},
    Option{"user", 'u', "USER[:GROUP]", "run as this user of the image, by name or number"},
    Option{"entrypoint", 0, "CMD", "in place of the image's"},
    Option{"volume", 'v', "SRC:DST[:ro]", "show SRC of the host, made if it is missing, as DST; SRC may begin with ~/ (the caller's home), ./ or ../", true},
    Option{"mount", 0, "KEY=VALUE,...", "type=bind,src=,dst=[,ro] or type=tmpfs,dst=[,tmpfs-size=,tmpfs-mode=]; src may begin as SRC of --volume", true},
    Option{"tmpfs", 0, "DST[:OPTIONS]", "an empty file system in memory as DST", true},
    Option{"read-only", 0, "", "it cannot write to its root file system"},
    Option{"network", 0, "MODE", "none (if not given): a loopback interface alone; host: the host's; container:NAME: that one's", false, "net"},
    Option{"pid", 0, "MODE", "private (if not given): it sees its own processes alone; host: the host's; container:NAME: that one's"},
    Option{"ipc", 0, "MODE", "private (if not given): shared memory of its own; host: the host's, and its /dev/shm; none: no /dev/shm"},
    Option{"uts", 0, "MODE", "private (if not given): a host name of its own; host: the host's; container:NAME: that one's"},
    Option{"cgroup-parent", 0, "NAME", "its group is below this one (cgx if not given; machine.slice where systemd makes groups)"},
    Option{"cgroupns", 0, "MODE", "private (if not given): groups are named from its own on; host: it sees the host's names"},
    Option{"ip", 0, "ADDRESS", "not supported yet"},
    Option{"publish", 'p', "PORTS", "not supported yet", true},
    Option{"publish-all", 'P', "", "not supported yet"},
    Option{"hostname", 'h', "HOST", "the name of the host that it sees (its own name if not given)"},
    Option{"init", 0, "", "a first process that hands on signals and reaps orphans"},
    Option{"cap-add", 0, "CAP", "give this capability, or all", true},
    Option{"cap-drop", 0, "CAP", "take this capability, or all", true},
    Option{"security-opt", 0, "OPTION", "seccomp=FILE|default|unconfined, no-new-privileges, systempaths=unconfined, apparmor=PROFILE, label=LABEL", true},
    Option{"ulimit", 0, "NAME=SOFT[:HARD]", "a resource limit: nofile=1024:4096", true},
    Option{"sysctl", 0, "NAME=VALUE", "a kernel setting of its own namespaces", true},
    Option{"shm-size", 0, "SIZE", "of /dev/shm (64M if not given)"},
    Option{"device", 0, "SRC[:DST[:rwm]]", "give it a device node of the host, or all below a directory", true},
    Option{"device-cgroup-rule", 0, "RULE", "allow the use of devices: 'c 189:* rmw'", true},
    Option{"privileged", 0, "", "all capabilities and devices of the host, no seccomp filter, /sys and /proc as they are: no protection from it"},
    Option{"group-add", 0, "GROUP", "a further group of its user: a name of the image's, or a number", true},
    Option{"add-host", 0, "HOST:ADDRESS", "a line of /etc/hosts", true},
    Option{"dns", 0, "ADDRESS", "a server of /etc/resolv.conf", true},
    Option{"dns-search", 0, "DOMAIN", "a domain that /etc/resolv.conf searches; a point: none", true},
    Option{"dns-option", 0, "OPTION", "an option of /etc/resolv.conf", true, "dns-opt"},
    Option{"domainname", 0, "DOMAIN", "its domain: of NIS, and of its name in /etc/hosts"},
    Option{"oom-score-adj", 0, "N", "who is killed first when memory runs out, -1000 to 1000"},
    Option{"userns", 0, "MODE", "host (if not given), or auto: its root is nobody of the host"},
    Option{"restart", 0, "POLICY", "no (if not given), on-failure[:N], always, unless-stopped"},
    Option{"label", 'l', "NAME=VALUE", "a note, for ls and inspect", true},
    Option{"label-file", 0, "FILE", "notes from a file, NAME=VALUE a line", true},
    Option{"cidfile", 0, "FILE", "write its id to this file, which must not be there, when it runs"},
    Option{"stop-signal", 0, "SIG", "what stop sends (the image's, or TERM, if not given)"},
    Option{"stop-timeout", 0, "SECONDS", "how long stop waits before it kills (10 if not given); -1: without end"},
    Option{"pull", 0, "missing|always|never", "images of this host are never pulled"},
    Option{"log-driver", 0, "json-file|local|none", "none: no log is kept"},
    Option{"log-opt", 0, "NAME=VALUE", "max-size=SIZE and max-file=N: the log, in two files, has N times SIZE at most (20M if not given)", true},
    Option{"platform", 0, "PLATFORM", "that of the host alone, as linux/amd64"},
    Option{"expose", 0, "PORT", "without effect: no port is published", true},
    Option{"no-healthcheck", 0, "", "no warning that the health check of the image is not run"},
    Option{"disable-content-trust", 0, "", "without effect: images are directories, which carry no signatures", false, {}, true}}, docker_limit_options);
// Flags of docker's and podman's that have no meaning here.
inline constexpr std::array refused_run_flags{
    RefusedFlag{"gpus", "is not supported: no driver is looked for", "--device /dev/nvidia0 gives a device, -v DIR:PATH the libraries of its driver"},
    RefusedFlag{"runtime", "is not supported: cgx is the runtime", "leave it out"},
    RefusedFlag{"link link-local-ip network-alias net-alias", "is not supported: containers have no names in a network", "--network container:NAME shares the network of a container, --add-host HOST:ADDRESS names an address"},
    RefusedFlag{"ip6 mac-address", "is not supported: networks are none, host and container:NAME", "--network container:NAME"},
    RefusedFlag{"health-cmd health-interval health-retries health-start-period health-timeout", "is not supported: cgx does not watch over health", "cgx container exec NAME CMD runs a check, as from a timer"},
    RefusedFlag{"volumes-from", "is not supported: volumes are directories of the host", "-v DIR:PATH with the DIR of the other container"},
    RefusedFlag{"volume-driver", "is not supported: volumes are directories of the host", "mount it on the host, and -v DIR:PATH"},
    RefusedFlag{"storage-opt", "is not supported: a layer has no limit of its own", "--read-only, and --tmpfs /PATH:size=SIZE or -v DIR:PATH for what it writes"},
    RefusedFlag{"isolation", "is not supported: it is of Windows", "leave it out"},
    RefusedFlag{"kernel-memory", "is not supported: kernels since 5.16 refuse it", "--mem counts the memory of the kernel too"},
    RefusedFlag{"cpu-rt-period cpu-rt-runtime", "is not supported: cgx has one flag for both", "--cpu-rt RUNTIME/PERIOD in microseconds"},
};
// clang-format on

}  // namespace cgx::tool
