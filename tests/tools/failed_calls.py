#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes each system call of a command fail: failed_calls.py CGX TOP WORK IMAGE [CASE...].

TOP is a group that the caller made and removes, WORK a directory for records. A case is a command; it is traced once, and
then run again for each call of it, in which strace makes that call fail. What there is before and after is compared:
after status 0 all is done, after another one nothing has changed and nothing is left. CGX_FAIL_ALL=1 takes every call and
every error, else a fixed part of them. Prints PASS or FAIL and a name for each case.
"""
import ctypes
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

CGX, TOP, WORK, IMAGE = sys.argv[1:5]
ALL = os.environ.get("CGX_FAIL_ALL") == "1"
TRACE = WORK + "/trace"
COUNTERS = re.compile(r"pressure|reclaim|max_usage|failcnt|[.]usage|peak|force_empty")
ROOTS = []
with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
    for line in mounts:
        if " - cgroup " in line or " - cgroup2 " in line:
            ROOTS.append(line.split()[4])
HAD = [root for root in ROOTS if os.path.isdir(f"{root}/{TOP}")]

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


def picture():
    """All that a command could have changed, as lines."""
    lines = set()
    for root in ROOTS:
        for at, dirs, files in os.walk(f"{root}/{TOP}"):
            lines.add(at)
            for name in os.listxattr(at):
                lines.add(f"{at} {name}={os.getxattr(at, name)!r}")
            lines.add(f"{at} owner {os.stat(at).st_uid}")
            for file in files:
                path = f"{at}/{file}"
                if not os.stat(path).st_mode & 0o200 or COUNTERS.search(file):
                    continue
                try:
                    with open(path, encoding="utf-8") as opened:
                        lines.add(f"{path}: {opened.read().strip()}")
                except OSError:
                    pass
    for top in (WORK + "/run/containers", WORK + "/data/containers"):
        for at, dirs, files in os.walk(top):
            dirs[:] = [name for name in dirs if not name.startswith("@")]  # caches, and what is known of ended ones
            lines |= {f"{at}/{name}" for name in dirs + files}
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        lines |= {"mount " + line.split()[4] for line in mounts if WORK in line}
    return lines


def children():
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="utf-8") as file:
        return file.read().split()


def reap():
    """Processes that a command left are ours; those that are alive are shown, and killed."""
    left = []
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return left
        if pid == 0:
            for pid in children():
                try:
                    with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                        left += [line.replace("\0", " ") for line in [file.read()] if line]
                except OSError:
                    pass
                os.kill(int(pid), signal.SIGKILL)
                os.waitpid(int(pid), 0)
            return left


class Case:
    def __init__(self, name, command, prepare=lambda: None, *, leaves=False, resumes=False, swept=False):
        self.name, self.command, self.prepare = name, command, prepare
        self.leaves = leaves    # after status 0 there is what there was before
        self.resumes = resumes  # after an error a part may be gone; the same command removes the rest
        self.swept = swept      # the command's status counts, not the one of cleaning up: cgx gc removes the rest


def group(name, *flags):
    def prepare():
        run(CGX, "create", f"{TOP}/{name}", "--exist-ok", *flags)
    return prepare


ENV = {"CGX_RUN": WORK + "/run", "CGX_DATA": WORK + "/data"}


def container(*flags, program="true"):
    run(CGX, "run", "--name", "c", "--cgroup-parent", TOP, *flags, f"dir:{IMAGE}", *program.split(), env={**os.environ, **ENV})


def dead_container():
    """What is left where the monitor and the container were killed: its groups, its records, its layer."""
    container("-d", program="sleep 1000")
    with open(f"{WORK}/run/containers/c/run.json", encoding="utf-8") as file:
        monitor = json.load(file)["monitor"]
    with open(f"{WORK}/run/containers/c/state.json", encoding="utf-8") as file:
        first = json.load(file)["pid"]
    for pid in (monitor, first):
        os.kill(pid, signal.SIGKILL)
    reap()


def remove(directory):
    """The kernel needs some time after the last process is gone."""
    end = time.monotonic() + 10
    while True:
        try:
            return os.rmdir(directory)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.002)


def again(prepare):
    """From nothing: what is below TOP is removed, without cgx, and made anew."""
    for root in ROOTS:
        top = f"{root}/{TOP}"
        for at, _, _ in os.walk(top, topdown=False):
            if at != top or root not in HAD:
                remove(at)
        if root in HAD and not os.path.isdir(top):
            os.mkdir(top)
    for name in ("run", "data"):
        shutil.rmtree(f"{WORK}/{name}", ignore_errors=True)
    prepare()
    reap()


LIMITS = ("--pids", "10", "--cpu-weight", "50", "--mem", "20M", "--cpu-quota", "50%")
OTHERS = ("--pids", "12", "--cpu-weight", "70", "--mem", "30M", "--cpu-quota", "60%", "--device", "deny a")
CASES = [
    Case("create", ["create", f"{TOP}/a", *LIMITS]),
    Case("create -p", ["create", f"{TOP}/a/b", *LIMITS, "--owner", "nobody"]),
    Case("set", ["set", f"{TOP}/s", *OTHERS], group("s", *LIMITS)),
    Case("delete", ["delete", f"{TOP}/d"], group("d", *LIMITS), resumes=True),
    Case("delete -r", ["delete", "-r", f"{TOP}/d"], group("d/e", *LIMITS), resumes=True),
    Case("exec", ["exec", f"{TOP}/x", "--", "/bin/true"], group("x", *LIMITS), leaves=True),
    Case("run", ["run", "--rm", "--cgroup-parent", TOP, "--name", "c", "--pids", "10", f"dir:{IMAGE}", "true"],
         leaves=True, swept=True),
    Case("run -v", ["run", "--rm", "--cgroup-parent", TOP, "--name", "c", "--init", "-v", f"{WORK}/vol:/vol", "--tmpfs",
                    "/t", "--read-only", f"dir:{IMAGE}", "true"], leaves=True, swept=True),
    Case("container rm", ["container", "rm", "c"], container, resumes=True),
    Case("gc", ["gc"], dead_container, resumes=True),
    Case("exec --rm", ["exec", f"{TOP}/y", "--rm", *LIMITS, "--", "/bin/true"], leaves=True),
]


def trace(case, *inject):
    return run("strace", "-f", "--seccomp-bpf", "-qq", "-o", TRACE, *inject, CGX, *case.command, check=False,
               env={**os.environ, **ENV})


def calls_of(case):
    """How often a process of the command makes each call: {name: times}."""
    done = trace(case, "-e", "trace=" + ",".join("?" + name for name in ERRORS))
    if done.returncode != 0:
        raise RuntimeError(f"{case.name}: {done.returncode} {done.stderr}")
    counts = {}
    with open(TRACE, encoding="utf-8", errors="replace") as file:
        for line in file:
            found = re.match(r"(\d+) +(\w+)\(", line)
            if found:
                counts[found.groups()] = counts.get(found.groups(), 0) + 1
    most = {}
    for (_, name), times in counts.items():
        most[name] = max(most.get(name, 0), times)
    return most


def wrong_with(case, before, done_picture, done, error):
    """What is wrong with that outcome, empty: nothing; None: no call failed."""
    with open(TRACE, encoding="utf-8", errors="replace") as file:
        injected = [line.strip() for line in file if "(INJECTED)" in line]
    if not injected:
        return None
    left = reap()
    after = picture()
    wanted = done_picture if done.returncode == 0 else before
    wrong = []
    if left:
        wrong.append(f"left processes {left}")
    if done.returncode == 0 and case.swept and after != before:
        run(CGX, "gc", env={**os.environ, **ENV})
        after = picture()
    if done.returncode != 0 and case.resumes and after != before:
        wanted = done_picture
        if after != wanted:
            more = run(CGX, *case.command, check=False, env={**os.environ, **ENV})
            after = picture()
            if more.returncode != 0:
                wrong.append(f"and then {more.stderr!r}")
    if after != wanted:
        wrong.append(f"missing {sorted(wanted - after)[:4]}, too much {sorted(after - wanted)[:4]}")
    shown = any(re.search(r"write\([12],", line) for line in injected)
    if done.returncode != 0 and not shown:
        first = done.stderr.split("\n", 1)[0]
        reason = os.strerror(getattr(errno, error))
        said = reason in done.stderr or SENTENCES.get(error, reason) in done.stderr
        said = said or (error == "EINTR" and "is no user" in first)  # getent takes an interrupted read for that
        said = said or "libseccomp makes no program" in first  # the library keeps the error of its write for itself
        if not (first.startswith("cgx: ") and said) and "loading shared libraries" not in first:
            wrong.append("the error does not say why")
    if done.returncode < 0 or done.returncode >= 128:
        wrong.append("a signal")
    if wrong:
        wrong.append(f"status {done.returncode}, stderr {done.stderr.strip()!r}, {injected[0]}")
    return "; ".join(wrong)


def attack(case):
    again(case.prepare)
    before = picture()
    counts = calls_of(case)
    reap()
    done_picture = picture()
    if case.leaves and done_picture != before:
        raise RuntimeError(f"{case.name} leaves {done_picture ^ before}")
    failures = [(name, error, n) for name, times in sorted(counts.items()) for error in ERRORS[name].split()
                for n in range(1, times + 1)]
    if not ALL:  # every so many of them
        failures = failures[::len(failures) // 80 + 1]
    faults, dirty = [], True
    for name, error, n in failures:
        if dirty:
            again(case.prepare)
        done = trace(case, "-e", "trace=" + name, "-e", f"inject={name}:error={error}:when={n}")
        wrong = wrong_with(case, before, done_picture, done, error)
        dirty = done.returncode == 0 or bool(wrong) or case.resumes
        if wrong:
            faults.append(f"{name} {n} {error}: {wrong}")
            if ALL:
                print("  ", faults[-1], flush=True)
    return len(failures), faults


def main():
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    failed = False
    for case in CASES:
        if len(sys.argv) > 5 and case.name not in sys.argv[5:]:
            continue
        tried, faults = attack(case)
        name = f"failed calls: {case.name}, {tried} failures"
        print(f"FAIL {name}: {len(faults)} of them go wrong" if faults else f"PASS {name}", flush=True)
        for fault in faults:
            print("  " + fault)
        failed = failed or bool(faults)
    sys.exit(failed)


if __name__ == "__main__":
    main()
