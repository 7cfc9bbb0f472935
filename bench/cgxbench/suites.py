# SPDX-License-Identifier: Apache-2.0
"""The suites: which commands do the same job, and what cgx promises about it."""

import os
import re
import subprocess
import tempfile

from . import scrape
from .measure import Case, Suite, Target

CONTROLLERS = ["cpu", "memory", "pids"]
LIST = ",".join(CONTROLLERS)
TRUE = "/bin/true"
SHOW = ["/bin/cat", "/proc/self/cgroup"]

KNOBS_V1 = ["cpu.shares=512", "cpu.cfs_quota_us=50000", "memory.limit_in_bytes=67108864", "pids.max=100"]
KNOBS_V2 = ["cpu.weight=50", "cpu.max=50000 100000", "memory.max=67108864", "pids.max=100"]
# The same four values as flags of cgx, which names them alike on both versions.
FLAGS_V1 = ["--cpu-shares", "512", "--cpu-quota", "50%", "--mem", "64M", "--pids", "100"]
FLAGS_V2 = ["--cpu-weight", "50", "--cpu-quota", "50%", "--mem", "64M", "--pids", "100"]

# What the fields of `stat` need: CPU time and throttling, memory now, at its peak and by kind, OOM kills, faults, pids.
STAT_V1 = [
    "cpu.stat",
    "cpuacct.stat",
    "cpuacct.usage",
    "memory.usage_in_bytes",
    "memory.max_usage_in_bytes",
    "memory.stat",
    "memory.oom_control",
    "pids.current",
]
STAT_V2 = ["cpu.stat", "memory.current", "memory.peak", "memory.stat", "memory.events", "pids.current"]


class Suites:
    def __init__(self, host, groups):
        self.host, self.groups = host, groups
        self.cgx = host.cgx
        self.controllers = CONTROLLERS
        self.absent = []
        self.v1 = all(host.is_v1(c) for c in CONTROLLERS)
        self.distinct = list(dict.fromkeys(host.mount_of(c) for c in CONTROLLERS))
        self.tools = {}
        for name in ("cgexec", "cgcreate", "cgset", "cgdelete", "cgget", "lscgroup"):
            self.tools[name] = host.tool(name)
            if self.tools[name] is None:
                self.absent.append(f"{name}: not installed (package cgroup-tools)")
        if self.cgx is None:
            self.absent.append(f"cgx: no program at {os.path.relpath(host.cgx_path)}")
        if not host.systemd:
            self.absent.append("systemd-run: systemd is not PID 1 here")
        elif host.tool("systemd-run") is None:
            self.absent.append("systemd-run: not installed")

    def have(self, *names):
        return all(self.tools[name] for name in names)

    def floors(self, *args):
        return [
            Case("floor, static", [[self.host.floor("static"), *args]]),
            Case("floor, dynamic", [[self.host.floor("dynamic"), *args]]),
        ]

    def deletes(self, name):
        """A cgdelete for each hierarchy: given several controllers, it removes only the first directory."""
        once = [CONTROLLERS[0]] if len(self.distinct) == 1 else CONTROLLERS
        return [[self.tools["cgdelete"], "-g", f"{controller}:{name}"] for controller in once]

    def knobs(self):
        return KNOBS_V1 if self.v1 else KNOBS_V2

    def flags(self):
        return FLAGS_V1 if self.v1 else FLAGS_V2

    def cgset(self, name):
        return [self.tools["cgset"], *[word for knob in self.knobs() for word in ("-r", knob)], name]

    def prove_exec(self, cases, name):
        """Has each case run `cat /proc/self/cgroup` instead: it must show the group for each hierarchy."""
        for case in cases:
            if case.runs == [[TRUE]] or case.name.startswith("systemd-run"):
                continue
            case.proof = [[word for old in run for word in (SHOW if old == TRUE else [old])] for run in case.runs]
            case.needle, case.times = ":/" + name, len(self.distinct)

    def exec_ready(self, pause):
        name = self.groups.make("ready-pause" if pause else "ready", CONTROLLERS)
        cases = self.floors("exec-ready", LIST, name, "--", TRUE)
        cases.append(Case("true alone", [[TRUE]]))
        if self.cgx:
            cases.append(Case("cgx exec", [[self.cgx, "exec", name, "--controllers", LIST, "--", TRUE]]))
        if self.have("cgexec"):
            cases.append(Case("cgexec", [[self.tools["cgexec"], "-g", f"{LIST}:{name}", TRUE]]))
        self.prove_exec(cases, name)
        limit, when = (0.4, "after a pause") if pause else (0.8, "back to back")
        targets = [
            Target(f"exec in a ready group {when}, against the floor", "cgx exec", "floor, static", 1.25),
            Target(f"exec in a ready group {when}, against cgexec", "cgx exec", "cgexec", limit),
        ]
        title = f"Run {TRUE} in a group that is there, {f'{pause} s after the run before' if pause else 'back to back'}"
        return Suite(
            "exec-pause" if pause else "exec-ready",
            title,
            cases,
            targets,
            40 if pause else 300,
            3 if pause else 10,
            pause,
        )

    def exec_fresh(self, pause):
        name = self.groups.name("fresh-pause" if pause else "fresh")
        cases = self.floors("exec-fresh", LIST, name + "-f", "--", TRUE)
        if self.cgx:
            cases.append(
                Case("cgx exec --rm", [[self.cgx, "exec", name + "-x", "--rm", "--controllers", LIST, "--", TRUE]])
            )
        if self.have("cgexec", "cgcreate", "cgdelete"):
            group = f"{LIST}:{name}-l"
            cases.append(
                Case(
                    "cgcreate, cgexec, cgdelete",
                    [
                        [self.tools["cgcreate"], "-g", group],
                        [self.tools["cgexec"], "-g", group, TRUE],
                        *self.deletes(name + "-l"),
                    ],
                )
            )
        if self.host.systemd and self.host.tool("systemd-run"):
            cases.append(
                Case(
                    "systemd-run --scope",
                    [
                        [
                            self.host.tool("systemd-run"),
                            "--scope",
                            "--quiet",
                            "--collect",
                            "-p",
                            "CPUAccounting=1",
                            "-p",
                            "MemoryAccounting=1",
                            "-p",
                            "TasksAccounting=1",
                            TRUE,
                        ]
                    ],
                )
            )
        self.prove_exec(cases, name)
        when = "after a pause" if pause else "back to back"
        targets = [
            Target(f"exec in a fresh group {when}, against the floor", "cgx exec --rm", "floor, static", 1.3),
            Target(
                f"exec in a fresh group {when}, against cgroup-tools",
                "cgx exec --rm",
                "cgcreate, cgexec, cgdelete",
                0.4 if pause else 0.8,
            ),
        ]
        how = f"{pause} s after the run before" if pause else "back to back"
        title = f"Make a group, run {TRUE} in it, remove it, {how}"
        return Suite(
            "fresh-pause" if pause else "exec-fresh",
            title,
            cases,
            targets,
            30 if pause else 200,
            3 if pause else 10,
            pause,
        )

    def change(self):
        name = self.groups.name("change")
        cases = []
        for kind in ("static", "dynamic"):
            floor = self.host.floor(kind)
            cases.append(
                Case(
                    f"floor, {kind}",
                    [[floor, "create", LIST, name], [floor, "set", name, *self.knobs()], [floor, "delete", LIST, name]],
                )
            )
        floor = self.host.floor("static")
        cases.append(
            Case(
                "floor, static, reading back",
                [
                    [floor, "create", LIST, name],
                    [floor, "set", "-r", name, *self.knobs()],
                    [floor, "delete", LIST, name],
                ],
            )
        )
        if self.cgx:
            create, delete = [self.cgx, "create", name, "--controllers", LIST], [self.cgx, "delete", name]
            cases.append(Case("cgx create, set, delete", [create, [self.cgx, "set", name, *self.flags()], delete]))
            cases.append(Case("cgx create with limits, delete", [create + self.flags(), delete]))
        if self.have("cgcreate", "cgset", "cgdelete"):
            cases.append(
                Case(
                    "cgcreate, cgset, cgdelete",
                    [[self.tools["cgcreate"], "-g", f"{LIST}:{name}"], self.cgset(name), *self.deletes(name)],
                )
            )
        files = [
            os.path.join(self.host.mount_of(knob.split(".")[0]), name, knob.split("=")[0]) for knob in self.knobs()
        ]
        for case in cases:
            case.proof = [*case.runs[:2], ["/bin/cat", *files], *case.runs[2:]]
            if case.name == "cgx create with limits, delete":
                case.proof = [case.runs[0], ["/bin/cat", *files], case.runs[1]]
            case.needle = "".join(knob.split("=")[1] + "\n" for knob in self.knobs())
        targets = [
            Target(
                "create, set and delete, against cgroup-tools",
                "cgx create, set, delete",
                "cgcreate, cgset, cgdelete",
                0.3,
            )
        ]
        notes = ["cgdelete runs once for each hierarchy: given several, it removes one directory and leaves the others"]
        return Suite(
            "change",
            "Make a group, set four limits, remove it, as separate commands",
            cases,
            targets,
            200,
            5,
            notes=notes if len(self.distinct) > 1 else [],
        )

    def apply(self, count):
        """A policy of many groups. The floor removes them each time, also for cgx: only the making differs. cgx finds
        that they are gone, as it would after anybody removed them."""
        name = self.groups.name(f"apply{count}")
        roots = dict.fromkeys(root for key, root in self.host.mounts.items() if not key.startswith("name="))
        every = ",".join(next(key for key, root in self.host.mounts.items() if root == r) for r in roots)
        if not self.v1:
            every = LIST  # of the unified hierarchy what the limits need is enabled
        flat = [f"{name}/n{number:05}" for number in range(count)]
        weight = "shares: 512" if self.v1 else "weight: 50"
        limits = f"{{cpu: {{{weight}, quota: 50%}}, memory: {{max: 64M}}, pids: {{max: 100}}}}"
        scratch = self.groups.scratch()
        policy, state = os.path.join(scratch, f"apply{count}.yaml"), os.path.join(scratch, f"state{count}")
        with open(policy, "w", encoding="utf-8") as file:
            file.write("version: 1\ngroups:\n" + "".join(f"  {group}: {limits}\n" for group in flat))
        unmake = [self.host.floor("static"), "unmake", every, name, str(count)]
        cases = [
            Case(f"floor, {kind}", [[self.host.floor(kind), "make", every, name, str(count), *self.knobs()], unmake])
            for kind in ("static", "dynamic")
        ]
        if self.cgx:
            cases.append(Case("cgx apply", [[self.cgx, "apply", "--state", state, policy], unmake]))
        files = [os.path.join(self.host.mount_of(k.split(".")[0]), flat[-1], k.split("=")[0]) for k in self.knobs()]
        for case in cases:
            case.proof = [case.runs[0], ["/bin/cat", *files], case.runs[1]]
            case.needle = "".join(knob.split("=")[1] + "\n" for knob in self.knobs())
        targets = [Target(f"apply of {count:,} groups, against the floor", "cgx apply", "floor, static", 1.75)]
        return Suite(
            f"apply{count}",
            f"Make {count:,} groups with four limits each by a policy, and remove them (the floor does)",
            cases,
            targets,
            15,
            2,
            notes=[f"groups are made in {len(roots)} hierarchies"],
        )

    def ls(self, count):
        name = self.groups.make_tree(f"ls{count}", ["cpu"], count)
        cases = self.floors("ls", "cpu", name)
        path = os.path.join(self.host.mount_of("cpu"), name)
        cases.append(Case("find -type d", [[self.host.tool("find"), path, "-type", "d"]]))
        if self.cgx:
            cases.append(Case("cgx ls -r", [[self.cgx, "ls", name, "-r"]]))
        if self.have("lscgroup"):
            cases.append(Case("lscgroup", [[self.tools["lscgroup"], f"cpu:/{name}"]]))
        for case in cases:
            # cgx lists what is below the group; the others print the group itself too.
            case.proof, case.times = case.runs, count if case.name.startswith("cgx") else count + 1
        targets = [Target(f"ls of {count:,} groups, against the floor", "cgx ls -r", "floor, static", 2)]
        return Suite(
            f"ls{count}", f"List {count:,} groups of one hierarchy", cases, targets, 40 if count <= 1000 else 10, 2
        )

    def stat(self, count):
        files = self.present_files(STAT_V1 if self.v1 else STAT_V2)
        controllers = list(dict.fromkeys(file.split(".")[0] for file in files))
        name = self.groups.make_tree(f"stat{count}", controllers, count)
        cases = self.floors("stat", name, *files)
        notes = ["read for each group: " + ", ".join(files)]
        targets = []  # the floor reads fewer files
        if self.cgx:
            cases.append(Case("cgx stat -r", [[self.cgx, "stat", "-r", name, "--json"]]))
            own = self.files_read_by_cgx(os.path.join(name, "p000", "c00"))
            if own:
                cases.append(Case("floor, the files of cgx", [[self.host.floor("static"), "stat", name, *own]]))
                notes.append("cgx reads for each group: " + ", ".join(own))
                targets.append(
                    Target(
                        f"stat of {count:,} groups, against reads of the files that cgx reads",
                        "cgx stat -r",
                        "floor, the files of cgx",
                        1.3,
                    )
                )
        if self.have("cgget"):
            paths = [name] + [
                os.path.join(name, f"p{n:03}", *child)
                for n in range(count // 100)
                for child in [[], *[[f"c{c:02}"] for c in range(99)]]
            ]
            wanted = [word for file in files for word in ("-r", file)]
            cases.append(Case("cgget", [[self.tools["cgget"], *wanted, *paths]]))
        for case in cases:
            case.proof, case.needle, case.times = case.runs, name, count + 1
        return Suite(
            f"stat{count}",
            f"Statistics of {count:,} groups",
            cases,
            targets,
            15 if count <= 1000 else 4,
            2 if count <= 1000 else 1,
            notes=notes,
        )

    def present_files(self, files):
        """Of these files the ones that this kernel has, tried on a group of its own."""
        controllers = [c for c in dict.fromkeys(f.split(".")[0] for f in files) if self.host.mount_of(c)]
        name = self.groups.make("probe", controllers)
        there = []
        for file in files:
            root = self.host.mount_of(file.split(".")[0])
            if root and os.path.exists(os.path.join(root, name, file)):
                there.append(file)
        for root in dict.fromkeys(self.host.mount_of(c) for c in controllers):
            os.rmdir(os.path.join(root, name))
        return there

    def files_read_by_cgx(self, name):
        """The files of the group that `cgx stat` opens, seen by strace, as far as the floor can name them."""
        if self.host.tool("strace") is None:
            return []
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as log:
            subprocess.run(
                ["strace", "-f", "-y", "-e", "trace=openat,openat2,open", "-o", log.name, self.cgx, "stat", name, "--json"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
            opened = re.findall(r"open(?:at2?)?\(.* = \d+<([^>]*)>$", log.read(), re.M)
        controllers = set(self.host.mounts) | set(self.host.unified_controllers)
        unified = self.host.mounts.get("unified", "/nowhere") + "/"
        wanted = set()
        for path in opened:
            file = os.path.basename(path)
            if name in path and "." in file and file.split(".")[0] in controllers:
                # A v1 hierarchy of that controller may be there too: the floor must be told which one.
                wanted.add(("unified/" if path.startswith(unified) else "") + file)
        return sorted(wanted, key=lambda f: (re.split("[/.]", f)[0], f))[:60]

    def startup(self):
        cases = self.floors("version")
        cases.append(Case("true alone", [[TRUE]]))
        if self.cgx:
            cases.append(Case("cgx --version", [[self.cgx, "--version"]]))
        if self.have("cgexec"):
            cases.append(Case("cgexec --help", [[self.tools["cgexec"], "--help"]]))
        for case in cases:
            case.proof = [] if case.name == "true alone" else case.runs
        return Suite("startup", "Start and print one line", cases, [], 300, 10)

    def all(self):
        """Makers of the suites, so that the groups of one are made only when its turn comes."""
        return {
            "startup": self.startup,
            "exec-ready": lambda: self.exec_ready(0),
            "exec-pause": lambda: self.exec_ready(0.3),
            "exec-fresh": lambda: self.exec_fresh(0),
            "fresh-pause": lambda: self.exec_fresh(0.3),
            "change": self.change,
            "apply1000": lambda: self.apply(1000),
            "ls1000": lambda: self.ls(1000),
            "ls10000": lambda: self.ls(10000),
            "stat1000": lambda: self.stat(1000),
            "stat10000": lambda: self.stat(10000),
            "metrics100": lambda: scrape.suite(self, 100),
            "metrics1000": lambda: scrape.suite(self, 1000),
            "metrics10000": lambda: scrape.suite(self, 10000),
        }
