// SPDX-License-Identifier: Apache-2.0
// The rows of all commands.
#include <algorithm>
#include <array>
#include <vector>

#include "cgx/sys/text.h"

#include "command.h"
#include "container_rows.h"
#include "docker_words.h"
#include "isolation.h"

namespace cgx::tool {
namespace {

// clang-format off
constexpr Option controllers_option{"controllers", 0, "LIST", "only in the hierarchies of these controllers (cpu,memory)"};
constexpr Option recursive{"recursive", 'r', "", "the groups below too"};
constexpr Option timeout{"timeout", 0, "TIME", "how long to wait (10s if not given)"};

constexpr std::array create_options{
    Option{"owner", 0, "USER[:GROUP]", "give the group to this user, who may then make groups in it without root"},
    Option{"exist-ok", 0, "", "a group that is already there is no error; its limits are set"},
    controllers_option};
constexpr std::array get_options{Option{"all", 'a', "", "also what is counted, not only what is set"}, recursive};
constexpr std::array delete_options{
    recursive,
    Option{"kill", 0, "", "kill what runs in it first"},
    Option{"to", 0, "NAME", "move its processes to this group first"},
    timeout};
constexpr std::array exec_own_options{
    Option{"rm", 0, "", "remove the group at the end"},
    Option{"report", 0, "", "print what the command used, at the end, on stderr"},
    Option{"by-rules", 0, "", "run it in the group that the rules of the policies name for it, in place of NAME; where it is if no rule does"},
    Option{"policy", 0, "PATH", "with --by-rules: these policies, a file or a directory (/etc/cgx/policies.d if not given)", true},
    controllers_option};
constexpr auto exec_options = [] {
  std::array<Option, exec_own_options.size() + std::size(isolation_options)> all{};
  std::ranges::copy(isolation_options, std::ranges::copy(exec_own_options, all.begin()).out);
  return all;
}();
constexpr std::array move_options{
    Option{"force", 0, "", "PID 1 and kernel threads too, which are refused otherwise"},
    Option{"threads", 0, "", "the numbers are threads: move these alone (v1, or threaded groups on v2)"}};
constexpr std::array ls_options{recursive};
constexpr std::array procs_options{recursive, Option{"threads", 0, "", "list threads"}};
constexpr std::array freeze_options{timeout};
constexpr std::array kill_options{
    Option{"signal", 's', "SIG", "this signal (KILL if not given): a name or a number"}, timeout};
constexpr std::array stat_options{
    recursive,
    Option{"interval", 0, "TIME", "print again after each TIME"},
    Option{"count", 0, "N", "this many times"},
    Option{"perf", 0, "", "count cycles, instructions and more for the interval (1s if not given)"}};
constexpr std::array top_options{
    Option{"once", 0, "", "print one table and end; needs no terminal"},
    Option{"sort", 0, "COLUMN", "cpu, memory, io, pids, pressure or name"},
    Option{"interval", 0, "TIME", "refresh after each TIME (2s if not given)"},
    Option{"depth", 0, "N", "only this many levels below NAME"}};
constexpr std::array events_options{
    Option{"until", 0, "EVENT", "end with status 0 when this event comes"},
    Option{"timeout", 0, "TIME", "end after TIME: with status 0, or 1 where --until waited in vain"},
    Option{"mem-threshold", 0, "SIZE", "tell when memory in use passes SIZE, up or down", true},
    Option{"pressure", 0, "TRIGGER", "tell of stalls: memory:some:150ms/1s (resource, some or full, stall, window); memory:low, medium or critical on v1", true},
    recursive};
constexpr std::array mount_options{
    Option{"v1", 0, "LIST", "a v1 hierarchy with these controllers"},
    Option{"v2", 0, "", "the v2 hierarchy"},
    Option{"named", 0, "NAME", "a v1 hierarchy without controllers, of this name"}};
constexpr std::array daemon_options{
    Option{"number", 'n', "N", "at most N decisions of the history (20 if not given)"},
    Option{"bus", 0, "BUS", "system (if not given), session, or the address of a bus"}};
constexpr Option keep{"keep", 0, "", "leave what is no longer named as it is"};
constexpr Option state{"state", 0, "DIR", "absolute path of the directory of the record (default: /run/cgx, or XDG_RUNTIME_DIR/cgx without root)"};
constexpr std::array check_options{Option{"manager", 0, "auto|systemd|cgroupfs", "whom cgxd has make the groups (default: auto, which is systemd where it is PID 1)"}};
constexpr std::array plan_options{Option{"exit-code", 0, "", "end with status 3 where there is something to do"}, keep, state};
constexpr std::array apply_options{keep, state};

constexpr std::array first_rows{
    Command{.name = "create", .words = "NAME... [LIMITS]", .doc = "make groups and set their limits",
        .details = "Makes each group, with its parents, in every mounted controller hierarchy (v1 and hybrid) or in the one tree of v2, "
                   "enables the controllers that the limits need, and sets the limits. It is a transaction: if anything fails, all that it made is gone again.",
        .example = "cgx create child --cpus 0 --mem 1G\ncgx create web/api --cpu-quota 150% --pids 200\ncgx create jobs --owner alice:users",
        .options = create_options, .takes = Takes::limits | Takes::dry_run | Takes::json, .least = 1, .most = any_number, .run = run_create},
    Command{.name = "set", .words = "NAME... LIMITS", .doc = "change limits of groups",
        .details = "Changes limits of groups that are there. It is a transaction: on a failure every value that was written is put back. "
                   "A memory limit below what is in use is refused when the kernel cannot reclaim enough. On v2, --force sets it all the same, and the kernel kills "
                   "processes of the group. A v1 kernel never takes such a limit (EBUSY), with --force neither: end processes first, or give a higher value.",
        .example = "cgx set child --mem 2G --cpu-shares 512\ncgx set child --set memory.swappiness=10",
        .options = {}, .takes = Takes::limits | Takes::dry_run | Takes::json, .least = 1, .most = any_number, .run = run_set},
    Command{.name = "get", .words = "NAME [KNOB...]", .doc = "show the values in force",
        .details = "KNOB is a kernel file name of either cgroup version, or a flag's name (mem). Without KNOB all that can be set is shown; --all adds what is counted.",
        .example = "cgx get child\ncgx get child mem cpu.max\ncgx get child --all --json",
        .options = get_options, .takes = static_cast<unsigned>(Takes::json), .least = 1, .most = any_number, .run = run_get},
    Command{.name = "delete", .words = "NAME...", .doc = "remove groups",
        .details = "Removes groups. Processes in them are an error that lists them, unless --kill kills them or --to moves them away.",
        .example = "cgx delete child\ncgx delete web -r --kill",
        .options = delete_options, .takes = Takes::dry_run | Takes::json, .least = 1, .most = any_number, .run = run_delete, .alias = "rm"},
    Command{.name = "exec", .words = "[NAME] [LIMITS] -- CMD [ARG...]", .doc = "run a command in a group",
        .details = "Runs CMD inside NAME; it is in the group before its first instruction. With limits or --rm the group is made where it is missing, and removed "
                   "at the end if this call made it. Without NAME a fresh group is used and removed. A frozen group is refused. Signals are passed on. The exit status is CMD's, 128+N if it died "
                   "of signal N, 126 if it cannot be executed, 127 if it was not found, 125 if cgx itself failed before it started. "
                   "Where CMD ended with 137 and the group has counted a kill for memory, a line on standard error names the limit and its group. "
                   "With --by-rules the command is placed as cgxd would place it, but before its first instruction: no process is missed, however short it runs. "
                   "With --isolate, or any of the options below it, the command gets namespaces and a file system of its own, in the group, step by step; each of "
                   "them gives it a mount namespace, so that what is mounted for it is seen by nobody else. With --ns net it has a loopback interface alone.",
        .example = "cgx exec child -- make -j8\ncgx exec --mem 512M --report -- ./simulate\ncgx exec jobs/7 --cpus 0-3 --rm -- ./solver\ncgx exec --by-rules -- make -j8\n"
                   "cgx exec --mem 1G --isolate --ns net -- ./untrusted\ncgx exec --isolate --rootfs /srv/alpine --ro --tmpfs /tmp --user 1000 --cap-drop all -- sh",
        .options = exec_options, .takes = Takes::limits | Takes::program | Takes::dry_run | Takes::json, .least = 0, .most = 1, .run = run_exec},
    Command{.name = "move", .words = "NAME PID...", .doc = "move processes into a group",
        .details = "Moves processes, or single threads, into the group in every hierarchy where it is. Where one hierarchy refuses, the process goes back in all.",
        .example = "cgx move child 4711\ncgx move / $$",
        .options = move_options, .takes = Takes::dry_run | Takes::json, .least = 2, .most = any_number, .run = run_move, .alias = "classify"},
    Command{.name = "ls", .words = "[NAME]", .doc = "list groups",
        .details = "Lists the groups right below NAME (the root if not given), or all below it.",
        .example = "cgx ls\ncgx ls web -r", .options = ls_options, .takes = static_cast<unsigned>(Takes::json), .least = 0, .most = 1, .run = run_ls},
    Command{.name = "tree", .words = "[NAME]", .doc = "show groups with processes, memory and CPU time",
        .details = "Shows the groups below NAME as a tree, each with the number of its processes, its memory and its CPU time.",
        .example = "cgx tree\ncgx tree web --json", .options = {}, .takes = static_cast<unsigned>(Takes::json), .least = 0, .most = 1, .run = run_tree},
    Command{.name = "procs", .words = "NAME", .doc = "list the processes of a group",
        .details = "Lists process ids with command names.",
        .example = "cgx procs child -r", .options = procs_options, .takes = static_cast<unsigned>(Takes::json), .least = 1, .most = 1, .run = run_procs},
    Command{.name = "freeze", .words = "NAME...", .doc = "stop all processes of groups",
        .details = "Stops the whole subtree and returns when it has stopped. Where that does not come true in time, the group runs on.",
        .example = "cgx freeze child --timeout 2s", .options = freeze_options, .takes = Takes::dry_run | Takes::json, .least = 1, .most = any_number, .run = run_freeze},
    Command{.name = "thaw", .words = "NAME...", .doc = "let frozen groups go on",
        .details = "Lets the subtree go on. A group below a frozen one stays frozen, and the error names it.",
        .example = "cgx thaw child", .options = freeze_options, .takes = Takes::dry_run | Takes::json, .least = 1, .most = any_number, .run = run_thaw},
    Command{.name = "kill", .words = "NAME...", .doc = "kill all processes of groups",
        .details = "Kills the whole subtree and returns when it is empty; complete even against a fork bomb. Other signals are sent once to each process.",
        .example = "cgx kill child\ncgx kill -s TERM child", .options = kill_options, .takes = Takes::dry_run | Takes::json, .least = 1, .most = any_number, .run = run_kill},
    Command{.name = "stat", .words = "NAME...", .doc = "show what groups use",
        .details = "CPU time, throttling, memory, OOM kills, page faults, IO, processes and pressure, under the same names on v1 and v2. What this kernel does not count is left out.",
        .example = "cgx stat child\ncgx stat web -r --json\ncgx stat child --interval 1s --count 10",
        .options = stat_options, .takes = static_cast<unsigned>(Takes::json), .least = 1, .most = any_number, .run = run_stat},
    Command{.name = "top", .words = "[NAME]", .doc = "watch groups live",
        .details = "A live table of groups. Keys: c CPU, m memory, i IO, p pids, s pressure, n name, r turns the order, q ends.",
        .example = "cgx top\ncgx top web --once --sort memory", .options = top_options, .takes = static_cast<unsigned>(Takes::json), .least = 0, .most = 1, .run = run_top},
    Command{.name = "events", .words = "NAME...", .doc = "print events of groups as they come",
        .details = "Prints a line an event, as the kernel tells of it (eventfd, poll, inotify), never by polling: oom (the limit is reached), oom_kill, under_oom (v1: "
                   "paused at the limit), low, high and max (v2), threshold and pressure (as the flags ask), populated, empty, frozen, thawed, removed and, with -r, created. "
                   "An event is a change: a group that is empty when the watching begins is not told of as empty, but one that is paused is as under_oom. Events of one "
                   "kind that come close together are one line, which counts them (new=N); v2 counts those of the groups below too. "
                   "A group that is populated and empty again within some milliseconds may not be told of. "
                   "With --json a first object, of the event watching, says that the watching has begun, and which events can come.\n\n"
                   "v1 tells of an OOM before its kill, and not of the kill: for a second after each OOM the counter is read again, as is the state of a group that freezes. "
                   "It has no event for a process that is moved out of a group: there, empty may come when that process ends. "
                   "Ends when all groups are removed, after --timeout (status 1 where --until waited in vain), or at a signal.",
        .example = "cgx events child\ncgx events child --until oom --timeout 1m\ncgx events child --mem-threshold 500M --json\n"
                   "cgx events web -r --pressure memory:some:150ms/2s",
        .options = events_options, .takes = static_cast<unsigned>(Takes::json), .least = 1, .most = any_number, .run = run_events},
    Command{.name = "controllers", .words = "", .doc = "list controllers, where they are mounted and their knobs",
        .details = "One row a controller: its version, its mount point, and the knobs that this kernel has.",
        .example = "cgx controllers --json", .options = {}, .takes = static_cast<unsigned>(Takes::json), .least = 0, .most = 0, .run = run_controllers},
    Command{.name = "mount", .words = "DIR", .doc = "mount a cgroup hierarchy",
        .details = "Mounts a hierarchy at DIR, which is made if it is missing.",
        .example = "cgx mount --v1 net_cls,net_prio /sys/fs/cgroup/net\ncgx mount --v2 /sys/fs/cgroup",
        .options = mount_options, .takes = Takes::dry_run | Takes::json, .least = 1, .most = 1, .run = run_mount},
    Command{.name = "umount", .words = "DIR", .doc = "unmount a cgroup hierarchy",
        .details = "Unmounts a hierarchy; the kernel drops it when no group is left in it. Only cgroup mounts are touched.",
        .example = "cgx umount /sys/fs/cgroup/net", .options = {}, .takes = Takes::dry_run | Takes::json, .least = 1, .most = 1, .run = run_umount},
    Command{.name = "explain", .words = "NAME|PID", .doc = "show what really limits a group or process",
        .details = "For each resource the tightest limit on the path to the root, whose it is, how much room is left, and what throttled or killed it.",
        .example = "cgx explain web/api\ncgx explain 4711", .options = {}, .takes = static_cast<unsigned>(Takes::json), .least = 1, .most = 1, .run = run_explain},
    Command{.name = "check", .words = "FILE...", .doc = "find what is wrong with policies",
        .details = "Reads policies and tells everything that is wrong in them at once, each with its place, and what this host cannot honour. FILE is a file, a directory "
                   "(its *.yaml and *.yml in name order), or - for standard input. Status 2 where something is wrong; warnings are notes. "
                   "Where systemd makes the groups, only groups that can be slices pass; --manager cgroupfs is for a cgxd that makes the groups itself.",
        .example = "cgx check web.yaml\ncgx check /etc/cgx/policies.d --json", .options = check_options, .takes = static_cast<unsigned>(Takes::json), .least = 1, .most = any_number, .run = run_check},
    Command{.name = "plan", .words = "FILE...", .doc = "show what apply would change",
        .details = "Prints a line a change (+ GROUP, ~ GROUP KEY OLD -> NEW, - GROUP) and a summary, and changes nothing. Status 0 whether there are changes or not; "
                   "with --exit-code it is 3 where there are.",
        .example = "cgx plan web.yaml\ncgx plan /etc/cgx/policies.d --exit-code", .options = plan_options, .takes = static_cast<unsigned>(Takes::json), .least = 1, .most = any_number, .run = run_plan},
    Command{.name = "apply", .words = "FILE...", .doc = "make groups and limits as policies say",
        .details = "Makes the groups that the policies name and sets their limits, as one transaction: on any failure, and at a signal, all is put back. A second apply "
                   "of the same policies makes no write. Each FILE or directory is managed as one: what it named before and no longer names goes. A group that was made for "
                   "it is removed, and the processes in it move to the group above; limits of groups that stay go back to what they were before, as does the owner. "
                   "What no policy has named is never touched.\n\n"
                   "It is an error where a group that is to go has groups below it that no policy manages, and on v2 where the group above cannot hold its processes, since it "
                   "gives controllers to other groups. A group belongs to one FILE at a time; once a file is gone, another may name its groups.\n\n"
                   "What is managed is recorded in /run/cgx, in $XDG_RUNTIME_DIR/cgx for users other than root. An apply that was killed is finished by the next one of the same FILE.\n\n"
                   "Rules, on_oom, on_pressure and oom: pause are carried out by cgxd while it runs, not by this command.",
        .example = "cgx apply web.yaml\ncgx apply /etc/cgx/policies.d --keep\ncgx apply web.yaml --dry-run",
        .options = apply_options, .takes = Takes::dry_run | Takes::json, .least = 1, .most = any_number, .run = run_apply},
    Command{.name = "snapshot", .words = "[NAME]", .doc = "print what is set as a policy",
        .details = "Prints a policy that makes NAME and the groups below it (all groups if not given) as they are: what differs from the kernel's defaults. Applying it "
                   "here changes nothing; on a host with the other cgroup version it makes the same limits, or check says which it cannot. Groups that systemd owns are left out.",
        .example = "cgx snapshot web\ncgx snapshot", .options = {}, .takes = 0, .least = 0, .most = 1, .run = run_snapshot},
    Command{.name = "import", .words = "[FILE...]", .doc = "print libcgroup's configuration as a policy",
        .details = "Reads files of libcgroup, cgconfig.conf(5) or cgrules.conf(5) (those in /etc if none is given), and prints a policy of the same meaning. "
                   "What a policy has no words for is told, and stands in comments of the policy.",
        .example = "cgx import /etc/cgconfig.conf\ncgx import", .options = {}, .takes = 0, .least = 0, .most = any_number, .run = run_import},
    Command{.name = "doctor", .words = "", .doc = "check this host",
        .details = "Checks mounts, versions, controllers, kernel features, permissions and systemd, each with what to do. What could not be looked at is told as that. Status 1 where something is broken.",
        .example = "cgx doctor", .options = {}, .takes = static_cast<unsigned>(Takes::json), .least = 0, .most = 0, .run = run_doctor},
    Command{.name = "daemon", .words = "status|reload|groups|get|history|explain|apply|plan|watch [NAME|FILE]", .doc = "talk to cgxd",
        .details = "status shows how cgxd does. reload makes it read its policies again. groups lists what it manages, and get NAME shows the values of one. "
                   "history shows its last decisions about memory, the newest last. explain NAME says what it would do if the group ran out of memory now, without doing it. "
                   "apply FILE hands it the text of a policy, and prints what that changed; plan FILE prints what it would change; - is standard input. "
                   "watch prints its signals as they come: Oom, Action, PolicyChanged, GroupAdded, GroupRemoved, and when cgxd stops and starts.\n\n"
                   "Everybody may look. Changing is for root, and for those whom polkit authorises. All of it is the D-Bus interface of org.cgx.Manager1(5).",
        .example = "cgx daemon status\ncgx daemon history -n 5\ncgx daemon plan web.yaml\ncgx daemon watch --json",
        .options = daemon_options, .takes = static_cast<unsigned>(Takes::json), .least = 1, .most = 2, .run = run_daemon},
    Command{.name = "completion", .words = "bash|zsh|fish", .doc = "print a completion script",
        .details = "Prints the completion script of a shell.",
        .example = "cgx completion bash >/etc/bash_completion.d/cgx", .options = {}, .takes = 0, .least = 1, .most = 1, .run = run_completion},
    Command{.name = "help", .words = "[COMMAND [SUBCOMMAND]]", .doc = "show help",
        .details = "Shows the commands, or the help of one.",
        .example = "cgx help create\ncgx help container stop", .options = {}, .takes = 0, .least = 0, .most = 2, .run = run_help},
};
// clang-format on

// Those of containers stand after exec, which is their neighbour.
constexpr auto rows = [] {
  std::array<Command, first_rows.size() + container_rows.size()> all{};
  const auto* after = std::ranges::find(first_rows, "exec", &Command::name) + 1;
  auto* end = std::ranges::copy(first_rows.begin(), after, all.begin()).out;
  end = std::ranges::copy(container_rows, end).out;
  std::ranges::copy(after, first_rows.end(), end);
  return all;
}();

consteval bool well_formed() {
  for (const Command& c : rows) {
    if (c.doc.empty() || c.doc.back() == '.' || c.example.empty() || c.details.empty() || c.run == nullptr)
      return false;
    for (const Option& o : c.options)
      if (o.doc.empty()) return false;
  }
  return true;
}
static_assert(well_formed());

}  // namespace

std::span<const Command> commands() { return rows; }

Error no_command(std::string_view name) {
  if (const DockerWord* word = find_docker_word(name); word != nullptr) {
    Error error = bad_value(name, word->planned ? "is not supported yet" : "is not a command").error();
    error.hint = word->planned ? std::string(word->hint) : "run " + std::string(word->hint);
    return error;
  }
  Error error = bad_value(name, "is not a command").error();
  std::vector<std::string_view> known;
  for (const Command& c : commands()) known.push_back(c.name);
  const std::string_view close = sys::nearest(name, known);
  error.hint = close.empty() ? "cgx help lists the commands" : "did you mean cgx " + std::string(close) + "?";
  return error;
}

const Command* find_command(std::string_view name) {
  for (const Command& c : rows)
    if (c.name == name || (!c.alias.empty() && c.alias == name)) return &c;
  return nullptr;
}

Found find_command(std::span<const std::string_view> arguments) {
  if (arguments.empty()) return {};
  if (arguments.size() > 1)
    if (const Command* two = find_command(std::string(arguments[0]) + ' ' + std::string(arguments[1])); two != nullptr)
      return {two, 2};
  const Command* one = find_command(arguments[0]);
  return {one, one != nullptr ? std::size_t{1} : std::size_t{0}};
}

bool takes_limit(const Command& command, const Knob& knob) {
  return has(command.takes, Takes::limits) && !knob.flag.empty() &&
         std::ranges::find(command.options, knob.flag, &Option::name) == command.options.end();
}

std::vector<const Command*> commands_below(std::string_view name) {
  std::vector<const Command*> found;
  for (const Command& c : rows)
    if (c.name.size() > name.size() && c.name.starts_with(name) && c.name[name.size()] == ' ') found.push_back(&c);
  return found;
}

}  // namespace cgx::tool
