# SPDX-License-Identifier: Apache-2.0
"""System calls per command: a figure that the load of the machine does not change."""

import os
import subprocess

from .suites import LIST, TRUE

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def count(command):
    """The number of system calls, or the reason why there is none."""
    done = subprocess.run(
        [os.path.join(HERE, "syscalls"), *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0 or not done.stdout.strip().isdigit():
        return f"failed: {(done.stderr.strip().splitlines() or ['no output'])[-1][:100]}"
    return int(done.stdout)


def table(suites):
    """Rows of (job, calls of the floor, of cgx, of cgroup-tools). The commands of a column run in order: each needs the
    groups that the ones before it made."""
    host, groups = suites.host, suites.groups
    if host.tool("strace") is None:
        return None
    floor = host.floor("static")
    names = {who: groups.name("calls-" + who) for who in ("floor", "cgx", "tools")}
    ready = groups.make("calls-ready", suites.controllers)
    f, x, t = names["floor"], names["cgx"], names["tools"]
    cgx, tools = suites.cgx, suites.tools
    have = suites.have

    def of_cgx(*args):
        return [cgx, *args] if cgx else None

    def of_tool(tool, *args):
        return [tools[tool], *args] if have(tool) else None

    rows = [
        ("print the version", [floor, "version"], of_cgx("--version"), of_tool("cgexec", "--help")),
        (
            "create",
            [floor, "create", LIST, f],
            of_cgx("create", x, "--controllers", LIST),
            of_tool("cgcreate", "-g", f"{LIST}:{t}"),
        ),
        (
            "set four limits",
            [floor, "set", "-r", f, *suites.knobs()],
            of_cgx("set", x, *suites.flags()),
            suites.cgset(t) if have("cgset") else None,
        ),
        (
            "get one value",
            [floor, "stat", f, "pids.max"],
            of_cgx("get", x, "pids.max"),
            of_tool("cgget", "-r", "pids.max", t),
        ),
        (
            f"exec {TRUE} in a ready group",
            [floor, "exec-ready", LIST, ready, "--", TRUE],
            of_cgx("exec", ready, "--controllers", LIST, "--", TRUE),
            of_tool("cgexec", "-g", f"{LIST}:{ready}", TRUE),
        ),
        (
            f"exec {TRUE} in a fresh group",
            [floor, "exec-fresh", LIST, f + "-fresh", "--", TRUE],
            of_cgx("exec", x + "-fresh", "--rm", "--controllers", LIST, "--", TRUE),
            None,
        ),
        ("delete", [floor, "delete", LIST, f], of_cgx("delete", x), of_tool("cgdelete", "-g", f"{LIST}:{t}")),
        (f"{TRUE} alone", [TRUE], None, None),
    ]
    return [(job, *[count(command) if command else "-" for command in commands]) for job, *commands in rows]
