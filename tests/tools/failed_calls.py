#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes each system call of a command fail: failed_calls.py CGX TOP WORK IMAGE [CASE...].

TOP is a group that the caller made and removes, WORK a directory for records. A case is a command; it is traced once, and
then run again for each call of it, in which strace makes that call fail. What there is before and after is compared:
after status 0 all is done, after another one nothing has changed and nothing is left. Cases run side by side, each in a
group and a directory of its own; more of them than there are CPUs, since most of the time is waiting for the kernel.
Prints PASS or FAIL and a name for each case.

How often a command makes a call depends on the machine. So the first time of each call is taken with each error, the last
and every EACH_th time with one, and not a part of the list of all: what one machine takes, another one takes too.
CGX_FAIL_ALL=1 takes every time with each error.
"""
import concurrent.futures
import ctypes
import errno
import os
import re
import shutil
import signal
import subprocess
import sys

from failed_calls_cases import CASES, ERRORS, SENTENCES, Place, run, wait_until

ALL = os.environ.get("CGX_FAIL_ALL") == "1"
EACH = 16
COUNTERS = re.compile(r"pressure|reclaim|max_usage|failcnt|[.]usage|peak|force_empty")
PIDS = re.compile(r"/(cgroup[.]procs|cgroup[.]threads|tasks)$")
# What is of use where it can be written, and no reason to fail: who ended a container, and that a group above one was
# made for it.
NOTES = ("killer.json", "trusted.cgx.above-container", "user.cgx.above-container")
ROOTS = []
with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
    for mount in mounts:
        if " - cgroup " in mount or " - cgroup2 " in mount:
            ROOTS.append(mount.split()[4])


def text_of(path):
    """Empty where it cannot be read, or what it belongs to is gone."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


class Attack:
    def __init__(self, case, at):
        self.case, self.at, self.trace_file = case, at, at.work + "/trace"
        self.command = [word.format(**vars(at)) for word in (case.program, *case.command)]
        self.had = [root for root in ROOTS if os.path.isdir(f"{root}/{at.top}")]
        self.kept = []
        self.stopped = None  # the picture where what there was before has ended

    def picture(self):
        """All that a command could have changed, as lines. Processes are shown by their command lines."""
        lines = set()
        for root in ROOTS:
            for at, _, files in os.walk(f"{root}/{self.at.top}"):
                lines.add(at)
                try:
                    lines |= {f"{at} {name}={os.getxattr(at, name)!r}" for name in os.listxattr(at)
                              if name not in NOTES}
                    lines.add(f"{at} owner {os.stat(at).st_uid}")
                    files = [file for file in files if os.stat(f"{at}/{file}").st_mode & 0o200]
                except FileNotFoundError:
                    continue
                for file in files:
                    path = f"{at}/{file}"
                    text = "" if COUNTERS.search(file) else text_of(path).strip()
                    if PIDS.search(path):
                        text = "; ".join(sorted(text_of(f"/proc/{pid}/cmdline").replace("\0", " ") for pid in text.split()))
                    lines.add(f"{path}: {text}")
        for top in ("run/containers", "data/containers", "run/oci"):
            for at, dirs, files in os.walk(f"{self.at.work}/{top}"):
                dirs[:] = [name for name in dirs if not name.startswith("@")]  # caches, and what is known of ended ones
                lines |= {f"{at}/{name}" for name in dirs + files if name not in NOTES}
        return lines | {"mount " + line.split()[4] for line in text_of("/proc/self/mountinfo").splitlines()
                        if self.at.work + "/" in line}

    def clean(self):
        """What is below the group is ended and removed, without cgx."""
        for root in ROOTS:
            top = f"{root}/{self.at.top}"
            for at, _, _ in os.walk(top):
                for file, value in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
                    if os.path.exists(f"{at}/{file}"):
                        with open(f"{at}/{file}", "w", encoding="utf-8") as opened:
                            opened.write(value)
        reap(())
        for root in ROOTS:
            top = f"{root}/{self.at.top}"
            for at, _, _ in os.walk(top, topdown=False):
                if at != top or root not in self.had:
                    remove(at)
            if root in self.had and not os.path.isdir(top):
                os.mkdir(top)
        for name in ("run", "data"):
            shutil.rmtree(f"{self.at.work}/{name}", ignore_errors=True)

    def again(self):
        """From nothing."""
        self.clean()
        self.case.prepare(self.at)
        self.command = [word.format(**vars(self.at)) for word in (self.case.program, *self.case.command)]
        self.kept = children()

    def trace(self, *inject):
        """Output goes to files: a container that goes on would keep a pipe. strace would wait for such a container too:
        then it is a process beside the command, ended after it; without its filter, which needs it."""
        case = self.case
        how = ["-D", "-I2"] if case.starts else ["--seccomp-bpf"]
        words = ["strace", *how, "-f", "-qq", "-o", self.trace_file, *inject, *self.command]
        with open(self.at.work + "/stdout", "wb") as out, open(self.at.work + "/stderr", "wb") as err:
            child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self.at.env)
            try:
                status = child.wait(timeout=120)
            except subprocess.TimeoutExpired:
                print("  does not end: " + " ".join(words), flush=True)
                child.kill()
                child.wait()
                status = -9
        for pid in children():
            if text_of(f"/proc/{pid}/cmdline").startswith("strace\0"):
                os.kill(pid, signal.SIGTERM)
                os.waitpid(pid, 0)
        out, err = (text_of(f"{self.at.work}/{name}") for name in ("stdout", "stderr"))
        return subprocess.CompletedProcess(words, status, out, err)

    def calls(self):
        """How often a process of the command makes each call: {name: times}."""
        done = self.trace("-e", "trace=" + ",".join("?" + name for name in ERRORS))
        if done.returncode != 0:
            raise RuntimeError(f"{self.case.name}: {done.returncode} {done.stderr}")
        counts = {}
        for line in text_of(self.trace_file).splitlines():
            found = re.match(r"(\d+) +(\w+)\(", line)
            if found:
                counts[found.groups()] = counts.get(found.groups(), 0) + 1
        most = {}
        for (_, name), times in counts.items():
            most[name] = max(most.get(name, 0), times)
        return most, done.stdout

    def settles(self, wanted):
        def right():
            collect()
            return self.picture() == wanted
        return wait_until(right, 2)

    def settled(self):
        """The picture once it stays as it is: a killed process is gone some time after the command."""
        last = None
        def same():
            nonlocal last
            collect()
            now, last = last, self.picture()
            return now == last
        wait_until(same, pause=0.1)
        return last

    def wrong_with(self, before, done_picture, printed, done, error):
        """What is wrong with that outcome, empty: nothing; None: no call failed."""
        case = self.case
        injected = [line.strip() for line in text_of(self.trace_file).splitlines() if "(INJECTED)" in line]
        if not injected:
            return None
        shown = any(re.search(r"write\([12],", line) for line in injected)
        wanted = done_picture if done.returncode == 0 else before
        # What cannot be told is an error, though all may be done.
        if done.returncode != 0 and (shown or case.stops and self.picture() != before):
            wanted = self.stopped if case.stops else done_picture if self.settles(done_picture) else before
        wrong = []
        if not (case.starts and done.returncode == 0):
            left = reap(self.kept)
            if left:
                wrong.append(f"left processes {left}")
        right = self.settles(wanted)
        # Each process of the command has an n-th call: where two of them failed, one was that of who cleans up.
        twice = len({line.split()[0] for line in injected}) > 1
        if not right and case.swept and (done.returncode == 0 or twice):
            run(self.at.cgx, "gc", env=self.at.env)
            right = self.settles(wanted)
        if not right and done.returncode != 0 and case.resumes:
            wanted = done_picture
            right = self.picture() == wanted
            if not right:
                more = run(*self.command, check=False, env=self.at.env)
                right = self.settles(wanted)
                if more.returncode != 0:
                    wrong.append(f"and then {more.stderr!r}")
        if not right:
            after = self.picture()
            wrong.append(f"missing {sorted(wanted - after)[:4]}, too much {sorted(after - wanted)[:4]}")
        if done.returncode == 0 and case.prints and done.stdout != printed:
            wrong.append(f"prints {done.stdout!r}")
        if done.returncode != 0 and not shown:
            first = done.stderr.split("\n", 1)[0]
            reason = os.strerror(getattr(errno, error))
            said = reason.lower() in done.stderr.lower() or SENTENCES.get(error, reason) in done.stderr
            said = said or "libseccomp makes no program" in first  # the library keeps the error of its write for itself
            said = said and (first.startswith(("cgx: ", "cgx-init: ")) or case.program != "{cgx}")
            if not said and "loading shared libraries" not in first:
                wrong.append("the error does not say why")
        if done.returncode < 0 or done.returncode >= 128:
            wrong.append("a signal")
        if wrong:
            wrong.append(f"status {done.returncode}, stderr {done.stderr.strip()!r}, {injected[0]}")
        return "; ".join(wrong)

    def run(self):
        """How many failures were tried, and what went wrong."""
        case = self.case
        if case.stops:
            self.again()
            reap(())
            self.stopped = self.settled()
        self.again()
        before = self.settled()
        times, printed = self.calls()
        if not case.starts:
            reap(self.kept)
        done_picture = self.settled()
        if case.leaves and done_picture != before:
            raise RuntimeError(f"{case.name} leaves {done_picture ^ before}")
        tried, faults, dirty = 0, [], True
        for name, most in sorted(times.items()):
            for error in ERRORS[name].split():
                for n in range(1, most + 1):
                    first_error = error == ERRORS[name].split()[0]
                    if not (ALL or n == 1 or first_error and (n == most or n % EACH == 0)):
                        continue
                    if dirty:
                        self.again()
                    done = self.trace("-e", "trace=" + name, "-e", f"inject={name}:error={error}:when={n}")
                    wrong = self.wrong_with(before, done_picture, printed, done, error)
                    dirty = done.returncode == 0 and not case.leaves or bool(wrong) or case.resumes or case.stops
                    tried += 1
                    if wrong:
                        faults.append(f"{name} {n} {error}: {wrong}")
                        print("   " + faults[-1], flush=True)
        return tried, faults


def children():
    return [int(pid) for pid in text_of(f"/proc/self/task/{os.getpid()}/children").split()]


def collect():
    """Children that have ended."""
    for pid in children():
        os.waitpid(pid, os.WNOHANG)


def reap(kept):
    """Processes that a command left are ours; those that are alive are told of, and killed."""
    left = []
    while True:
        alive = False
        for pid in children():
            if os.waitpid(pid, os.WNOHANG) != (0, 0) or pid in kept:
                continue
            alive = True
            left += [line.replace("\0", " ") for line in [text_of(f"/proc/{pid}/cmdline")] if line]
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        if not alive:
            return left


def remove(directory):
    """The kernel needs some time after the last process is gone."""
    def gone():
        try:
            os.rmdir(directory)
            return True
        except OSError:
            return False
    if not wait_until(gone):
        os.rmdir(directory)


def attack(case, at):
    """In a process of its own: what the command leaves becomes a child of it."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    os.makedirs(at.work + "/vol", exist_ok=True)
    run(at.cgx, "create", at.top, "--exist-ok")
    one = Attack(case, at)
    try:
        tried, faults = one.run()
    finally:
        one.clean()
    name = f"failed calls: {case.name}, {tried} failures"
    print(f"FAIL {name}: {len(faults)} of them go wrong" if faults else f"PASS {name}", flush=True)
    return not faults


def beside(case, words):
    """One case as a program of its own; its result comes first, what went wrong after it, as the runner wants it."""
    done = subprocess.run([sys.executable, __file__, *words, case.name], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    *faults, result = done.stdout.splitlines() or [""]
    if not result.startswith(("PASS ", "FAIL ")):
        faults, result = [*faults, "   " + result], f"FAIL failed calls: {case.name}: it did not end well"
    print("\n".join([result, *faults]), flush=True)
    return done.returncode == 0


def main():
    cgx, top, work, image = sys.argv[1:5]
    wanted = [case for case in CASES if case.name in sys.argv[5:] or len(sys.argv) == 5]
    if len(wanted) == 1:
        sys.exit(not attack(wanted[0], Place(cgx, top, work, image)))
    with concurrent.futures.ThreadPoolExecutor(2 * os.cpu_count()) as pool:
        done = [pool.submit(beside, case, (cgx, f"{top}/{n}", f"{work}/{n}", image)) for n, case in enumerate(wanted)]
        sys.exit(not all(one.result() for one in done))


if __name__ == "__main__":
    main()
