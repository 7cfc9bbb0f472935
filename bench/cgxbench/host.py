# SPDX-License-Identifier: Apache-2.0
"""What the benches need to know of this host, and the groups that they make on it."""

import errno
import os
import platform
import re
import shutil
import tempfile
import time

PREFIX = "cgx-test-bench-"


def hierarchies():
    """Mount points by controller, from /proc/self/mountinfo; the unified one is under "unified"."""
    found = {}
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            fields, (kind, _, options) = left.split(), right.split()[:3]
            if fields[3] != "/":
                continue
            if kind == "cgroup2":
                found.setdefault("unified", fields[4])
            elif kind == "cgroup":
                for name in options.split(","):
                    if name not in ("rw", "ro", "xattr", "noprefix", "clone_children"):
                        found.setdefault(name, fields[4])
    return found


class Host:
    """The layout of the hierarchies, and where the programs to compare are."""

    def __init__(self, build, cgx):
        self.mounts = hierarchies()
        self.unified_controllers = self._unified_controllers()
        self.build = build
        self.cgx = cgx if os.access(cgx, os.X_OK) else None
        self.cgx_path = cgx

    def _unified_controllers(self):
        root = self.mounts.get("unified")
        if root is None:
            return []
        with open(os.path.join(root, "cgroup.controllers"), encoding="ascii") as file:
            return file.read().split()

    def mount_of(self, controller):
        if controller in self.mounts:
            return self.mounts[controller]
        return self.mounts["unified"] if controller in self.unified_controllers else None

    def is_v1(self, controller):
        return controller in self.mounts

    @property
    def layout(self):
        v1 = [c for c in self.mounts if c != "unified" and not c.startswith("name=")]
        return "v2" if not v1 else "hybrid" if "unified" in self.mounts else "v1"

    @property
    def systemd(self):
        """Whether PID 1 is systemd; systemd-run works only then."""
        return os.path.isdir("/run/systemd/system")

    def floor(self, kind):
        return os.path.join(self.build, "bench", "floor-" + kind)

    def tool(self, name):
        return shutil.which(name)

    def describe(self):
        cpu = "unknown CPU"
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            match = re.search(r"^model name\s*:\s*(.*)$", file.read(), re.M)
            cpu = match.group(1) if match else cpu
        return [
            ("kernel", f"{platform.system()} {platform.release()} {platform.machine()}"),
            ("CPUs", f"{os.cpu_count()} x {cpu}"),
            ("cgroup layout", self.layout),
            ("load before", "%.2f %.2f %.2f" % os.getloadavg()),
            ("date", time.strftime("%Y-%m-%d")),
        ]


class Groups:
    """Makes groups below one prefix that is this process's own, and removes all of them again."""

    def __init__(self, host, prefix=None):
        self.host = host
        self.prefix = prefix or f"{PREFIX}{os.getpid()}-"
        self.enabled = []
        self.scratches = []

    def scratch(self):
        """A directory for files, removed with the groups."""
        self.scratches.append(tempfile.mkdtemp(prefix=self.prefix))
        return self.scratches[-1]

    def name(self, suffix):
        return self.prefix + suffix

    def _roots(self, controllers):
        roots = []
        for controller in controllers:
            root = self.host.mount_of(controller)
            if root is None:
                raise RuntimeError(f"the controller {controller} is not mounted")
            if root == self.host.mounts.get("unified"):
                self._enable(root, controller)
            if root not in roots:
                roots.append(root)
        return roots

    def _enable(self, directory, controller):
        if controller == "unified":
            return
        path = os.path.join(directory, "cgroup.subtree_control")
        with open(path, encoding="ascii") as file:
            if controller in file.read().split():
                return
        with open(path, "w", encoding="ascii") as file:
            file.write("+" + controller)
        if directory == self.host.mounts.get("unified"):
            self.enabled.append((path, controller))

    def make(self, suffix, controllers):
        name = self.name(suffix)
        for root in self._roots(controllers):
            os.mkdir(os.path.join(root, name))
        return name

    def make_tree(self, suffix, controllers, count):
        """A group with `count` groups below it: parents that have 99 children each."""
        name = self.make(suffix, controllers)
        for root in self._roots(controllers):
            top = os.path.join(root, name)
            unified = root == self.host.mounts.get("unified")
            enabled = [c for c in controllers if unified and not self.host.is_v1(c) and c in self.host.unified_controllers]
            for number in range(count // 100):
                parent = os.path.join(top, f"p{number:03}")
                os.mkdir(parent)
                for controller in enabled:
                    self._enable(top, controller)
                    self._enable(parent, controller)
                for child in range(99):
                    os.mkdir(os.path.join(parent, f"c{child:02}"))
        return name

    def remove_all(self):
        """Returns what could not be removed, as messages."""
        left = []
        while self.scratches:
            shutil.rmtree(self.scratches.pop(), ignore_errors=True)
        for root in sorted(set(self.host.mounts.values())):
            for entry in os.listdir(root):
                if entry.startswith(self.prefix):
                    left += remove_tree(os.path.join(root, entry))
        for path, controller in self.enabled:
            try:
                with open(path, "w", encoding="ascii") as file:
                    file.write("-" + controller)
            except OSError as error:
                left.append(f"{path}: {error.strerror}")
        self.enabled = []
        return left


def remove_tree(top):
    left = []
    for directory, _, _ in os.walk(top, topdown=False):
        # A process that has just been killed keeps its group busy for some milliseconds.
        for attempt in range(11):
            try:
                os.rmdir(directory)
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno == errno.EBUSY and attempt < 10:
                    time.sleep(0.001 * 2**attempt)
                    continue
                left.append(f"{directory}: {error.strerror}")
            break
    return left
