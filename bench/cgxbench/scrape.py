# SPDX-License-Identifier: Apache-2.0
"""What a scrape of metrics costs: cgxd's pages against bare reads of the same files, and beside node_exporter."""

import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request

from .measure import Case, Suite, Target

ROUNDS = {100: 30, 1000: 6, 10000: 2}
CONTROLLERS = ["cpu", "cpuacct", "memory", "pids", "io", "blkio", "unified"]
SCRAPES = 10
TICK = os.sysconf("SC_CLK_TCK")


def server(host):
    return os.path.join(host.build, "tests", "metrics-server")


def tree(groups, host, count):
    """A tree of `count` groups in every hierarchy that has statistics, and a file with their names."""
    controllers = [c for c in CONTROLLERS if host.mount_of(c)]
    top = groups.make_tree(f"metrics{count}", controllers, count)
    names = [top]
    for parent in range(count // 100):
        names.append(f"{top}/p{parent:03}")
        names += [f"{top}/p{parent:03}/c{child:02}" for child in range(99)]
    return top, names


def suite(suites, count):
    host, rounds = suites.host, ROUNDS[count]
    top, names = tree(suites.groups, host, count)
    # Removed when this process ends: the commands of the suite read it.
    suites.scratch = getattr(suites, "scratch", None) or tempfile.TemporaryDirectory(prefix="cgx-test-bench-")
    listing = os.path.join(suites.scratch.name, f"groups{count}")
    with open(listing, "w", encoding="utf-8") as file:
        file.write("\n".join(names) + "\n")
    page = [server(host), "--once", "text", "--groups", listing, "--max-groups", "20000"]
    files = subprocess.run([server(host), "--once", "files", "--below", top], capture_output=True, text=True, check=True)
    files = [line.split() for line in files.stdout.splitlines()]
    floor = [os.path.join(host.build, "bench", "floor-scrape"), str(rounds + 1), listing]

    def reads(keep):
        return [floor + [f"{'+' if keep(how) else ''}{directory}:{name}" for directory, name, how in files]]

    cases = [
        Case("floor, each file opened", reads(lambda how: False)),
    ]
    for name, keep in (
        ("floor, the same files kept as cgxd", lambda how: how == "kept"),
        ("floor, all files kept", lambda how: True),
    ):
        if sum(keep(how) for _, _, how in files) * len(names) < os.sysconf("SC_OPEN_MAX") - 100:
            cases.append(Case(name, reads(keep)))
    cases.append(Case("cgxd's page", [page + ["--rounds", str(rounds)]]))
    for case in cases[:-1]:
        case.proof, case.needle = case.runs, f"{len(names)} groups"
    cases[-1].proof, cases[-1].needle, cases[-1].times = [page], "cgx_cgroup_info{", len(names)
    kept = [name for _, name, how in files if how == "kept"]
    notes = [
        f"a process reads all groups {rounds + 1} times; divide by that for one scrape",
        f"read for each group: {', '.join(name for _, name, _ in files)}",
        f"kept open from one scrape to the next, as far as RLIMIT_NOFILE goes: {', '.join(kept)}",
        *served(suites, listing, count),
    ]
    targets = [
        Target(f"a scrape of {count:,} groups, against opening and reading the same files", "cgxd's page", cases[0].name, 1.3),
        Target(f"a scrape of {count:,} groups, against reads with the same files kept", "cgxd's page", "floor, the same files kept as cgxd", 1.3),
    ]
    return Suite(
        f"metrics{count}",
        f"Metrics of {count:,} groups",
        cases,
        targets,
        rounds=10 if count < 10000 else 3,
        quick=1,
        notes=notes,
    )


def served(suites, listing, count):
    """Lines about servers that answer over HTTP: CPU time of a scrape, and memory."""
    host = suites.host
    ours = [server(host), "--listen", "127.0.0.1:0", "--groups", listing, "--max-groups", "20000"]
    lines = [describe("cgxd's metrics", *scrape(ours, r"^listening (\S+)"))]
    lines.append(describe("the same with gzip", *scrape(ours, r"^listening (\S+)", gzip=True)))
    exporter = shutil.which("prometheus-node-exporter")
    if exporter is None:
        if count == 1000:
            suites.absent.append("prometheus-node-exporter: not installed")
    elif count == 1000:
        command = [exporter, "--web.listen-address=127.0.0.1:0"]
        lines.append(describe("node_exporter, which has nothing of groups", *scrape(command, r"[Ll]istening on.*?(127\.0\.0\.1:\d+)")))
    return lines


def describe(name, cpu, wall, size, memory):
    return f"{name}, served: {cpu:.1f} ms of CPU and {wall:.1f} ms a scrape, {size / 1e6:.2f} MB sent, {memory:.0f} MiB resident"


def scrape(command, pattern, gzip=False):
    """(CPU ms, wall ms, bytes, resident MiB) of a scrape, the mean of some after the first two."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        try:
            address = wait_for_line(log, pattern)
            request = urllib.request.Request(f"http://{address}/metrics", headers={"Accept-Encoding": "gzip"} if gzip else {})
            size = 0
            for number in range(SCRAPES + 2):
                if number == 2:
                    begin, cpu = time.monotonic(), cpu_seconds(process.pid)
                with urllib.request.urlopen(request, timeout=120) as answer:
                    size = len(answer.read())
            wall = (time.monotonic() - begin) / SCRAPES
            return (cpu_seconds(process.pid) - cpu) * 1000 / SCRAPES, wall * 1000, size, resident(process.pid)
        finally:
            process.stdin.close()
            process.terminate()
            process.wait(20)


def wait_for_line(log, pattern):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = re.search(pattern, os.pread(log.fileno(), 65536, 0).decode(errors="replace"), re.M)
        if found:
            return found[1]
        time.sleep(0.05)
    raise RuntimeError(f"no line like {pattern} came")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return int(re.search(r"^VmRSS:\s+(\d+) kB", file.read(), re.M)[1]) / 1024
