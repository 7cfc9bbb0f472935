#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""usage: bundle.py BUNDLE [STATEMENT]...: writes BUNDLE/config.json, what `runc spec` writes, without a terminal.

$CGX_CLIENTS_CGROUP is the container's cgroup, an absolute path: without one it is below the caller's, which may be a
group that no test is to touch.

The statements are Python's and change `c`, the configuration, before: 'c["process"]["cwd"] = "/tmp"'. They may use
the functions of this file: 'args(c, "sh", "-c", "id")'.
"""

import json
import os
import sys

CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]


def entry(destination, kind, source, *options):
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def configuration(group=None):
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": ["true"],
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {name: CAPABILITIES for name in ("bounding", "effective", "permitted")},
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "box",
        "mounts": [
            entry("/proc", "proc", "proc"),
            entry("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            entry("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620",
                  "gid=5"),
            entry("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
            entry("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
            entry("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
            entry("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
        ],
        "linux": {
            "cgroupsPath": group or os.environ["CGX_CLIENTS_CGROUP"],
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": name} for name in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
            "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                            "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
                            "/proc/scsi"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    }


def mount(config, destination):
    """The mount with that destination."""
    return next(m for m in config["mounts"] if m["destination"] == destination)


def without_mounts(config, path):
    """No mounts at the path and below it."""
    config["mounts"] = [m for m in config["mounts"] if not (m["destination"] + "/").startswith(path + "/")]


def bind(config, source, destination):
    config["mounts"].append(entry(destination, "bind", source, "bind"))


def share(config, namespace):
    """The host's namespace of that type."""
    config["linux"]["namespaces"] = [n for n in config["linux"]["namespaces"] if n["type"] != namespace]


def grant(config, *capabilities):
    for name, had in config["process"]["capabilities"].items():
        config["process"]["capabilities"][name] = [*had, *capabilities]


def user_namespace(config, mappings):
    config["linux"]["namespaces"].append({"type": "user"})
    config["linux"]["uidMappings"] = config["linux"]["gidMappings"] = [
        {"containerID": inside, "hostID": outside, "size": size} for inside, outside, size in mappings]


def args(config, *words):
    config["process"]["args"] = list(words)


def main():
    config = configuration()
    for statement in sys.argv[2:]:
        exec(statement, {**globals(), "c": config})  # a test's own text
    with open(os.path.join(sys.argv[1], "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)


if __name__ == "__main__":
    main()
