# SPDX-License-Identifier: Apache-2.0
"""For failed_calls.py: the calls that fail, and the commands whose calls these are."""
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import time

# How cgx says an error, where it does not give the kernel's words.
SENTENCES = {"EACCES": "the kernel refuses it", "EPERM": "the kernel refuses it", "ENOSPC": "no more groups",
             "ENOMEM": "no more groups"}
# What each call may give. Calls that are not named here are left alone: they concern memory and the C library.
ERRORS = {
    "openat2": "EIO ENOMEM EMFILE EACCES", "openat": "EIO ENOMEM EMFILE EACCES", "open_tree": "ENOMEM EPERM",
    "read": "EIO ENOMEM EINTR", "pread64": "EIO EINTR", "write": "EIO ENOSPC ENOMEM EACCES EINTR", "pwrite64": "EIO ENOSPC",
    "writev": "EIO EINTR", "readlink": "EIO ENOMEM", "readlinkat": "EIO ENOMEM", "getdents64": "EIO ENOMEM",
    "mkdirat": "ENOSPC ENOMEM EACCES", "mkdir": "ENOSPC ENOMEM EACCES", "unlinkat": "EBUSY EIO EACCES", "rmdir": "EBUSY EIO",
    "unlink": "EIO EACCES", "rename": "EIO ENOSPC", "renameat": "EIO ENOSPC", "renameat2": "EIO ENOSPC",
    "linkat": "EIO ENOSPC", "symlinkat": "EIO ENOSPC", "mknodat": "ENOSPC EPERM", "fchmod": "EIO", "fchmodat": "EIO",
    "fchown": "EIO EPERM", "fchownat": "EIO EPERM", "ftruncate": "EIO ENOSPC", "fsync": "EIO ENOSPC", "utimensat": "EIO",
    "fsetxattr": "ENOSPC ENOMEM EACCES", "fgetxattr": "EIO ENOMEM", "flistxattr": "EIO ENOMEM", "fremovexattr": "EIO ENOSPC",
    "lsetxattr": "ENOSPC", "lgetxattr": "EIO ENOMEM", "setxattr": "ENOSPC", "getxattr": "EIO ENOMEM",
    "statx": "EIO ENOMEM EACCES", "newfstatat": "EIO ENOMEM EACCES", "fstatfs": "EIO", "statfs": "EIO", "flock": "ENOLCK EINTR",
    "fcntl": "EMFILE", "dup": "EMFILE", "dup2": "EMFILE", "dup3": "EMFILE", "pipe2": "EMFILE ENFILE", "socketpair": "EMFILE",
    "socket": "EMFILE", "bind": "ENOMEM", "listen": "ENOMEM", "sendmsg": "ENOMEM", "recvmsg": "ENOMEM", "connect": "ENOMEM",
    "eventfd2": "EMFILE", "epoll_create1": "EMFILE", "inotify_init1": "EMFILE", "pidfd_open": "EMFILE ENOMEM",
    "pidfd_send_signal": "EPERM", "memfd_create": "ENOMEM EMFILE", "timerfd_create": "EMFILE", "signalfd4": "EMFILE",
    "clone3": "EAGAIN ENOMEM", "clone": "EAGAIN ENOMEM", "fork": "EAGAIN", "vfork": "EAGAIN", "setns": "EPERM ENOMEM",
    "unshare": "ENOSPC EPERM", "mount": "ENOMEM EPERM", "umount2": "EBUSY", "move_mount": "ENOMEM EPERM",
    "fsopen": "ENOMEM EPERM", "fsconfig": "ENOMEM EPERM", "fsmount": "ENOMEM EPERM", "mount_setattr": "ENOMEM EPERM",
    "pivot_root": "EPERM", "chroot": "EPERM", "chdir": "ENOMEM", "fchdir": "ENOMEM", "sethostname": "EPERM",
    "setgroups": "EPERM", "setresuid": "EAGAIN EPERM", "setresgid": "EPERM", "setuid": "EAGAIN EPERM", "setgid": "EPERM",
    "capset": "EPERM", "prctl": "EPERM", "seccomp": "ENOMEM", "keyctl": "EDQUOT", "setsid": "EPERM", "prlimit64": "EPERM",
    "setrlimit": "EPERM", "sched_setaffinity": "EINVAL", "sched_setscheduler": "EPERM", "bpf": "EPERM ENOMEM",
    "ioctl": "EIO", "waitid": "EINTR", "poll": "EINTR ENOMEM", "ppoll": "EINTR", "epoll_wait": "EINTR",
    "close_range": "EMFILE", "execve": "ENOMEM EACCES", "getrandom": "EINTR", "kill": "EPERM",
}



@dataclasses.dataclass
class Place:
    """What a case works in, of its own: a group, and a directory for images, records and the like."""
    cgx: str
    top: str
    work: str
    image: str
    pid: int = 0  # of the process that the case began with

    @property
    def env(self):
        return {**os.environ, "CGX_RUN": self.work + "/run", "CGX_DATA": self.work + "/data"}


def run(*command, check=True, **more):
    """A command that does not end is ended: strace by SIGKILL, and what it traced by ours, as reap() does."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                              timeout=120, **more)
    except subprocess.TimeoutExpired:
        print("  does not end: " + " ".join(command), flush=True)
        return subprocess.CompletedProcess(command, -9, "", "does not end")
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.returncode} {done.stderr}")
    return done


def wait_until(condition, seconds=10, pause=0.005):
    """Of what the kernel does after a call has returned, such as the end of a killed process."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True


# ---- what there is before the command --------------------------------------------------------------------------------
def group(name, *flags):
    return lambda at: run(at.cgx, "create", f"{at.top}/{name}", "--exist-ok", *flags)


def process(*names, after=()):
    """A process in the first group; the others are made. Then a command of cgx."""
    def prepare(at):
        for name in names:
            group(name)(at)
        child = subprocess.Popen(["/bin/sleep", "1000"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        at.pid = child.pid
        child.returncode = 0  # it is waited for by its number
        run(at.cgx, "move", f"{at.top}/{names[0]}", str(at.pid))
        if after:
            run(at.cgx, *(word.format(**vars(at)) for word in after))
    return prepare


def container(*flags, program="true", after=()):
    def prepare(at):
        run(at.cgx, "run", "--name", "c", "--cgroup-parent", at.top, *flags, "dir:" + at.image, *program.split(), env=at.env)
        if after:
            run(at.cgx, *after, env=at.env)
    return prepare


def dead_container(at):
    """What is left where the monitor and the container were killed: its groups, its records, its layer."""
    container("-d", program="sleep 1000")(at)
    with open(f"{at.work}/run/containers/c/run.json", encoding="utf-8") as file:
        monitor = json.load(file)["monitor"]
    with open(f"{at.work}/run/containers/c/state.json", encoding="utf-8") as file:
        first = json.load(file)["pid"]
    for pid in (monitor, first):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(monitor, 0)
    os.waitpid(first, 0)


def policy(*texts):
    """Policies a.yaml, b.yaml, ...; all but the last one are applied."""
    def prepare(at):
        for i, text in enumerate(texts):
            with open(f"{at.work}/policy.yaml", "w", encoding="utf-8") as file:
                file.write("version: 1\ngroups:\n" + text.format(**vars(at)))
            if i + 1 < len(texts):
                run(at.cgx, "apply", "--state", at.work + "/run/state", at.work + "/policy.yaml")
    return prepare


def bundle(*commands):
    """A bundle of the image, and what cgx-oci has done with it: the first command is `create`."""
    def prepare(at):
        os.makedirs(at.work + "/bundle", exist_ok=True)
        if not os.path.exists(at.work + "/bundle/config.json"):
            run(at.cgx + "-oci", "spec", "-b", at.work + "/bundle")
            with open(at.work + "/bundle/config.json", encoding="utf-8") as file:
                config = json.load(file)
            # Not the image itself: what is mounted needs directories, which are made in it.
            shutil.copytree(at.image, at.work + "/bundle/rootfs", symlinks=True)
            config["root"] = {"path": "rootfs"}
            config["process"].update(terminal=False, args=["sleep", "1000"])
            config["linux"]["cgroupsPath"] = f"/{at.top}/o"
            with open(at.work + "/bundle/config.json", "w", encoding="utf-8") as file:
                json.dump(config, file)
        for command in commands:
            oci(at, *command)
    return prepare


def oci(at, *words):
    """Without pipes: the container would keep them."""
    subprocess.run([at.cgx + "-oci", *(word.format(**vars(at)) for word in words)], stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, timeout=60)


# ---- the commands ----------------------------------------------------------------------------------------------------
@dataclasses.dataclass
class Case:
    name: str
    command: list
    prepare: callable = lambda at: None
    leaves: bool = False    # after status 0 there is what there was before
    resumes: bool = False   # after an error a part may be gone; the same command removes the rest
    swept: bool = False     # the command's status counts, not the one of cleaning up: cgx gc removes the rest
    starts: bool = False    # after status 0 a process of it goes on
    stops: bool = False     # after an error the container that it was about may have been ended
    prints: bool = False    # after status 0 it has printed all
    program: str = "{cgx}"


LIMITS = ("--pids", "10", "--cpu-weight", "50", "--mem", "20M", "--cpu-quota", "50%")
OTHERS = ("--pids", "12", "--cpu-weight", "70", "--mem", "30M", "--cpu-quota", "60%", "--device", "deny a")
RUN = ("run", "--rm", "--cgroup-parent", "{top}", "--name", "c")
APPLY = ["apply", "--state", "{work}/run/state", "{work}/policy.yaml"]
OCI = ("--root", "{work}/run/oci")
CREATE = (*OCI, "create", "-b", "{work}/bundle", "c")
POLICY = "  {top}/p: {{pids: {{max: 10}}, memory: {{max: 20M}}}}\n"
OTHER_POLICY = ("  {top}/p: {{pids: {{max: 12}}, memory: {{max: 30M}}}}\n"
                "  {top}/p/q: {{cpu: {{weight: 50}}}}\n")
with open("/etc/passwd", encoding="utf-8") as users:
    OWNER = "nobody" if "\nnobody:" in users.read() else "65534"  # others are asked of getent, which hides its errors

CASES = [
    Case("create", ["create", "{top}/a", *LIMITS]),
    Case("create -p", ["create", "{top}/a/b", *LIMITS, "--owner", OWNER]),
    Case("set", ["set", "{top}/s", *OTHERS], group("s", *LIMITS)),
    Case("delete", ["delete", "{top}/d"], group("d", *LIMITS), resumes=True),
    Case("delete -r", ["delete", "-r", "{top}/d"], group("d/e", *LIMITS), resumes=True),
    Case("move", ["move", "{top}/m", "{pid}"], process("l", "m")),
    Case("freeze", ["freeze", "{top}/f"], process("f")),
    Case("thaw", ["thaw", "{top}/f"], process("f", after=("freeze", "{top}/f"))),
    Case("kill", ["kill", "{top}/k"], process("k"), resumes=True),
    Case("snapshot", ["snapshot", "{top}/s"], group("s", *LIMITS), leaves=True, prints=True),
    Case("exec", ["exec", "{top}/x", "--", "/bin/true"], group("x", *LIMITS), leaves=True),
    Case("exec --rm", ["exec", "{top}/y", "--rm", *LIMITS, "--", "/bin/true"], leaves=True),
    Case("apply", APPLY, policy(OTHER_POLICY)),
    Case("apply again", APPLY, policy(OTHER_POLICY, POLICY)),
    Case("run", [*RUN, "--pids", "10", "dir:{image}", "true"], leaves=True, swept=True),
    Case("run -v", [*RUN, "--init", "-v", "{work}/vol:/vol", "--tmpfs", "/t", "--read-only", "dir:{image}", "true"],
         leaves=True, swept=True),
    Case("container rm", ["container", "rm", "c"], container(), resumes=True),
    Case("container stop", ["container", "stop", "-t", "0", "c"], container("-d", program="sleep 1000"), resumes=True),
    Case("container pause", ["container", "pause", "c"], container("-d", program="sleep 1000")),
    Case("container unpause", ["container", "unpause", "c"],
         container("-d", program="sleep 1000", after=("container", "pause", "c"))),
    Case("container exec", ["container", "exec", "c", "true"], container("-d", program="sleep 1000"), leaves=True),
    Case("gc", ["gc"], dead_container, resumes=True),
    Case("oci create", [*CREATE], bundle(), starts=True, program="{cgx}-oci"),
    Case("oci start", [*OCI, "start", "c"], bundle(CREATE), stops=True, program="{cgx}-oci"),
    Case("oci kill", [*OCI, "kill", "c", "KILL"], bundle(CREATE, (*OCI, "start", "c")), program="{cgx}-oci"),
    Case("oci delete", [*OCI, "delete", "-f", "c"], bundle(CREATE, (*OCI, "start", "c")), resumes=True,
         program="{cgx}-oci"),
]
