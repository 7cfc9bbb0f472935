// SPDX-License-Identifier: Apache-2.0
// The rows of run, container and gc, for commands.cc. What they do is in tools/container/: cgx becomes the helper
// cgx-container, which parses by the same rows.
#pragma once

#include <array>

#include "command.h"
#include "run_flags.h"

namespace cgx::tool {

// clang-format off
inline constexpr std::array container_ls_options{
    Option{"all", 'a', "", "also those that have ended"},
    Option{"quiet", 'q', "", "names alone"},
    Option{"filter", 'f', "KEY=VALUE", "only those of this id, name, label, status, exited, ancestor, before, since or network", true},
    Option{"format", 0, "TEMPLATE", "a template of Go for each ({{.Names}} {{.Status}}), table TEMPLATE, or json"},
    Option{"last", 'n', "N", "the last N that were made, those that have ended too"},
    Option{"latest", 'l', "", "as --last 1"},
    Option{"no-trunc", 0, "", "images, commands and ids as long as they are"},
    Option{"size", 's', "", "not supported"}};
inline constexpr std::array container_stop_options{
    Option{"time", 't', "SECONDS", "how long to wait before it is killed (as its run said); -1: without end", false, "timeout"},
    Option{"signal", 's', "SIG", "this signal (as its run said): a name or a number"}};
inline constexpr std::array container_inspect_options{
    Option{"format", 'f', "TEMPLATE", "a template of Go for each: {{.State.Pid}}, {{json .Config.Labels}}"}};
inline constexpr std::array container_kill_options{Option{"signal", 's', "SIG", "this signal (KILL if not given): a name or a number"}};
inline constexpr std::array container_rm_options{Option{"force", 'f', "", "kill it first where it runs; one that is not there is no error"},
    Option{"volumes", 'v', "", "accepted; there are no volumes by name to remove"}};
inline constexpr std::array container_exec_options{
    Option{"detach", 'd', "", "do not wait for its end; what it prints is discarded, and it has no standard input"},
    Option{"interactive", 'i', "", "hand on standard input"},
    Option{"tty", 't', "", "give it a terminal; with -i standard input has to be one"},
    Option{"env", 'e', "NAME[=VALUE]", "set a variable, or hand on the caller's", true},
    Option{"env-file", 0, "FILE", "variables from a file, NAME=VALUE a line", true},
    Option{"workdir", 'w', "DIR", "the directory that the command starts in"},
    Option{"user", 'u', "USER[:GROUP]", "run as this user of the container, by name or number"},
    Option{"privileged", 0, "", "all capabilities; devices and system calls are the container's"},
    Option{"detach-keys", 0, "KEYS", "with --tty: what leaves it running, typed at its terminal (ctrl-p,ctrl-q if not given)"}};
inline constexpr std::array container_attach_options{
    Option{"no-stdin", 0, "", "do not hand on standard input"},
    Option{"sig-proxy", 0, "", "hand signals on (it does if not given); --sig-proxy=false: they end this command alone", false, {}, true},
    Option{"detach-keys", 0, "KEYS", "what leaves it running, typed at its terminal (ctrl-p,ctrl-q if not given)"}};
inline constexpr std::array container_wait_options{
    Option{"condition", 0, "WORD", "not-running (if not given); next-exit: its next end; removed: nothing of it is left"}};
inline constexpr std::array container_logs_options{
    Option{"follow", 'f', "", "go on as it writes, until it ends"},
    Option{"tail", 'n', "N", "the last N lines alone (all if not given)"},
    Option{"since", 0, "WHEN", "what came after: a time of RFC 3339, a day, seconds since 1970, or how long ago (10m, 1h30m)"},
    Option{"until", 0, "WHEN", "what came before"},
    Option{"timestamps", 't', "", "with the time of each line"},
    Option{"details", 0, "", "with a blank before each line: there are no options of logs to show"}};
inline constexpr std::array container_stats_options{
    Option{"all", 'a', "", "also those that have ended"},
    Option{"format", 0, "TEMPLATE", "a template of Go for each ({{.Name}} {{.CPUPerc}}), table TEMPLATE, or json"},
    Option{"no-stream", 0, "", "print once"},
    Option{"no-trunc", 0, "", "with --format: ids as long as they are"},
    Option{"interval", 0, "TIME", "print again after each TIME (1s if not given)"}};
inline constexpr std::array container_update_options = joined(std::array{
    Option{"restart", 0, "POLICY", "when it is started again from now on: no, on-failure[:N], always, unless-stopped"}}, docker_limit_options);
// Flags of docker's that have no meaning here.
inline constexpr std::array refused_inspect_flags{
    RefusedFlag{"size", "is not supported: nothing counts what is in a layer", "du -sh of the directory paths.layer of cgx container inspect"},
    RefusedFlag{"type", "is not supported: it is containers that are looked at", "leave it out"}};
inline constexpr std::array refused_rm_flags{
    RefusedFlag{"link", "is not supported: containers have no names in a network", "leave it out"}};
inline constexpr std::array refused_update_flags{
    RefusedFlag{"kernel-memory", "is not supported: kernels since 5.16 refuse it", "--mem counts the memory of the kernel too"},
    RefusedFlag{"cpu-rt-period cpu-rt-runtime", "is not supported: cgx has one flag for both", "--cpu-rt RUNTIME/PERIOD in microseconds"}};
inline constexpr std::array container_prune_options{
    Option{"force", 'f', "", "do not ask"},
    Option{"filter", 0, "KEY=VALUE", "only those made before until=WHEN, with label=NAME[=VALUE], or without: label!=NAME", true}};

inline constexpr std::array container_rows{
    Command{.name = "run", .words = "[LIMITS] IMAGE [CMD [ARG...]]", .doc = "run a command in a container",
        .details = "Runs CMD in namespaces and a file system of its own, in a group with LIMITS. IMAGE is dir:PATH, a directory that is a root file system, or "
                   "oci:LAYOUT[:TAG], an image in a directory as the OCI lays it out. Neither is written to: what the container writes goes to a layer of its own. "
                   "Options stop at IMAGE. The limits are in force before the first instruction.\n\n"
                   "A process of cgx stays with each container: it holds the terminal, writes the log, keeps the exit status and starts the container again where --restart "
                   "says so. It needs no daemon, and the container survives the end of this command. The exit status is CMD's, 128+N if it died of signal N, 126 if it cannot be executed, "
                   "127 if it was not found, 125 if cgx itself failed. Where a limit of memory has killed the container, a line on standard error names "
                   "the limit and the group that it belongs to.\n\n"
                   "--cpus is a list of CPUs, as everywhere in cgx; with a point it is Docker's number of CPUs: --cpus 1.5 is --cpu-quota 1.5, and --cpus 2.0 the time of two.",
        .example = "cgx run --rm dir:/srv/alpine echo hello\ncgx run -it --mem 512M --cpus 0 oci:images/debian:12 bash\n"
                   "cgx run -d --name web --pids 200 --read-only --tmpfs /tmp -v /srv/www:/www:ro dir:/srv/alpine httpd -f -h /www",
        .options = run_options, .refused = refused_run_flags, .takes = Takes::limits | Takes::program | Takes::stops_at_word | Takes::dry_run | Takes::json, .least = 1, .most = 1, .run = run_run},
    Command{.name = "container ls", .words = "", .doc = "list containers",
        .details = "Lists the containers that run, with how long they do; with --all also those that have ended, and why: the limit that killed one, or the command of cgx that did.",
        .example = "cgx container ls -a\ncgx container ls --json", .options = container_ls_options, .takes = static_cast<unsigned>(Takes::json), .least = 0, .most = 0, .run = run_container, .alias = "container ps"},
    Command{.name = "container inspect", .words = "CONTAINER...", .doc = "show all that is known of containers",
        .details = "Prints JSON: how it was started, its state, group and limits, and of one that has ended why it died: exit status or signal, the memory limit that killed it "
                   "and whose it is, how often the pids limit refused it a process, what cgxd did to it, which command of cgx killed it.",
        .example = "cgx container inspect web\ncgx container inspect -f '{{.State.Pid}}' web", .options = container_inspect_options, .refused = refused_inspect_flags, .takes = static_cast<unsigned>(Takes::json), .least = 1, .most = any_number, .run = run_container},
    Command{.name = "container stop", .words = "CONTAINER...", .doc = "end containers, and kill them where they do not",
        .details = "Sends the stop signal to all of them and waits; what still runs then is killed. Prints the name of each that has ended, now or before. A container that is stopped is not started again by --restart.",
        .example = "cgx container stop web\ncgx container stop -t 2 web db", .options = container_stop_options, .takes = static_cast<unsigned>(Takes::json), .least = 1, .most = any_number, .run = run_container},
    Command{.name = "container kill", .words = "CONTAINER...", .doc = "send a signal to the first process of containers",
        .details = "Sends the signal to the first process, and prints the name of each container that has it. The kernel drops signals for which that process has no handler, but for KILL and STOP; cgx run --init has one that hands them on. "
                   "After KILL it waits up to 10 seconds for the end of each, so that cgx container rm can follow.",
        .example = "cgx container kill web\ncgx container kill -s HUP web", .options = container_kill_options, .takes = static_cast<unsigned>(Takes::json), .least = 1, .most = any_number, .run = run_container},
    Command{.name = "container rm", .words = "CONTAINER...", .doc = "remove containers that have ended",
        .details = "Removes what is left of a container: its layer, its log, its record. Prints the name of each.",
        .example = "cgx container rm web\ncgx container rm -f web", .options = container_rm_options, .refused = refused_rm_flags, .takes = static_cast<unsigned>(Takes::json), .least = 1, .most = any_number, .run = run_container},
    Command{.name = "container pause", .words = "CONTAINER...", .doc = "stop all processes of containers for a while",
        .details = "Freezes the group of the container; returns when all its processes have stopped. Prints the name of each.",
        .example = "cgx container pause web", .options = {}, .takes = static_cast<unsigned>(Takes::json), .least = 1, .most = any_number, .run = run_container},
    Command{.name = "container unpause", .words = "CONTAINER...", .doc = "let paused containers go on",
        .details = "Thaws the group of the container. Prints the name of each.",
        .example = "cgx container unpause web", .options = {}, .takes = static_cast<unsigned>(Takes::json), .least = 1, .most = any_number, .run = run_container},
    Command{.name = "container wait", .words = "CONTAINER...", .doc = "wait for the end of containers",
        .details = "Returns when all have ended, and prints the exit status of each, a line each. One that waits to be started again has its next end waited for. The status of one that run -d --rm has removed is kept for five minutes.",
        .example = "cgx container wait web", .options = container_wait_options, .takes = static_cast<unsigned>(Takes::json), .least = 1, .most = any_number, .run = run_container},
    Command{.name = "container exec", .words = "CONTAINER CMD [ARG...]", .doc = "run a further command in a container",
        .details = "Runs CMD in the namespaces, the group and with the rights of a container that runs. Options stop at CONTAINER. The exit status is as that of cgx run, "
                   "and a limit of memory that has killed CMD is named on standard error.",
        .example = "cgx container exec -it web sh", .options = container_exec_options, .takes = Takes::program | Takes::stops_at_word | Takes::json, .least = 1, .most = 1, .run = run_container},
    Command{.name = "container attach", .words = "CONTAINER", .doc = "see what a container writes, and write to it",
        .details = "Joins the streams of a container that runs; what came before is in cgx container logs. The keys ctrl-p ctrl-q, or others by --detach-keys, typed at its terminal leave it running; so does the end of this command. "
                   "Signals are handed on, but with --sig-proxy=false. The exit status is the container's.",
        .example = "cgx container attach web", .options = container_attach_options, .takes = static_cast<unsigned>(Takes::json), .least = 1, .most = 1, .run = run_container},
    Command{.name = "container logs", .words = "CONTAINER", .doc = "print what a container has written",
        .details = "Its standard output and error, each to that of this command. The log keeps the last 20 MiB or more of it.",
        .example = "cgx container logs -n 20 -f web\ncgx container logs --since 10m -t web", .options = container_logs_options, .takes = static_cast<unsigned>(Takes::json), .least = 1, .most = 1, .run = run_container},
    Command{.name = "container top", .words = "CONTAINER [PS OPTION...]", .doc = "list the processes of a container",
        .details = "Lists what runs in the group of the container, as the host sees it; nothing of the container is executed for it. With options of ps it prints what ps of the "
                   "host does with them, and of that the lines of the container's processes; a column PID has to be there. Its own flags stand before CONTAINER.",
        .example = "cgx container top web\ncgx container top web -o pid,rss,args", .options = {}, .takes = Takes::program | Takes::stops_at_word | Takes::json, .least = 1, .most = 1, .run = run_container},
    Command{.name = "container stats", .words = "[CONTAINER...]", .doc = "show what containers use",
        .details = "CPU, memory and its limit, processes and IO of those named, or of all that run, refreshed each second.",
        .example = "cgx container stats --no-stream\ncgx container stats web --json --no-stream", .options = container_stats_options, .takes = static_cast<unsigned>(Takes::json), .least = 0, .most = any_number, .run = run_container},
    Command{.name = "container update", .words = "CONTAINER... [LIMITS]", .doc = "change limits and the restart policy of containers",
        .details = "Takes every limit that cgx set takes, and is the same transaction: on a failure every value is put back. --restart counts from the next end of the "
                   "container on; while it waits to be started again, it decides whether it is. Prints the name of each.",
        .example = "cgx container update web --mem 2G --cpu-quota 150%\ncgx container update --restart no web", .options = container_update_options, .refused = refused_update_flags,
        .takes = Takes::limits | Takes::dry_run | Takes::json, .least = 1, .most = any_number, .run = run_container},
    Command{.name = "container prune", .words = "", .doc = "remove all containers that have ended",
        .details = "Removes all containers that do not run, and prints their names. Asks before, where standard input is a terminal.",
        .example = "cgx container prune -f", .options = container_prune_options, .takes = static_cast<unsigned>(Takes::json), .least = 0, .most = 0, .run = run_container},
    Command{.name = "gc", .words = "", .doc = "clean up after a crash",
        .details = "Removes what a killed cgx or a power cut has left: groups, layers and records of containers that nobody looks after, and layers that were unpacked by half. "
                   "Containers that run, or have ended as they should, stay. Prints what it removes.",
        .example = "cgx gc\ncgx gc --dry-run", .options = {}, .takes = Takes::dry_run | Takes::json, .least = 0, .most = 0, .run = run_gc},
};
// clang-format on

}  // namespace cgx::tool
