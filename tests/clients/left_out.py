#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""usage: left_out.py OURS OTHER: for left_out.test. Runs a container with all that a configuration can say, and then
one without each member of it in turn, by both runtimes; and so for the processes of `exec --process`. A program in the
container tells what it has got. Prints PASS and FAIL lines: the answers are the same, or differ as DIFFERS says.
"""

import concurrent.futures
import copy
import fnmatch
import json
import os
import subprocess
import sys

import bundle

STATE = os.environ["CGX_CLIENTS_STATE"]
GROUP = os.environ["CGX_CLIENTS_CGROUP"]
HOST = {name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")}

# What the program in the container tells, as lines of KEY=VALUE.
PROBE = r"""
echo "ids=$(id -u):$(id -g) $(id -G)"
sed -n 's/^\(Cap...\|NoNewPrivs\|Seccomp\|Umask\):\t/\1=/p' /proc/self/status
echo "oom_score_adj=$(cat /proc/self/oom_score_adj)"
echo "host name=$(hostname)"
echo "directory=$(pwd)"
echo "environment=$(env | grep -v '^\(PWD\|SHLVL\|OLDPWD\)=' | sort | tr '\n' ' ')"
sed -n 's/^\(Max.\{21\}\) \(.\{20\}\) \(.\{20\}\).*/\1=\2\3/p' /proc/self/limits | tr -s ' '
for n in /proc/self/ns/*; do echo "namespace ${n##*/}=$(readlink $n)"; done
sed 's/^\([^ ]* \)\{4\}\([^ ]*\) \([^ ]*\)\(.*\) - \([^ ]*\) [^ ]* .*/mount \2=\3\4 \5/; s/:[0-9]*//g' /proc/self/mountinfo
for n in /dev/*; do test -c $n -a ! -L $n && echo "device $n=$(stat -c '%a %u:%g' $n)"; done
for n in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug /sys/firmware /proc/scsi; do
  test -e $n && echo "masked $n=$(test -d $n && ls $n | head -n 1 || head -c 10 $n 2>/dev/null | wc -c)"
done
for n in $(hostile writable /proc/sys/kernel/panic /proc/sysrq-trigger /proc/irq/default_smp_affinity /new \
  /sys/kernel/profiling $(find /sys/fs/cgroup -name cgroup.procs) | cut -d ' ' -f 2); do echo "writable $n=yes"; done
touch /new 2>/dev/null && echo "writable /=yes" && rm /new
echo "filter=$(mkdir /tmp/made 2>&1 && rmdir /tmp/made)"
cd /sys/fs/cgroup && for n in memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes \
  memory/memory.soft_limit_in_bytes memory/memory.swappiness pids/pids.max cpu/cpu.shares cpu/cpu.cfs_quota_us \
  cpu/cpu.cfs_period_us cpuset/cpuset.cpus cpuset/cpuset.mems devices/devices.list memory.max memory.swap.max \
  memory.low pids.max cpu.weight cpu.max cpuset.cpus; do
  for f in $n */$n; do test -f $f && echo "cgroup $n=$(sort $f | tr '\n' ' ')"; done
done
test -e /hooked && echo "hook=ran"
exit 0
"""


def full():
    """A configuration that has every member whose absence could mean more rights."""
    c = bundle.configuration()
    bundle.args(c, "sh", "-c", PROBE)
    c["process"].update(
        user={"uid": 0, "gid": 0, "umask": 0o27, "additionalGids": [5, 7]},
        rlimits=[{"type": "RLIMIT_NOFILE", "hard": 700, "soft": 600},
                 {"type": "RLIMIT_NPROC", "hard": 500, "soft": 500}],
        oomScoreAdj=500, cwd="/tmp")
    c["process"]["capabilities"].update(inheritable=["CAP_KILL"], ambient=["CAP_KILL"])
    c["root"]["readonly"] = True
    c["mounts"].append(bundle.entry("/tmp", "tmpfs", "tmpfs", "nosuid", "nodev", "noexec", "mode=1777"))
    c["linux"].update(
        rootfsPropagation="slave", sysctl={"kernel.msgmax": "4096"},
        devices=[{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600, "uid": 3, "gid": 4}],
        seccomp={"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
                 "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]})
    c["linux"]["resources"].update(
        memory={"limit": 1 << 26, "swap": 1 << 26, "reservation": 1 << 25},
        cpu={"shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0"}, pids={"limit": 50})
    c["annotations"] = {"org.example": "x"}
    c["hooks"] = {"createRuntime": [{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 5}]}
    return c


def members(value, path=()):
    """The paths of all that can be left out: members of objects, and entries of lists that are objects themselves."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*path, name)
            yield from members(inner, (*path, name))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, inner in enumerate(value):
            yield (*path, number)
            yield from members(inner, (*path, number))


def without(config, path):
    config = copy.deepcopy(config)
    inner = config
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return config


def name_of(config, path):
    """process.user.uid, mounts(/proc).options"""
    text, inner = "", config
    for step in path:
        inner = inner[step]
        if isinstance(step, str):
            text += ("." if text else "") + step
        else:
            text += f"({inner.get('destination') or inner.get('path') or inner.get('type') or step})"
    return text


class Runtime:
    def __init__(self, program, label):
        self.program, self.label, self.count = program, label, 0

    def call(self, *words, timeout=20):
        return subprocess.run([self.program, "--root", f"{STATE}/run-{self.label}", *words], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout, check=False)

    def prepare(self, config):
        self.count += 1
        where = f"{STATE}/left-{self.label}"
        os.makedirs(where, exist_ok=True)
        if not os.path.islink(f"{where}/rootfs"):
            os.symlink(f"{STATE}/rootfs-{self.label}", f"{where}/rootfs")
        config = copy.deepcopy(config)
        if "cgroupsPath" in config.get("linux", {}):
            config["linux"]["cgroupsPath"] = f"{GROUP}-{self.label}-{self.count}"
        if "path" in config.get("root", {}):
            config["root"]["path"] = f"{STATE}/rootfs-{self.label}"
        with open(f"{where}/config.json", "w", encoding="utf-8") as file:
            json.dump(config, file)
        return where, f"{self.label}{self.count}"

    def run(self, config):
        where, name = self.prepare(config)
        try:
            return answer(self.call("run", "-b", where, name))
        finally:
            self.call("delete", "--force", name)

    def hold(self, config):
        where, name = self.prepare(config)
        # Not to pipes: the container keeps them open.
        with open(f"{STATE}/held-{self.label}", "w+", encoding="utf-8") as log:
            done = subprocess.run([self.program, "--root", f"{STATE}/run-{self.label}", "run", "-d", "-b", where, name],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=20, check=False)
            log.seek(0)
            if done.returncode != 0:
                print(f"FAIL {self.program} holds no container:", log.read())
        return name

    def further(self, name, process):
        where = f"{STATE}/process-{self.label}.json"
        with open(where, "w", encoding="utf-8") as file:
            json.dump(process, file)
        return answer(self.call("exec", "--process", where, name))


def answer(done):
    """What the program told, as a dict; of a container that did not start, the error."""
    lines = [line.split("=", 1) for line in done.stdout.splitlines() if "=" in line]
    if done.returncode != 0 or not lines:
        return {"refused": (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]}
    told = {}
    for key, value in lines:
        if key.startswith("namespace "):
            value = "the host's" if HOST.get(key.split()[1]) == value else "its own"
        told[key] = told[key] + " + " + value if key in told else value
    return told


# What may be otherwise than by the other runtime: CASE, KEY, our VALUE, all three patterns, and why. A value that is
# not there is "". "refused": we refuse, and the other one starts it. Where the other one refuses, our answers are
# compared with those that we give where nothing is left out.
DIFFERS = [
    # Everywhere.
    ("*", "mount /proc/*", "*,nosuid,*noexec,* *tmpfs", "masks are the host's /dev/null, and a tmpfs with no rights"),
    ("*", "mount /sys/firmware", "ro,nosuid,nodev,noexec,* tmpfs", "the same"),
    ("*", "mount /sys/fs/cgroup", "ro,nosuid,nodev,noexec,* tmpfs", "is read-only as its hierarchies are"),
    ("*", "mount /sys/fs/cgroup/unified", "r?,nosuid,nodev,noexec,* cgroup2", "runc shows no cgroup2 beside version 1"),
    ("mounts(/sys/fs/cgroup).options", "writable /sys/fs/cgroup/unified/*", "yes", "the same; all are writable"),
    ("*", "cgroup devices/devices.list", "b *:* m c *:* m c 136:* rwm c 1:3 *", "runc before 1.2 allows /dev/net/tun"),
    # Refused, since nobody can say what was meant.
    ("ociVersion", "refused", "*ociVersion*", "is required"),
    ("*rlimits(*).soft", "refused", "*.soft: is missing*", "is required; runc takes 0"),
    ("linux.devices(*).*", "refused", "*is missing*", "is required; runc takes 0, and the root directory"),
    ("linux.seccomp.syscalls(0).names", "refused", "*is missing*", "is required; runc forgets the rule"),
    ("with a user namespace: *Mappings(0).*ID", "refused", "*is missing*", "is required; runc takes 0, which is root"),
    ("with a user namespace: linux.namespaces(user)", "refused", "*needs a user namespace*", "runc takes the host's"),
    # Started, with less. runc fails here.
    ("*capabilities.permitted", "Cap[PE]*", "0000000000000000", "what is not permitted is not effective"),
    ("*capabilities.permitted", "CapAmb", "0000000000000000", "what is not permitted is not ambient"),
    ("*mounts*", "*", "", "what is told by files in /proc, /sys and /dev is not told"),
    ("*mounts*", "namespace *", "*", "as little"),
    ("*mounts", "device /dev/*", "", "there is no /dev"),
    ("with a user namespace: linux.namespaces(pid)", "namespace pid*", "the host's", "/proc is a bind of the host's"),
    ("with a user namespace: linux.namespaces(pid)", "mount /proc*", "r?,nosuid,nodev,noexec,* proc", "the same"),
    ("with a user namespace: linux.namespaces(network)", "namespace net", "the host's", "/sys is a bind of the host's"),
    ("with a user namespace: linux.namespaces(network)", "mount /sys*", "ro,nosuid,nodev,noexec,*", "the same"),
    # Where runc refuses: what is masked and read-only is so all the same, in a root that is in no namespace.
    ("linux.namespaces(mount)", "mount *", "", "mountinfo tells of the mounts of the host's namespace alone"),
    ("linux.namespaces(mount)", "namespace mnt", "the host's", "as asked"),
    # Private instead of what the host's are.
    ("*linux.namespaces(cgroup)", "mount *", "* cgroup", "shows what the host mounts later to nobody"),
    ("with a user namespace: *", "mount /", "ro,relatime tmpfs", "the same"),
    ("with a user namespace: *", "mount /dev/*", "rw,nosuid,noexec,relatime devtmpfs", "the same"),
    ("linux.rootfsPropagation", "mount /", "ro,relatime tmpfs", "the same"),
    # exec --process: runc takes some of it from the container, or from nowhere.
    ("exec: *", "Umask", "0007", "as asked"),
    ("exec: *", "oom_score_adj", "700", "as asked"),
    ("exec: *", "Max open files*", " 60 70 ", "as asked; runc raises the soft limit now and then, since Go does"),
    ("exec: noNewPrivileges", "NoNewPrivs", "1", "is the container's"),
    ("exec: rlimits", "Max open files*", " 600 700 ", "is the container's"),
    ("exec: rlimits", "Max processes*", " 500 500 ", "is the container's"),
]
# Of a row for all, with a value of one's own: it has to be there and to be this.
MUST = [
    ("process.capabilities", "Cap*", "0000000000000000"),
    ("as a user: process.capabilities", "Cap*", "0000000000000000"),
    ("exec: capabilities", "CapBnd", "0000000020000420"),
    ("exec: oomScoreAdj", "oom_score_adj", "500"),
    ("mounts(/sys/fs/cgroup).options", "mount /sys/fs/cgroup*", "rw,nosuid,nodev,noexec,*"),
]


def allowed(case, key, value):
    return any(fnmatch.fnmatchcase(case, c) and fnmatch.fnmatchcase(key, k) and fnmatch.fnmatchcase(value, v)
               for c, k, v, _ in DIFFERS)


def problems(case, ours, other, plain):
    """plain: our answer where nothing is left out."""
    for c, key, value in MUST:
        if c == case:
            found = [k for k in ours if fnmatch.fnmatchcase(k, key)]
            if not found or not all(fnmatch.fnmatchcase(ours[k], value) for k in found):
                yield f"{key} is {[ours[k] for k in found]}, not {value}"
    if "refused" in ours and "refused" in other:
        return
    if "refused" in ours:
        if not allowed(case, "refused", ours["refused"]):
            yield f"is refused: {ours['refused']}"
        return
    beside = plain if "refused" in other else other
    for key in sorted({*ours, *beside}):
        value = ours.get(key, "")
        if value != beside.get(key, "") and not allowed(case, key, value):
            yield f"{key} is \"{value}\", not \"{beside.get(key, '')}\"" + (
                f" (the other refuses: {other['refused']})" if "refused" in other else "")


def containers():
    """CASE: configuration."""
    base, as_user, mapped = full(), full(), full()
    as_user["process"]["user"] = {"uid": 1000, "gid": 1001, "umask": 0o27, "additionalGids": [5, 7]}
    bundle.user_namespace(mapped, [(0, 100000, 65536)])
    yield "nothing", base
    for path in members(base):
        # Without cgroupsPath the group is below the caller's, of which tests/tools/oci_groups.test is.
        if path not in (("linux",), ("linux", "cgroupsPath")):
            yield name_of(base, path), without(base, path)
    yield "as a user: nothing", as_user
    for path in members(as_user):
        if path[:2] in (("process", "user"), ("process", "capabilities")):
            yield "as a user: " + name_of(as_user, path), without(as_user, path)
    yield "with a user namespace: nothing", mapped
    for path in members(mapped):
        if path[:2] in (("linux", "uidMappings"), ("linux", "gidMappings"), ("linux", "namespaces")) and len(path) > 2:
            yield "with a user namespace: " + name_of(mapped, path), without(mapped, path)
    # What is refused as long as something else needs it.
    for names in (("hostname", "linux.namespaces(uts)"), ("linux.sysctl", "linux.namespaces(ipc)"),
                  ("linux.sysctl", "mounts"), ("linux.sysctl", "mounts(/proc)"),
                  ("process.capabilities.bounding", "process.capabilities.inheritable", "process.capabilities.ambient"),
                  ("linux.resources.memory.swap", "linux.resources.memory.limit")):
        config = base
        for name in names:
            config = without(config, next(p for p in members(config) if name_of(config, p) == name))
        yield " and ".join(names), config


def processes():
    """CASE: a process for a container that is as full() says. Each member of it differs from the container's."""
    process = full()["process"]
    process.update(user={"uid": 1000, "gid": 1001, "umask": 0o7, "additionalGids": [8]}, noNewPrivileges=False,
                   rlimits=[{"type": "RLIMIT_NOFILE", "hard": 70, "soft": 60}], oomScoreAdj=700, cwd="/")
    process["capabilities"] = {name: ["CAP_KILL"] for name in process["capabilities"]}
    yield "exec: nothing", process
    for path in members(process):
        yield "exec: " + name_of(process, path), without(process, path)


def answers_of(runtime):
    told = {case: runtime.run(config) for case, config in containers()}
    config = full()
    bundle.args(config, "sleep", "1000")
    name = runtime.hold(config)
    told.update({case: runtime.further(name, process) for case, process in processes()})
    runtime.call("delete", "--force", name)
    return told


def main():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        ours, other = pool.map(answers_of, (Runtime(sys.argv[1], "a"), Runtime(sys.argv[2], "b")))
    # runc fails now and then for a reason of its own.
    configurations = dict(containers())
    for case, told in other.items():
        if "refused" in told and case in configurations and "refused" not in ours[case]:
            other[case] = Runtime(sys.argv[2], "b").run(configurations[case])
    failed = {}
    for case, answer_of_ours in ours.items():
        kind = case.rpartition(": ")[0]
        plain = ours[f"{kind}: nothing" if kind else "nothing"]
        failed.setdefault(kind, []).extend(
            f"{case}: {why}" for why in problems(case, answer_of_ours, other[case], plain))
        if case.endswith("nothing") and "refused" in answer_of_ours:
            failed[kind].append(f"{case}: {answer_of_ours['refused']}")
    for kind, found in failed.items():
        name = "what a specification leaves out" + (f", {kind}" if kind else "")
        print(f"FAIL {name}: " + "\n  also ".join(found) if found else f"PASS {name}")
    return any(failed.values())


if __name__ == "__main__":
    sys.exit(main())
