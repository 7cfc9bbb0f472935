# SPDX-License-Identifier: Apache-2.0
"""What a test may leave behind on a machine: pictures of it before and after, and the difference in words.

Groups, mounts and so on that bear the pid of a running process in their name (cgx-test-PID-...) belong to another
test run on the same machine and are not held against this one: all processes of this run have ended by then.
"""

import ctypes
import os
import re
import signal
import subprocess
import time

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Makes this process the parent of every descendant whose own parent ends, so that none gets away unseen."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def children():
    """{pid: (state, command)} of this process."""
    found = {}
    me = os.getpid()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as f:
                text = f.read()
        except OSError:
            continue  # it ended meanwhile
        command, rest = text[text.index("(") + 1:].rsplit(")", 1)
        state, parent = rest.split()[:2]
        if int(parent) == me:
            found[int(name)] = (state, command)
    return found


def alive(pid):
    """Whether the child `pid` runs, or has ended without having been waited for: a zombie is not alive."""
    return children().get(pid, ("Z", ""))[0] != "Z"


def end_orphans(own=(), grace=2.0):
    """Waits a moment for adopted processes to end, kills the others; answers the killed ones' descriptions.

    Only to be called while no child of one's own runs but those with the pids `own`.
    """
    killed = []
    end = time.monotonic() + grace
    kill_until = end + 10
    while True:
        left = {pid: child for pid, child in children().items() if pid not in own}
        for pid, (state, command) in list(left.items()):
            if state == "Z":
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass
                del left[pid]
            elif time.monotonic() > end:
                line = f"process {pid} ({command})"
                if line not in killed:
                    killed.append(line)
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if not left or time.monotonic() > kill_until:
            return killed
        time.sleep(0.02)


def _read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def _list(path):
    try:
        return os.listdir(path)
    except OSError:
        return []


def _output(*command):
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _groups(mounts):
    """The groups beside and above this process's own, in each hierarchy.

    What is below a group that was there before belongs to whoever made that one, and changes as they like; beside this
    process's own group only what the tests name is looked at.
    """
    own = [line.split(":", 2) for line in _read("/proc/self/cgroup").splitlines()]
    found = set()
    seen = set()
    for fields in mounts:
        device, root, point = fields[2:5]
        kind, options = fields[fields.index("-") + 1], fields[-1].split(",")
        if kind not in ("cgroup", "cgroup2") or (device, root) in seen:
            continue
        seen.add((device, root))
        path = "/"
        for _, names, group in own:
            if (kind == "cgroup2" and not names) or (names and set(names.split(",")) <= set(options)):
                path = group
        at = point
        for part in [""] + [p for p in path.split("/") if p]:
            at = os.path.join(at, part) if part else at
            found |= {f"group {at}/{name}" for name in _list(at)
                      if (at == point or name.startswith("cgx-")) and os.path.isdir(f"{at}/{name}")}
    return found


def picture():
    """A set of one line for each thing that a test could leave behind."""
    mounts = [line.split(" ") for line in _read("/proc/self/mountinfo").splitlines()]
    things = {"mount " + " ".join([m[3], m[4], m[5], *m[m.index("-") + 1:]]) for m in mounts}
    things |= _groups(mounts)
    for line in _read("/proc/cgroups").splitlines()[1:]:
        name, hierarchy = line.split()[:2]
        things.add(f"controller {name} on hierarchy {hierarchy}")
    things |= {f"network interface {name}" for name in _list("/sys/class/net")}
    things |= {f"network namespace {name}" for name in _list("/run/netns")}
    things |= {f"traffic control {line}" for line in _output("tc", "qdisc", "show").splitlines()}
    things |= {f"nft {line.strip()}" for line in _output("nft", "list", "ruleset").splitlines() if line.strip(" \t}")}
    things |= {f"pinned BPF object {name}" for name in _list("/sys/fs/bpf")}
    for name in _list("/sys/block"):
        backing = _read(f"/sys/block/{name}/loop/backing_file").strip()
        if backing:
            things.add(f"loop device {name} of {backing}")
    for place in ("/tmp", "/run", "/dev/shm"):
        things |= {f"file {place}/{name}" for name in _list(place) if name.startswith("cgx-test-")}
    return things


def _foreign(thing):
    pids = re.findall(r"cgx-test-(\d+)", thing)
    return bool(pids) and all(os.path.exists(f"/proc/{pid}") for pid in pids)


def difference(before, grace=3.0):
    """What came and what went since `before`, in words; looks again for a while, since much ends late."""
    end = time.monotonic() + grace
    while True:
        after = picture()
        lines = sorted([f"{t} is left" for t in after - before if not _foreign(t)] +
                       [f"{t} is gone" for t in before - after if not _foreign(t)])
        if not lines or time.monotonic() > end:
            return lines
        time.sleep(0.2)
